// Acts on the room it was started in, which has two uplinks; the test of uplinks looks at what it says.
import { execFileSync } from 'node:child_process'
import { Undo } from '#cli/compose/process.ts'
import { followUplinks, type UplinkOptions, type Uplinks } from '#cli/compose/uplinks.ts'
import { currentLinks } from '#io/link-tables.ts'
import { openLog } from '#io/log.ts'
import { datagramRuns, openUdpRuns, type UdpRuns } from '#io/udp-runs.ts'
import { type Ip, ip16, ipText, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { VIA_BYTES, type Via, writeVia } from '#ntm-lib/addr/via.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const ip = (line: string): void => void execFileSync('ip', line.split(' '))
const addr = (text: string): Ip => parseIp(text) ?? fail(text)
const via = (name: string, text: string): Via => ({
  ifindex: currentLinks().find((l) => l.name === name)?.ifindex ?? 0,
  ip: addr(text),
})

const [deed, server4 = '', server6 = '', port = ''] = process.argv.slice(2)
const EACH = 5

/** A socket that asks the server where its datagrams come from. */
class Asker {
  readonly #udp: UdpRuns
  readonly #heard: string[] = []
  readonly #arena = shared(Uint8Array, 1000 * EACH)
  readonly #runs = { arena: this.#arena, runs: shared(Int32Array, 4), count: 1, datagrams: 0 }
  readonly #addrs = shared(Uint8Array, 16)
  readonly #ports = shared(Uint16Array, 1)
  readonly #vias = shared(Uint8Array, VIA_BYTES)

  readonly #beside: UdpRuns | null = null

  /** `shared`: two sockets on one port, as workers have them; the second is none of what is told here. */
  constructor(kind: 'both' | 'four' | 'shared') {
    this.#udp = openUdpRuns({ port: 0, reusePort: kind === 'shared', ...(kind === 'four' ? { family: 4 } : {}) })
    if (kind === 'shared') {
      this.#beside = openUdpRuns({ port: this.#udp.port, reusePort: true })
      this.#udp.steer(2)
    }
    const into = datagramRuns(16)
    this.#udp.onReadable(() => {
      while (this.#udp.recv(into) > 0)
        for (let i = 0; i < into.count; i++) {
          const [start, len, each] = [i * into.slotBytes, into.lens[i] ?? 0, into.segs[i] ?? 1]
          for (let at = start; at < start + len; at += each)
            this.#heard.push(Buffer.from(into.arena.subarray(at, Math.min(at + each, start + len))).toString())
        }
    })
    this.#udp.onError(() => {})
    this.#runs.runs.set([0, 0, this.#arena.length, 1000])
  }

  /** Says which sources a run of five and a single datagram came from, and what was counted. */
  async ask(name: string, by: Via | null, server: string): Promise<void> {
    const before = this.#udp.counters
    const to = { ip: addr(server), port: Number(port) }
    this.#addrs.set(ip16(to.ip))
    this.#ports[0] = to.port
    writeVia(this.#vias, 0, by)
    this.#udp.send(this.#runs, this.#addrs, this.#ports, by === null ? null : this.#vias)
    await this.#until(EACH)
    const run = this.#heard.splice(0)
    this.#udp.sendOne(to, Uint8Array.of(1), by)
    await this.#until(1)
    const now = this.#udp.counters
    const counted = (['out', 'superOut', 'refusedOut', 'gsoRefused', 'viaRefusedOut'] as const).map(
      (k) => now[k] - before[k],
    )
    say({ name, run: run.join(' '), single: this.#heard.splice(0).join(' '), counted })
  }

  /** Sends two datagrams of 2,500 bytes: what the kernel said of it, and what was refused. */
  wide(by: Via, server: string): { readonly errors: number; readonly out: number; readonly refused: number } {
    this.#addrs.set(ip16(addr(server)))
    this.#ports[0] = Number(port)
    writeVia(this.#vias, 0, by)
    const wide = { arena: this.#arena, runs: Int32Array.of(0, 0, 5000, 2500), count: 1, datagrams: 2 }
    this.#udp.send(wide, this.#addrs, this.#ports, this.#vias)
    return {
      errors: this.#udp.errors.get('EMSGSIZE') ?? 0,
      out: this.#udp.counters.out,
      refused: this.#udp.counters.refusedOut,
    }
  }

  close(): void {
    this.#udp.close()
    this.#beside?.close()
  }

  async #until(count: number): Promise<void> {
    for (let i = 0; i < 50 && this.#heard.length < count; i++) await pause(10)
  }
}

const DEEDS: Readonly<Record<string, () => Promise<void>>> = {
  send: async () => {
    for (const kind of ['both', 'four', 'shared'] as const) {
      const asker = new Asker(kind)
      await asker.ask(`${kind} v4 cable`, via('cable', '192.0.2.5'), server4)
      await asker.ask(`${kind} v4 radio`, via('radio', '198.51.100.5'), server4)
      await asker.ask(`${kind} v4 none`, null, server4)
      if (kind !== 'four') {
        await asker.ask(`${kind} v6 cable`, via('cable', '2001:db8:a::5'), server6)
        await asker.ask(`${kind} v6 radio`, via('radio', '2001:db8:b::5'), server6)
        await asker.ask(`${kind} v6 none`, null, server6)
      }
      // Of another family than the server: as if none were named.
      await asker.ask(`${kind} v4 none`, via('radio', '2001:db8:b::5'), server4)
      if (kind !== 'four') await asker.ask(`${kind} v6 none`, via('radio', '198.51.100.5'), server6)
      asker.close()
    }
    say('done')
  },

  wide: async () => {
    // Without a way, or out of the other one, they would fit.
    ip('link set cable mtu 9000')
    for (const [text, server] of [
      ['198.51.100.5', server4],
      ['2001:db8:b::5', server6],
    ] as const) {
      const asker = new Asker('both')
      say(asker.wide(via('radio', text), server))
      asker.close()
    }
  },

  /** By ways that end: the address, then the interface. */
  lost: async () => {
    const radio = [via('radio', '198.51.100.5'), via('radio', '2001:db8:b::5')] as const
    const cable = [via('cable', '192.0.2.5'), via('cable', '2001:db8:a::5')] as const
    const servers = [server4, server6]
    const [both, four] = [new Asker('both'), new Asker('four')]
    const all = async (name: string, vias: readonly Via[]): Promise<void> => {
      for (const [i, v] of vias.entries()) await both.ask(`both ${name}`, v, servers[i] ?? '')
      await four.ask(`four ${name}`, vias[0] ?? null, server4)
    }
    await all('before', radio)
    ip('addr del 198.51.100.5/24 dev radio')
    ip('addr del 2001:db8:b::5/64 dev radio')
    await all('address gone', radio)
    await all('other', cable)
    ip('link del radio')
    await all('interface gone', radio)
    await all('other', cable)
    say('done')
  },

  /** Follows the ways out through what happens to them. */
  follow: async () => {
    const links = new Map(currentLinks().map((l) => [l.ifindex, l.name]))
    const told: string[] = []
    const undo = new Undo(openLog({ level: 'error', format: 'text' }))
    const options: UplinkOptions = { interfaces: ['own'], prefixes: [{ base: addr('198.18.0.0'), bits: 15 }] }
    const uplinks: Uplinks = followUplinks(
      undo,
      (why) => say({ failed: why.message }),
      (vias) =>
        told.push(
          vias
            .map((v) => `${links.get(v.ifindex) ?? 'new'}${isIp4(v.ip) ? 4 : 6}:${ipText(v.ip).split(/[.:]+/).at(-1)}`)
            .join(' '),
        ),
      options,
    )
    say({ step: 'start', told: told.splice(0) })
    const step = async (name: string, act: () => void): Promise<void> => {
      act()
      await pause(100)
      say({ step: name, told: told.splice(0) })
    }
    await step('prefer radio', () => say({ prefers: uplinks.prefer('radio') }))
    await step('prefer tape', () => say({ prefers: uplinks.prefer('tape') }))
    await step('metric', () => {
      ip('route add default via 192.0.2.1 dev cable metric 900')
      ip('route del default via 192.0.2.1 dev cable metric 100')
    })
    await step('nothing', () => ip('route add 203.0.113.64/26 via 192.0.2.1 dev cable'))
    await step('second address', () => ip('addr add 192.0.2.6/24 dev cable'))
    await step('virtual address', () => ip('addr add 198.18.0.1/32 dev cable'))
    await step('own interface', () => ip('addr add 10.9.9.9/24 dev own'))
    await step('address gone', () => ip('addr del 2001:db8:b::5/64 dev radio'))
    await step('deprecated', () => ip('addr change 2001:db8:a::5/64 dev cable preferred_lft 0'))
    await step('no route', () => ip('-6 route del default dev cable'))
    await step('radio down', () => ip('link set radio down'))
    await step('radio up', () => ip('link set radio up'))
    await step('radio route', () => ip('route add default via 198.51.100.1 dev radio metric 50'))
    await step('radio gone', () => ip('link del radio'))
    await undo.run()
    await step('stopped', () => ip('addr add 192.0.2.7/24 dev cable'))
  },

  /** Addresses on trial; by argument with or without optimistic ones. */
  trial: async () => {
    const told: string[] = []
    const undo = new Undo(openLog({ level: 'error', format: 'text' }))
    followUplinks(
      undo,
      (why) => say({ failed: why.message }),
      (vias) => told.push(vias.map((v) => ipText(v.ip)).join(' ')),
      { interfaces: ['radio', 'own'] },
    )
    for (let i = 0; i < 300 && !told.at(-1)?.includes('::77'); i++) {
      if (i === 1) ip(`addr add 2001:db8:a::77/64 dev cable${server4 === 'optimistic' ? ' optimistic' : ''}`)
      if (i === 12) say({ soon: told.at(-1)?.includes('::77') ?? false, tentative: tentative() })
      await pause(20)
    }
    if (server4 === 'optimistic') say({ soon: true, tentative: tentative() })
    say({ late: told.at(-1)?.includes('::77') ?? false })
    await undo.run()
  },
}

const tentative = (): boolean =>
  execFileSync('ip', ['-6', 'addr', 'show', 'dev', 'cable', 'tentative']).includes('::77')

function fail(text: string): never {
  throw new Error(text)
}

await (DEEDS[deed ?? ''] ?? fail(`no deed ${deed}`))()
process.exit(0)
