import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import { sameVia, type Via } from '#ntm-lib/addr/via.ts'
import { BugError, invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, instant, type Millis, millis } from '#ntm-lib/base/time.ts'
import { type Gate, gateFor } from './gate.ts'
import type { Weather } from './weather.ts'
import { noteOf } from './world.ts'

/** One address space: the Internet itself (no parent) or a private network behind its gates. */
export class Realm {
  readonly name: string
  readonly parent: Realm | null
  readonly gates: { 4: Gate | null; 6: Gate | null }
  /** An access point that keeps its clients apart. SEED 002 table 1, pattern 15. */
  isolated = false
  readonly children: Realm[] = []

  constructor(name: string, parent: Realm | null, gates: { 4?: Gate; 6?: Gate } = {}) {
    this.name = name
    this.parent = parent
    this.gates = { 4: gates[4] ?? null, 6: gates[6] ?? null }
    parent?.children.push(this)
  }
}

/** A network interface of a box: plugged into a realm, with at most one address of each family. */
export type Plug = {
  readonly realm: Realm
  readonly ips: readonly Ip[]
  /** Lower is preferred, as a route's metric. */
  readonly metric: number
  /** Names the place for delays and faults; the box's name, or its outermost private realm's, when absent. */
  readonly site?: string
}
export type Plugged = Plug & { readonly ifname: string; readonly ifindex: number }

/** A program with a UDP socket bound to one port of all its machine's addresses. */
export interface Program {
  readonly name: string
  /** `local`: the address of the interface that it came to. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant, local?: Ip): void
  tick(now: Instant): void
  deadline(): Instant | null
  poll(): { readonly to: Endpoint; readonly bytes: Uint8Array; readonly via?: Via | null } | null
  /** Interfaces changed; best first. */
  replugged?(plugs: readonly Plugged[], now: Instant): void
}

/** One datagram under way, as a fault or a test looks at it. Sites are where its two ends stand. */
export type Passing = {
  readonly when: Instant
  readonly sender: string
  readonly from: Endpoint
  readonly to: Endpoint
  readonly sites: readonly [string, string]
  readonly bytes: Uint8Array
}

type Machine = { program: Program; readonly plugs: Plugged[]; due: Instant | null; next: number }
type Flying = { readonly due: Instant; readonly order: number; readonly at: Realm; readonly passing: Passing }
type Told = { readonly passing: Passing; readonly fate: string }
type Alarm = { readonly due: Instant; readonly order: number; readonly ring: (now: Instant) => void }

/**
 * A small Internet in virtual time: boxes with several interfaces, realms behind NATs and firewalls, a delay for every pair of places, and
 * faults. A datagram passes the gates on its way out when it is sent and those on its way in when it arrives, as real ones do: who is first
 * matters for holes.
 */
export class Internet {
  now: Instant = instant(0)
  /** Extra delay per copy; none loses it. */
  weather: Weather = () => [millis(0)]
  /** One way, between sites that have no delay of their own. */
  oneWay: Millis = millis(10)
  readonly core = new Realm('core', null)
  /** What passed between realms, lost or not; off for long stories. */
  readonly captured: Passing[] = []
  capturing = true
  readonly port = 4330
  readonly #machines = new Map<string, Machine>()
  readonly #delays = new Map<string, Millis>()
  readonly #faults = new Set<(p: Passing) => boolean>()
  readonly #story: Told[] = []
  #flying: Flying[] = []
  #alarms: Alarm[] = []
  #order = 0

  /** A second program of the same name replaces the first and keeps its interfaces: a restart. */
  run(program: Program): void {
    const before = this.#machines.get(program.name)
    this.#machines.set(program.name, { program, plugs: before?.plugs ?? [], due: null, next: before?.next ?? 1 })
    if (before !== undefined) program.replugged?.(this.plugsOf(program.name), this.now)
  }

  /** The program is gone; its machine stays plugged in. */
  kill(name: string): void {
    const machine = this.#machine(name)
    machine.program = { name, handle: () => {}, tick: () => {}, deadline: () => null, poll: () => null }
  }

  /** Plugs an interface in, or changes what it is plugged into; the program is told. */
  plug(name: string, ifname: string, plug: Plug): void {
    const others = Object.fromEntries(this.#machine(name).plugs.map((p) => [p.ifname, p as Plug]))
    this.replug(name, { ...others, [ifname]: plug })
  }

  unplug(name: string, ifname: string): void {
    const machine = this.#machine(name)
    const at = machine.plugs.findIndex((p) => p.ifname === ifname)
    if (at >= 0) machine.plugs.splice(at, 1)
    this.#replugged(machine)
  }

  /**
   * Several interfaces change at one moment. What is plugged in elsewhere was out before, as a kernel tells it: the program hears of
   * both, also when the address at the new place happens to be the same.
   */
  replug(name: string, plugs: Readonly<Record<string, Plug>>): void {
    const machine = this.#machine(name)
    const old = new Map(machine.plugs.map((p) => [p.ifname, p]))
    const isSame = (p: Plugged): boolean => plugs[p.ifname]?.realm === p.realm && sameIps(plugs[p.ifname]?.ips, p.ips)
    const stays = machine.plugs.filter(isSame)
    if (stays.length < machine.plugs.length && old.size > 0) {
      machine.plugs.splice(0, machine.plugs.length, ...stays)
      this.#replugged(machine)
    }
    machine.plugs.splice(0)
    for (const [ifname, plug] of Object.entries(plugs))
      machine.plugs.push({ ...plug, ifname, ifindex: old.get(ifname)?.ifindex ?? machine.next++ })
    this.#replugged(machine)
  }

  /** Best first. */
  plugsOf(name: string): readonly Plugged[] {
    return this.#machine(name).plugs.toSorted((a, b) => a.metric - b.metric)
  }

  /** One-way delay between two sites, both ways. */
  delay(a: string, b: string, oneWay: Millis): void {
    this.#delays.set(pair(a, b), oneWay)
  }

  delayBetween(a: string, b: string): Millis {
    return a === b ? LAN : (this.#delays.get(pair(a, b)) ?? this.oneWay)
  }

  /** Loses what `hits` says until the returned function is called. Interfaces stay up: nobody is told. */
  fault(hits: (p: Passing) => boolean): () => void {
    this.#faults.add(hits)
    return () => void this.#faults.delete(hits)
  }

  /** A datagram from anybody, with any source address, into the Internet itself. */
  inject(from: Endpoint, to: Endpoint, bytes: Uint8Array, sender = 'eve'): void {
    const passing = {
      when: this.now,
      sender,
      from,
      to,
      sites: [sender, this.#siteAt(this.core, to.ip)] as const,
      bytes: bytes.slice(),
    }
    this.#launch(this.core, passing)
  }

  /** Rings once, `span` from now. */
  in(span: Millis, ring: (now: Instant) => void): void {
    this.#alarms.push({ due: after(this.now, span), order: this.#order++, ring })
  }

  /** Runs until `until` holds or `limit` has passed. Returns whether it held. */
  until(until: () => boolean, limit: Millis): boolean {
    const end = after(this.now, limit)
    let [stuck, all] = [0, true]
    for (;;) {
      for (const m of this.#machines.values()) if (all || m.due === ASK) this.#drain(m)
      all = false
      if (until()) return true
      const due = this.#next()
      if (due === null || due > end) {
        this.now = end
        return until()
      }
      stuck = due > this.now ? 0 : stuck + 1
      invariant(stuck < 20_000, `time stands still at ${due}: a deadline is not acted on`)
      this.now = due
      const arrived = this.#flying.filter((f) => f.due <= due).sort((a, b) => a.due - b.due || a.order - b.order)
      if (arrived.length > 0) this.#flying = this.#flying.filter((f) => f.due > due)
      for (const f of arrived) this.#arrive(f)
      for (const m of this.#machines.values()) {
        if (m.due === null || m.due === ASK || m.due > due) continue
        m.program.tick(due)
        m.due = ASK
      }
      const rung = this.#alarms.filter((a) => a.due <= due).sort((a, b) => a.due - b.due || a.order - b.order)
      if (rung.length === 0) continue
      this.#alarms = this.#alarms.filter((a) => a.due > due)
      for (const a of rung) a.ring(due)
      all = true
    }
  }

  /** Lets time pass, whatever happens in it. */
  wait(span: Millis): void {
    this.until(() => false, span)
  }

  /** The last of the conversation, for a failing test's message. */
  mermaid(last = 150): string {
    const line = ({ passing: p, fate }: Told): string =>
      `  ${p.sender}${fate}${p.sites[1]}: ${noteOf(p.bytes)} (${endpointText(p.from)} to ${endpointText(p.to)}) @${Math.round(p.when * 10) / 10}`
    return ['sequenceDiagram', ...this.#story.slice(-last).map(line)].join('\n')
  }

  #machine(name: string): Machine {
    const machine = this.#machines.get(name)
    if (machine === undefined) throw new BugError(`nobody is called ${name}`)
    return machine
  }

  #replugged(machine: Machine): void {
    machine.program.replugged?.(this.plugsOf(machine.program.name), this.now)
    machine.due = ASK
  }

  #drain(m: Machine): void {
    const { program } = m
    for (let d = program.poll(); d !== null; d = program.poll()) this.#send(m, d.to, d.bytes, d.via ?? null)
    m.due = program.deadline()
  }

  /** As a kernel: without a way named, the best route's interface and its address. */
  #send(m: Machine, to: Endpoint, bytes: Uint8Array, via: Via | null): void {
    const fits = (ip: Ip): boolean => isIp4(ip) === isIp4(to.ip)
    for (const plug of this.plugsOf(m.program.name)) {
      const source = plug.ips.find((ip) => fits(ip) && (via === null || sameVia(via, { ifindex: plug.ifindex, ip })))
      if (source === undefined) continue
      const from = { ip: source, port: this.port }
      const site = siteOf(m.program.name, plug)
      return this.#up(plug.realm, {
        when: this.now,
        sender: m.program.name,
        from,
        to,
        sites: [site, ''],
        bytes: bytes.slice(),
      })
    }
  }

  /** Out through the gates, up to the realm that knows the destination. */
  #up(start: Realm, passing: Passing): void {
    let [realm, from] = [start, passing.from]
    for (;;) {
      const here = this.#siteAt(realm, passing.to.ip)
      if (here !== '') {
        if (realm === start && realm.isolated && this.#holder(realm, passing.to.ip) !== null) return
        return this.#launch(realm, { ...passing, from, sites: [passing.sites[0], here] })
      }
      const gate = gateFor(realm.gates, passing.to.ip)
      // Nobody has this address; the wire does not know that.
      if (realm.parent === null) return this.#launch(realm, { ...passing, from, sites: [passing.sites[0], 'nowhere'] })
      if (gate === null) return
      from = gate.out(from, passing.to, this.now)
      if (gate.owns(passing.to.ip)) {
        const inside = gate.hairpin ? gate.in(from, passing.to, this.now) : null
        if (inside === null) return
        return this.#launch(realm, { ...passing, from, to: inside, sites: [passing.sites[0], realm.name] })
      }
      realm = realm.parent
    }
  }

  #launch(at: Realm, passing: Passing): void {
    const lost = [...this.#faults].some((hits) => hits(passing))
    const { from, to, bytes } = passing
    const copies = lost ? [] : this.weather({ from, to, bytes, nth: this.#order })
    if (this.capturing) this.captured.push(passing)
    this.#story.push({ passing, fate: copies.length === 0 ? '-x' : '->>' })
    if (this.#story.length > 20_000) this.#story.splice(0, 10_000)
    const way = this.delayBetween(...passing.sites)
    for (const extra of copies)
      this.#flying.push({ due: after(this.now, millis(way + extra)), order: this.#order++, at, passing })
    this.#order++
  }

  /** In through the gates that stand now, to whoever has the address now. */
  #arrive({ at, passing }: Flying): void {
    let [realm, to] = [at, passing.to]
    for (;;) {
      const machine = this.#holder(realm, to.ip)
      if (machine !== null) {
        if (to.port !== this.port) return
        machine.program.handle(passing.from, passing.bytes, this.now, to.ip)
        machine.due = ASK
        return
      }
      const child = realm.children.find((c) => gateFor(c.gates, to.ip)?.owns(to.ip) === true)
      const inside = child === undefined ? null : (gateFor(child.gates, to.ip)?.in(passing.from, to, this.now) ?? null)
      if (child === undefined || inside === null) return
      realm = child
      to = inside
    }
  }

  #holder(realm: Realm, ip: Ip): Machine | null {
    for (const m of this.#machines.values())
      if (m.plugs.some((p) => p.realm === realm && p.ips.some((own) => sameIp(own, ip)))) return m
    return null
  }

  /** Where a datagram for `ip` goes from this realm on, down or across; empty when not known here. */
  #siteAt(realm: Realm, ip: Ip): string {
    for (const m of this.#machines.values())
      for (const p of m.plugs)
        if (p.realm === realm && p.ips.some((own) => sameIp(own, ip))) return siteOf(m.program.name, p)
    const child = realm.children.find((c) => gateFor(c.gates, ip)?.owns(ip) === true)
    return child === undefined ? '' : outermost(child)
  }

  #next(): Instant | null {
    let first = Number.POSITIVE_INFINITY
    for (const f of this.#flying) first = Math.min(first, f.due)
    for (const a of this.#alarms) first = Math.min(first, a.due)
    for (const m of this.#machines.values()) {
      if (m.due === ASK) return this.now
      if (m.due !== null) first = Math.min(first, m.due)
    }
    return first === Number.POSITIVE_INFINITY ? null : instant(Math.max(this.now, first))
  }
}

/** The last realm before the Internet: what the world outside takes its boxes for. */
function outermost(realm: Realm): string {
  let here = realm
  while (here.parent?.parent != null) here = here.parent
  return here.name
}

const siteOf = (name: string, plug: Plug): string =>
  plug.site ?? (plug.realm.parent === null ? name : outermost(plug.realm))
const pair = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)
/** The machine has done something: its deadline is not what it was. */
const ASK = -1 as Instant
/** Between two boxes at one site. */
const LAN = millis(1)
const sameIps = (a: readonly Ip[] | undefined, b: readonly Ip[]): boolean =>
  a !== undefined && a.length === b.length && a.every((ip, i) => sameIp(ip, b[i] as Ip))
