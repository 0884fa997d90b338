import type { Endpoint } from '../addr/endpoint.ts'
import { sameVia, type Via } from '../addr/via.ts'
import { type Instant, seconds, sooner } from '../base/time.ts'
import {
  CLASS_CAPSULATED,
  CLASS_CONTROL,
  CLASS_CONTROL_HANDSHAKE,
  CLASS_RELAY,
  CLASS_RESET,
  CLASS_TUNNEL_HANDSHAKE,
  readHeader,
} from '../wire/header.ts'
import type { Response } from '../wire/message.ts'
import type { PathExtend, RouteDirection } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import type { TransactionKey } from './control-events.ts'
import { Directions } from './directions.ts'
import type { MirrorEvent } from './mirror.ts'
import { Moves } from './moves.ts'
import type { ControlClientEvent, NodeEvent, Wanted } from './node-events.ts'
import type { NodeOut, NodeParts } from './node-parts.ts'
import type { Registering } from './register.ts'
import { Registrar, type RegistrarOut } from './registrar.ts'
import type { Path, Tunnels, TunnelsOut } from './tunnels.ts'

export type { NodeOut, NodeParts } from './node-parts.ts'

/**
 * One NTM node's negotiation: the control client, the registration, the directions and the tunnels as one Machine (the
 * seeds' negotiation module). Roles put their decisions on top: which names to ask for, which directions to accept.
 */
export class Node {
  readonly tunnels: Tunnels
  readonly #p: NodeParts
  readonly #directions: Directions
  readonly #moves: Moves
  readonly #registrar: Registrar
  readonly #out: NodeOut[] = []
  #vias: readonly Via[] = []

  constructor(parts: NodeParts) {
    this.#p = parts
    this.tunnels = parts.tunnels
    this.#directions = new Directions(parts.tunnels, parts.hash, parts.directionTimeout, () => this.#registrar.zones)
    this.#moves = new Moves(parts.tunnels, parts.hash)
    this.#registrar = new Registrar(parts)
  }

  /** `down`, `registering`, `confirming`, `registered` or `refused`. */
  get state(): Registering['at'] {
    return this.#registrar.state
  }

  start(now: Instant): void {
    this.#p.control.start(now)
    this.settle(now)
  }

  /** Every datagram but the Capsulated Packets of known paths, which the data path opens itself. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const header = readHeader(bytes)
    if (!header.ok) return this.#p.counters.count(`ntm.drop.${header.fault}`)
    const { cls, flags } = header.value
    if (cls === CLASS_CONTROL_HANDSHAKE || cls === CLASS_CONTROL || (cls === CLASS_RESET && flags === RESET_SESSION)) {
      this.#p.control.handle(from, bytes, now)
    } else if (cls === CLASS_RELAY && flags === TYPE_ECHO) {
      if (!this.#registrar.onEcho(from, bytes, now)) this.#p.counters.count('ntm.drop.late-echo')
    } else if (cls === CLASS_TUNNEL_HANDSHAKE || cls === CLASS_RELAY || cls === CLASS_RESET) {
      this.tunnels.handle(from, bytes, now)
    } else if (cls === CLASS_CAPSULATED) {
      this.tunnels.onMirror({ event: 'datagram', from, bytes }, now)
    } else this.#p.counters.count('ntm.drop.unknown-kind')
    this.settle(now)
  }

  /** What a packet worker says. Total. */
  onMirror(event: MirrorEvent, now: Instant): void {
    if (event.event === 'datagram') return this.handle(event.from, event.bytes, now)
    this.tunnels.onMirror(event, now)
    this.settle(now)
  }

  /** Asks the coordinator for a path; answered by one `directed` event with this tag. */
  direct(tag: string, wanted: Wanted, now: Instant): void {
    this.#directions.begin(tag, wanted, now)
    this.settle(now)
  }

  /** Says yes to an `asked` event: the path is installed and the coordinator told what the resolution found. */
  accept(
    transaction: TransactionKey,
    message: RouteDirection | PathExtend,
    found: { readonly ttlSeconds: number; readonly families: number },
    now: Instant,
  ): void {
    if (message.kind === 'path-extend') this.tunnels.extend(message.contractHash, message.leaseSeconds, now)
    else {
      const installed = this.tunnels.install(message.route, {}, now, 'soon')
      if (!installed.ok) return this.decline(transaction, installed.code, installed.why, now)
    }
    this.#p.control.respond(transaction, { kind: 'path-accept', ...found }, now)
    this.settle(now)
  }

  /** Answers a `relay-asked` event. */
  respond(transaction: TransactionKey, response: Response, now: Instant): void {
    this.#p.control.respond(transaction, response, now)
    this.settle(now)
  }

  decline(transaction: TransactionKey, code: RefusalCode, text: string, now: Instant): void {
    this.respond(transaction, { kind: 'refusal', code, retryAfterMillis: 0, text }, now)
  }

  /** Candidates or hosts changed: tell the coordinator now. */
  changed(now: Instant): void {
    this.#registrar.changed(now)
    this.settle(now)
  }

  /**
   * Our ways out are these now, best first per family; empty: unknown. Paths go on by themselves; the coordinator is told, and asked
   * where the peers are, but nothing waits for it (SEED 003 §4).
   */
  setVias(vias: readonly Via[], now: Instant): void {
    if (vias.length === this.#vias.length && vias.every((v, i) => sameVia(v, this.#vias[i] ?? null))) return
    const first = this.#vias.length === 0 && vias.length > 0
    this.#vias = vias
    this.tunnels.setVias(vias, now)
    if (!first) this.#p.control.moved(now)
    this.#registrar.moved(now)
    if (!first) this.#moves.own(now)
    this.settle(now)
  }

  tick(now: Instant): void {
    this.#p.control.tick(now)
    this.tunnels.tick(now)
    this.#directions.tick(now)
    this.#moves.tick(now)
    this.#registrar.tick(now)
    this.settle(now)
  }

  deadline(): Instant | null {
    const first = sooner(this.#p.control.deadline(), this.tunnels.deadline())
    const others = sooner(this.#moves.deadline(), this.#directions.deadline())
    return sooner(sooner(first, this.#registrar.deadline()), others)
  }

  poll(): NodeOut | null {
    return this.#out.shift() ?? null
  }

  /** Passes on what the parts produced until nobody has anything more to say; also after the data path used `tunnels`. */
  settle(now: Instant): void {
    for (;;) {
      // First: an answer may leave only when the workers have the keys it promises.
      for (let c = this.tunnels.pollMirror(); c !== null; c = this.tunnels.pollMirror())
        this.#out.push({ out: 'mirror', command: c })
      const told = this.#registrar.poll()
      if (told !== null) {
        this.#onRegistrar(told, now)
        continue
      }
      const direction = this.#moves.poll() ?? this.#directions.poll()
      if (direction !== null) {
        if (direction.out === 'directed') this.#tell({ ...direction, event: 'directed' })
        else this.#p.control.request(direction.tag, direction.message, this.#p.directionTimeout, now)
        continue
      }
      const control = this.#p.control.poll()
      if (control !== null) {
        if (control.out === 'send') this.#out.push({ ...control, via: null })
        else this.#onControl(control.event, now)
        continue
      }
      const tunnel = this.tunnels.poll()
      if (tunnel === null) return
      if (tunnel.out === 'send') this.#out.push(tunnel)
      else this.#onTunnel(tunnel, now)
    }
  }

  #onControl(event: ControlClientEvent, now: Instant): void {
    switch (event.event) {
      case 'session':
        return this.#registrar.session(now)
      case 'lost':
        this.#registrar.lost(now)
        return this.#tell({ event: 'offline' })
      case 'silent':
        if (this.#moves.has(event.tag)) return this.#moves.silent(event.tag, now)
        if (!this.#directions.has(event.tag)) return this.#registrar.onSilent(event.tag, now)
        return this.#directions.end(event.tag, { ok: false, code: 'timeout', text: 'the coordinator does not answer' })
      case 'response':
        if (this.#moves.has(event.tag)) return this.#moves.onResponse(event.tag, event.message, now)
        if (this.#directions.has(event.tag)) return this.#directions.onResponse(event.tag, event.message, now)
        return this.#registrar.onResponse(event.tag, event.message, now)
      case 'request':
        return this.#onRequest(event, now)
      case 'enrolled':
        this.#registrar.enrolled(event.chain)
        return this.#tell(event)
      case 'refused':
        return this.#tell(event)
      default:
        return event satisfies never
    }
  }

  #onRequest(event: Extract<ControlClientEvent, { event: 'request' }>, now: Instant): void {
    const { message, transaction } = event
    switch (message.kind) {
      case 'route-direction':
        return this.#tell({ event: 'asked', transaction, message })
      case 'path-extend':
      case 'peer-moved':
        // A path we do not know cannot be extended; the coordinator makes a new contract then.
        if (this.tunnels.byContract(message.contractHash) === null) {
          return this.decline(transaction, 'no-route', 'path is not known here', now)
        }
        if (message.kind === 'path-extend') return this.#tell({ event: 'asked', transaction, message })
        // Older word than what is known changes nothing, and is no fault: answers overtake each other.
        this.tunnels.relocate(message.contractHash, message.whereabouts, now)
        return this.#p.control.respond(transaction, { kind: 'peer-moved-response' }, now)
      case 'path-close':
        this.tunnels.close(message.contractHash, message.reason, now)
        return this.#p.control.respond(transaction, { kind: 'path-close-response' }, now)
      case 'relay-direction':
      case 'relay-release':
        if (this.#p.isRelay === true) return this.#tell({ event: 'relay-asked', transaction, message })
        return this.decline(transaction, 'unsupported', 'not a relay', now)
      default:
        return this.decline(transaction, 'unsupported', '', now)
    }
  }

  #onTunnel(out: Exclude<TunnelsOut, { out: 'send' }>, now: Instant): void {
    const { contractHash, row } = out.path
    switch (out.out) {
      case 'opened':
        this.#tell({ event: 'path-open', contractHash, row })
        return this.#directions.opened(contractHash, row)
      case 'failed':
      case 'closed':
        this.#directions.gone(contractHash, out.why)
        return this.#gone(out.path, out.why)
      case 'reset':
        return this.#gone(out.path, 'reset')
      case 'silent':
        // The next packet or query asks for a new path; the coordinator knows whether the peer is still there.
        this.tunnels.close(contractHash, 'lost', now)
        return this.#gone(out.path, 'silent')
      case 'astray':
        return this.#moves.astray(out.path, now)
      case 'way':
        return this.#tell({ event: 'path-way', contractHash, row, way: out.way })
      case 'mtu':
        return this.#tell({ event: 'path-mtu', contractHash, row })
      default:
        return out satisfies never
    }
  }

  #gone(path: Path, why: string): void {
    this.#moves.gone(path)
    this.#tell({ event: 'path-gone', contractHash: path.contractHash, row: path.row, peer: path.peer.node, why })
  }

  #onRegistrar(o: RegistrarOut, now: Instant): void {
    switch (o.out) {
      case 'ask':
        return this.#p.control.request(o.tag, o.message, REGISTER_TIMEOUT, now)
      case 'event':
        this.#out.push(o)
        return
      case 'send':
        this.#out.push({ ...o, via: null })
        return
      case 'restart':
        return this.#p.control.restart(now)
      case 'known':
        return this.#directions.registered()
      default:
        return o satisfies never
    }
  }

  #tell(event: NodeEvent): void {
    this.#out.push({ out: 'event', event })
  }
}

/** Type code of a session's reset, `wire/reset.ts`. */
const RESET_SESSION = 2
/** Type code of a relay's Echo, `wire/relay-leg.ts`. */
const TYPE_ECHO = 6
const REGISTER_TIMEOUT = seconds(5)
