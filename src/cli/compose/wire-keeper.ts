import type { DivertPlan } from '#bridge/ruleset.ts'
import { IoFault } from '#io/fault.ts'
import { type LinkEvent, watchLinks } from '#io/link-events.ts'
import { currentLinks } from '#io/link-tables.ts'
import { ip } from '#io/links.ts'
import type { LinkState } from '#io/rtnetlink.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { BridgeToPlane, WireNames } from '../worker/bridge-words.ts'
import { Divert } from './divert.ts'
import type { PacketHost } from './packet-host.ts'
import { Undo } from './process.ts'

export type KeeperParts = {
  /** Has begun with this plan. */
  readonly host: Pick<PacketHost<BridgeToPlane>, 'ask' | 'beat'>
  /** The kernel bridge; the box's own Ethernet address is its. */
  readonly bridge: string
  readonly names: WireNames
  /** `closed` has the zones that are shut, `fail = "closed"`. */
  readonly plan: Omit<DivertPlan, 'host' | 'net' | 'tap'>
  readonly log: Log
  readonly fail: (why: Error) => void
}

/**
 * Keeps the wire, which is the packet side's, and its rules on the two ports for as long as these exist. When one leaves (a USB
 * NIC), everything on it is taken down; when it returns, ports and rules are made anew, because a kernel may have dropped the
 * rules with the interface. What the core has learnt stays. Joining the returned port to the bridge is the system's part.
 */
export class WireKeeper {
  readonly #p: KeeperParts
  /** Undoes the wire that is up; empty when it is down. */
  readonly #down: Undo
  #isUp = false
  #divert: Divert | null = null
  #closed: readonly string[]
  /** Interface indexes of the ports that the wire is on; empty when it is down or has lost one of them. */
  #on: readonly number[] = []
  #mtuBytes = 0
  #missing = ''
  #wasUp = false
  #busy: Promise<void> | null = null
  #again = false
  #stopped = false

  constructor(parts: KeeperParts) {
    this.#p = parts
    this.#down = new Undo(parts.log)
    this.#closed = parts.plan.closed ?? []
  }

  /** Brings the wire up and follows the interfaces from then on. IoFault when the machine refuses. */
  async start(undo: Undo): Promise<void> {
    const watch = watchLinks((event) => this.#onEvent(event))
    undo.add(() => this.#stop(watch))
    await this.#settle()
  }

  /** Whether frames are taken off it; the port that is waited for while they are not. */
  get state(): { readonly state: 'up' | 'down'; readonly missing: string | null } {
    return { state: this.#isUp ? 'up' : 'down', missing: this.#missing === '' ? null : this.#missing }
  }

  /** The packet side found an interface of the wire removed. */
  lost(): void {
    this.#on = []
    this.#check()
  }

  /** `fail = "closed"`: the zones whose names must not leave when this program is dead. */
  async close(zones: readonly string[]): Promise<void> {
    this.#closed = zones
    await this.#divert?.close(zones)
  }

  #onEvent(event: LinkEvent): void {
    // What was not told may be a port that went and came.
    if (event.kind === 'lost') return this.lost()
    if (event.kind !== 'link' && event.kind !== 'link-gone') return
    const { names } = this.#p
    const { ifindex, name } = event.kind === 'link' ? event.link : event
    const mine = this.#on.includes(ifindex)
    if (!mine && name !== names.host && name !== names.net) return
    // It may be back by now, and with the same index, but no socket and no rule survived.
    if (mine && event.kind === 'link-gone') this.#on = []
    this.#check()
  }

  #check(): void {
    this.#settle().catch((why: Error) => this.#p.fail(why))
  }

  /** One at a time, until what is up fits what is there. */
  #settle(): Promise<void> {
    this.#again = true
    this.#busy ??= this.#loop().finally(() => {
      this.#busy = null
    })
    return this.#busy
  }

  async #loop(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      const { host, net } = this.#ports()
      const still = host?.ifindex === this.#on[0] && net?.ifindex === this.#on[1]
      if (this.#isUp && !still) await this.#takeDown()
      if (host === null || net === null) this.#wait(host === null ? this.#p.names.host : this.#p.names.net)
      else if (!this.#isUp) await this.#bringUp(host, net)
      else await this.#fitTap(host, net)
    }
  }

  #ports(): { host: LinkState | null; net: LinkState | null } {
    const links = currentLinks()
    const find = (name: string): LinkState | null => links.find((l) => l.name === name) ?? null
    return { host: find(this.#p.names.host), net: find(this.#p.names.net) }
  }

  #wait(missing: string): void {
    if (this.#missing === missing) return
    this.#missing = missing
    // Never seen: perhaps its name is not what was meant.
    const there = this.#wasUp ? {} : { there: String(currentLinks().map((l) => l.name)) }
    this.#p.log.warn('bridge.port-gone', { port: missing, what: 'its wire is down until it is there', ...there })
  }

  async #bringUp(host: LinkState, net: LinkState): Promise<void> {
    const { names, plan, log, host: packets } = this.#p
    const bridge = currentLinks().find((l) => l.name === this.#p.bridge)
    if (bridge !== undefined && bridge.linkAddr !== plan.box) {
      throw new IoFault(`use ${this.#p.bridge}`, new Error('it has another link address now; start again to use that'))
    }
    this.#on = [host.ifindex, net.ifindex]
    try {
      this.#isUp = true
      // A packet side that has ended has closed its ports, one that hangs does as soon as it is back.
      this.#down.add(() => this.#ask({ say: 'wire-down' }).catch(() => {}))
      await this.#ask({ say: 'wire-up', names })
      // Silent on the TAP: nothing of our own kernel's may mix with the hosts' frames.
      await ip('link', 'set', names.tap, 'addrgenmode', 'none')
      await ip('link', 'set', names.tap, 'arp', 'off', 'multicast', 'off', 'up')
      await this.#fitTap(host, net)
      const divert = new Divert({ ...plan, ...names, closed: this.#closed }, packets, log, this.#p.fail)
      this.#divert = divert
      this.#down.add(() => divert.stop())
      await divert.start()
      this.#wasUp = true
      if (this.#missing !== '') log.info('bridge.port-back', { port: this.#missing })
      this.#missing = ''
    } catch (why) {
      // A port may leave while its wire is being made: then look again. Any other refusal is the machine's.
      await this.#takeDown()
      const now = this.#ports()
      if (this.#again || now.host?.ifindex !== host.ifindex || now.net?.ifindex !== net.ifindex) {
        this.#again = true
        log.warn('bridge.wire-refused', { why: why instanceof Error ? why.message : String(why) })
      } else throw why
    }
  }

  /** The TAP must take the largest frame that either port may bring. */
  async #fitTap(host: LinkState, net: LinkState): Promise<void> {
    const mtuBytes = Math.min(MOST_TAP_MTU, host.mtuBytes, net.mtuBytes)
    if (mtuBytes === this.#mtuBytes) return
    this.#mtuBytes = mtuBytes
    await ip('link', 'set', this.#p.names.tap, 'mtu', String(mtuBytes))
  }

  async #takeDown(): Promise<void> {
    this.#isUp = false
    this.#divert = null
    this.#mtuBytes = 0
    this.#on = []
    await this.#down.run()
  }

  /** A packet side that hangs keeps nobody waiting. */
  async #ask(input: BridgeToPlane): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new IoFault(`ask for ${input.say}`, new Error('no answer'))), ANSWER_MS)
    })
    try {
      await Promise.race([this.#p.host.ask(input), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Nobody is left waiting: our own questions get their replies, and a host whose reply or name is held gets that now. */
  async #finish(): Promise<void> {
    if (!this.#isUp || this.#divert === null) return
    try {
      await this.#divert.ease()
      await new Promise((resolve) => setTimeout(resolve, EASE_MS))
    } catch {
      // The rules are gone already, which is what the next step is for.
    }
    await this.#ask({ say: 'let-go' }).catch((why: Error) =>
      this.#p.log.warn('bridge.not-let-go', { why: why.message }),
    )
  }

  async #stop(watch: { close(): void }): Promise<void> {
    this.#stopped = true
    watch.close()
    // A start that is under way ends first; why it failed, if it did, has been told.
    await this.#busy?.catch(() => {})
    await this.#finish()
    await this.#takeDown()
  }
}

/** A resolver that answers at all has done so by then. */
const EASE_MS = 150
const ANSWER_MS = 3000
/** The kernel's own limit for TAP devices. */
const MOST_TAP_MTU = 65_521
