import type { Endpoint } from '../addr/endpoint.ts'
import type { NodeId } from '../addr/ids.ts'
import type { Ip } from '../addr/ip.ts'
import type { Via } from '../addr/via.ts'
import { hex } from '../base/hex.ts'
import { invariant } from '../base/invariant.ts'
import { Queue } from '../base/queue.ts'
import { after, type Instant, seconds, sooner } from '../base/time.ts'
import { CookieMaker } from '../crypto/cookie.ts'
import type { Identity } from '../crypto/identity.ts'
import { decodeSignedCertificate, ROLE_TT } from '../wire/certificate.ts'
import { CLASS_RELAY, CLASS_TUNNEL_HANDSHAKE, type Header, readHeader } from '../wire/header.ts'
import type { PathClose, Route, Whereabouts } from '../wire/messages/direction.ts'
import type { Expected } from './contract-check.ts'
import { halvesBudget } from './halves.ts'
import type { MirrorCommand, MirrorEvent } from './mirror.ts'
import { Paths } from './path-table.ts'
import type { Path } from './paths.ts'
import { ResetMaker } from './reset.ts'
import { acceptClock } from './tunnel-accept.ts'
import { type Core, drop, type TunnelParts, type TunnelsOut, touch } from './tunnel-core.ts'
import { Front } from './tunnel-front.ts'
import { type Installed, installRoute } from './tunnel-install.ts'
import { closing, lifeClock, lifeDeadline } from './tunnel-life.ts'
import { TunnelMirror } from './tunnel-mirror.ts'
import { relocate, viasChanged } from './tunnel-moves.ts'
import { openClock, openDeadline } from './tunnel-open.ts'
import { doubtTo } from './tunnel-probing.ts'
import { type Opened, onHeardElsewhere, onReset, onStray, onWorn, openDatagram } from './tunnel-receive.ts'
import { legClock, legDeadline, onRelayLeg } from './tunnel-relay.ts'
import { Rows } from './tunnel-rows.ts'
import { type Emit, type PacketMemory, type Sealed, sealInner } from './tunnel-send.ts'
import { setupClock, setupDeadline, setupStart } from './tunnel-setup.ts'
import { clampOf, mostInner, wholeOf } from './tunnel-sizes.ts'
import { type PathStatus, statusOf } from './tunnel-status.ts'
import { onLegBound } from './tunnel-ways.ts'

export type { Path } from './paths.ts'
export type { TunnelParts, TunnelSettings, TunnelsOut } from './tunnel-core.ts'
export type { Installed } from './tunnel-install.ts'
export type { Opened } from './tunnel-receive.ts'
export type { Emit, PacketMemory, Sealed } from './tunnel-send.ts'
export type { PathStatus } from './tunnel-status.ts'

/**
 * All tunnels of one node: the handshakes, the keys, the packets and the tunnel table. Directions come in by `install`,
 * datagrams of class 3 and 6 by `handle`, of class 4 by `open`; inner packets leave by `seal`; the rest is asked for with
 * `poll`. Call `poll` until null after every other call.
 *
 * With `mirror` in the parts, packet workers open and seal in other threads: what they must know is asked for with `pollMirror`
 * (always before `poll`), what they say comes in by `onMirror`.
 */
export class Tunnels {
  readonly #core: Core
  readonly #front: Front
  /** H of our membership certificates, newest first. */
  #memberships: readonly Uint8Array[] = []

  constructor(parts: TunnelParts) {
    const { suite, settings, mirror = null } = parts
    this.#core = {
      ...parts,
      membershipSerial: 0,
      vias: [],
      suiteMask: settings.suites.reduce<number>((mask, s) => mask | (1 << s), 0),
      paths: new Paths(),
      rows: new Rows(mirror?.cells ?? null),
      mirror: mirror === null ? null : new TunnelMirror(dueOf),
      resets: new ResetMaker(suite, settings.resetSecret),
      cookies: new CookieMaker(suite),
      out: new Queue(OUT_LIMIT),
      refused: { short: 0, replay: 0, badTag: 0 },
      halves: halvesBudget(),
      keepsMappings: true,
    }
    this.#front = new Front(this.#core)
    this.setIdentity(parts.identity)
  }

  /** After enrolment or renewal. Contracts made on the membership before it stay good. */
  setIdentity(identity: Identity): void {
    this.#core.identity = identity
    const [leaf] = identity.chain
    if (leaf === undefined) return
    const decoded = decodeSignedCertificate(leaf)
    if (decoded.ok) {
      this.#core.membershipSerial = decoded.value.certificate.serial
      this.#core.keepsMappings = (decoded.value.certificate.roles & ROLE_TT) === 0
    }
    this.#memberships = [this.#core.suite.hash(leaf), ...this.#memberships].slice(0, 2)
  }

  /** Checks a route and puts its path into the tables; the opener sends its request at once, or `soon`: with the clock, so that the coordinator hears first. Twice the same is as once. */
  install(route: Route, expected: Expected, now: Instant, begin: 'now' | 'soon' = 'now'): Installed {
    const known = this.#core.paths.size
    const installed = installRoute(this.#core, this.#memberships, route, expected, now)
    if (!installed.ok || this.#core.paths.size === known) return installed
    const { path } = installed
    // First what came already: then nobody needs to knock.
    if (path.role === 'acceptor') this.#front.unpark(path, (from, bytes) => this.handle(from, bytes, now))
    if (begin === 'soon' && path.role === 'opener') path.beginAt = now
    else setupStart(this.#core, path, now)
    touch(this.#core, path, now)
    return installed
  }

  /** Datagrams of class 3, class 5 (but Probe and Echo) and class 6 (path). Total. `bytes` may be reused after the call. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const core = this.#core
    const header = readHeader(bytes)
    if (!header.ok) return drop(core, header.fault)
    if (header.value.cls === CLASS_TUNNEL_HANDSHAKE) return this.#front.handle(header.value, from, bytes, now)
    if (header.value.cls === CLASS_RELAY) return this.#onRelayLeg(header.value, from, bytes, now)
    onReset(core, bytes, now)
  }

  /**
   * Opens one Capsulated Packet; null for everything that is not an inner packet for the caller (counted or handled). `local`: the address of
   * ours that it came to, where that is known.
   */
  open(from: Endpoint, datagram: Uint8Array, now: Instant, local?: Ip): Opened | null {
    invariant(this.#core.mirror === null, 'packet workers open')
    return openDatagram(this.#core, from, datagram, now, local)
  }

  /** Seals one inner packet into one or two datagrams. In place when there is room around it; then it is destroyed. */
  seal(path: Path, packet: PacketMemory, at: number, length: number, emit: Emit, now: Instant): Sealed {
    invariant(this.#core.mirror === null, 'packet workers seal')
    return sealInner(this.#core, path, packet, at, length, emit, now)
  }

  /** What packet workers are to be told next; null when they know everything. In order, and before what `poll` gives. */
  pollMirror(): MirrorCommand | null {
    return this.#core.mirror?.poll() ?? null
  }

  /** What a packet worker says. Total: events of paths and keys that are gone are counted. */
  onMirror(event: MirrorEvent, now: Instant): void {
    switch (event.event) {
      case 'datagram':
        return onStray(this.#core, event.from, event.bytes, now)
      case 'heard':
        return onHeardElsewhere(this.#core, event, now)
      case 'worn':
        return onWorn(this.#core, event, now)
      default:
        return event satisfies never
    }
  }

  /** M: largest inner packet the path lets in; what packet-too-big answers carry. */
  innerMtu(path: Path): number {
    return mostInner(path)
  }

  /** T: largest inner packet that travels in one datagram now. */
  wholeMtu(path: Path): number {
    return wholeOf(path)
  }

  /** What TCP is clamped to (minus its headers): T, or what it is hoped to be before the first probe is answered. */
  clampMtu(path: Path): number {
    return clampOf(path)
  }

  /** Paths in the table, open or not. */
  get size(): number {
    return this.#core.paths.size
  }

  /** All of them. */
  paths(): IterableIterator<Path> {
    return this.#core.paths.all()
  }

  byContract(contractHash: Uint8Array): Path | null {
    return this.byKey(hex(contractHash))
  }

  /** By `Path.key`, the contract's hash in hex. For who asks once per packet: making the hex takes 2 µs. */
  byKey(key: string): Path | null {
    return this.#core.paths.byKey(key)
  }

  /** By `Path.row`; null when it names nothing now. */
  byRow(row: number): Path | null {
    return this.#core.rows.find(row)
  }

  byPeer(node: NodeId): readonly Path[] {
    return this.#core.paths.byPeer(node)
  }

  /** The open path for an inner destination; bound addresses first, then the longest of the peers' prefixes. */
  pathTo(ip: Ip): Path | null {
    return this.#core.paths.to(ip)
  }

  /** The same without allocation: an IPv4 destination as an unsigned word. */
  pathTo4(ip: number): Path | null {
    return this.#core.paths.to4(ip)
  }

  /** Leads one virtual address into this path: terminators share a pool, so only their user knows whose a server is. */
  bind(ip: Ip, path: Path): void {
    this.#core.paths.bind(ip, path)
  }

  unbind(ip: Ip): void {
    this.#core.paths.unbind(ip)
  }

  /**
   * Our own ways out, best first per family; empty: unknown, the kernel chooses. Paths whose way is no longer the best move before it
   * breaks, paths whose way has gone move at once.
   */
  setVias(vias: readonly Via[], now: Instant): void {
    viasChanged(this.#core, vias, now)
  }

  /** Fresh word of where a path's peer is; false when the contract is not known here or the word is older than what is. */
  relocate(contractHash: Uint8Array, whereabouts: Whereabouts, now: Instant): boolean {
    const path = this.byContract(contractHash)
    return path !== null && relocate(this.#core, path, whereabouts, now)
  }

  /** A longer lease from now; false when the contract is not known here. */
  extend(contractHash: Uint8Array, leaseSeconds: number, now: Instant): boolean {
    const path = this.byContract(contractHash)
    if (path === null) return false
    path.leaseUntil = after(now, seconds(leaseSeconds))
    touch(this.#core, path, now)
    return true
  }

  /** The machine says that large datagrams to `ip` do not pass: the paths that go there ask for themselves. */
  doubtMtu(ip: Ip, now: Instant): void {
    doubtTo(this.#core, ip, now)
  }

  /**
   * Forgets a path and tells the peer. Followed by a `closed` event, except for `lost`, which the caller has been told of
   * by us. Unknown contracts are no fault: closing twice is as once.
   */
  close(contractHash: Uint8Array, reason: PathClose['reason'], now: Instant): void {
    const path = this.byContract(contractHash)
    if (path !== null) closing(this.#core, path, reason, now)
  }

  /** Closes every path with a node, for instance when it was revoked. */
  closePeer(node: NodeId, reason: PathClose['reason'], now: Instant): void {
    for (const path of this.#core.paths.byPeer(node)) closing(this.#core, path, reason, now)
  }

  tick(now: Instant): void {
    const { paths, mirror } = this.#core
    for (const path of mirror?.due(now) ?? [...paths.all()]) {
      openClock(this.#core, path, now)
      acceptClock(this.#core, path, now)
      setupClock(this.#core, path, now)
      legClock(this.#core, path, now)
      if (path.state !== 'gone') lifeClock(this.#core, path, now)
      touch(this.#core, path, now)
    }
    this.#front.tick(now)
  }

  /** Without packet workers linear in the paths: for machines with thousands, ask once per turn. */
  deadline(): Instant | null {
    const { paths, mirror } = this.#core
    let first = this.#front.deadline()
    if (mirror !== null) return sooner(first, mirror.deadline())
    for (const path of paths.all()) first = sooner(first, dueOf(path))
    return first
  }

  poll(): TunnelsOut | null {
    return this.#core.out.shift() ?? null
  }

  list(now: Instant): PathStatus[] {
    const { paths, vias } = this.#core
    return [...paths.all()].map((p) => statusOf(p, { whole: this.wholeMtu(p), inner: this.innerMtu(p) }, vias, now))
  }

  #onRelayLeg(header: Header, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const core = this.#core
    const path = core.paths.byId(header.id)
    if (path === null) return drop(core, 'unknown-path')
    touch(core, path, now)
    const bound = onRelayLeg(core, path, header, from, bytes, now)
    if (bound !== null) onLegBound(core, path, bound, now)
  }
}

const dueOf = (path: Path): Instant | null =>
  sooner(sooner(openDeadline(path), lifeDeadline(path)), sooner(setupDeadline(path), legDeadline(path)))
/** More waits in the queue than this only when nobody polls. */
const OUT_LIMIT = 65_536
