import type { Endpoint } from '../addr/endpoint.ts'
import { hex } from '../base/hex.ts'
import { after, type Instant, type Millis, sooner } from '../base/time.ts'
import type { Counters } from '../ports/counters.ts'
import type { Log } from '../ports/log.ts'
import {
  CLASS_CONTROL,
  CLASS_CONTROL_HANDSHAKE,
  CLASS_RESET,
  CLASS_TUNNEL_HANDSHAKE,
  readHeader,
} from '../wire/header.ts'
import type { Response } from '../wire/message.ts'
import type { DirectionResponse, PathExtend, RouteDirection } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import type { ControlClient } from './control-client.ts'
import type { TransactionKey } from './control-events.ts'
import type { ControlClientEvent, Directed, NodeEvent, Wanted } from './node-events.ts'
import { type RegisterInput, type RegisterSelf, registerDeadline, registerDown, registerStep } from './register.ts'
import type { Tunnels, TunnelsOut } from './tunnels.ts'

export type NodeOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  | { readonly out: 'event'; readonly event: NodeEvent }

type Direction = {
  readonly wanted: Wanted
  readonly name: string
  readonly until: Instant
  response: DirectionResponse | null
}

export type NodeParts = {
  readonly control: ControlClient
  readonly tunnels: Tunnels
  readonly self: RegisterSelf
  readonly hash: (bytes: Uint8Array) => Uint8Array
  readonly log: Log
  readonly counters: Counters
  /** How long a role waits for a direction, from asking to an open tunnel. */
  readonly directionTimeout: Millis
}

/**
 * One NTM node's negotiation: the control client, the registration and the tunnels as one Machine (the seeds'
 * negotiation module). Roles put their decisions on top: which names to ask for, which directions to accept.
 */
export class Node {
  readonly tunnels: Tunnels
  readonly #p: NodeParts
  #registering = registerDown
  readonly #directions = new Map<string, Direction>()
  readonly #out: NodeOut[] = []

  constructor(parts: NodeParts) {
    this.#p = parts
    this.tunnels = parts.tunnels
  }

  start(now: Instant): void {
    this.#p.control.start(now)
    this.#settle(now)
  }

  /** Everything but Capsulated Packets, which the data path gives to `tunnels.open` itself. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const header = readHeader(bytes)
    if (!header.ok) return this.#p.counters.count(`ntm.drop.${header.fault}`)
    switch (header.value.cls) {
      case CLASS_CONTROL_HANDSHAKE:
      case CLASS_CONTROL:
        this.#p.control.handle(from, bytes, now)
        break
      case CLASS_TUNNEL_HANDSHAKE:
        this.tunnels.handle(from, bytes, now)
        break
      case CLASS_RESET:
        if (header.value.flags === RESET_SESSION) this.#p.control.handle(from, bytes, now)
        else this.tunnels.handle(from, bytes, now)
        break
      default:
        this.#p.counters.count('ntm.drop.unknown-kind')
    }
    this.#settle(now)
  }

  /** Asks the coordinator for a path; answered by one `directed` event with this tag. */
  direct(tag: string, wanted: Wanted, now: Instant): void {
    const name = wanted.sought.by === 'name' ? wanted.sought.name : ''
    this.#directions.set(tag, { wanted, name, until: after(now, this.#p.directionTimeout), response: null })
    this.#request(tag, wanted, NO_CONTRACT, now)
    this.#settle(now)
  }

  /** Says yes to an `asked` event: the path is installed and the coordinator told what the resolution found. */
  accept(
    transaction: TransactionKey,
    message: RouteDirection | PathExtend,
    found: { readonly ttlSeconds: number; readonly families: number },
    now: Instant,
  ): void {
    if (message.kind === 'route-direction') {
      const installed = this.tunnels.install(message.route, {}, now)
      if (!installed.ok) return this.decline(transaction, installed.code, installed.why, now)
    }
    this.#p.control.respond(transaction, { kind: 'path-accept', ...found }, now)
    this.#settle(now)
  }

  decline(transaction: TransactionKey, code: RefusalCode, text: string, now: Instant): void {
    const refusal: Response = { kind: 'refusal', code, retryAfterMillis: 0, text }
    this.#p.control.respond(transaction, refusal, now)
    this.#settle(now)
  }

  /** Candidates or hosts changed: tell the coordinator now. */
  changed(now: Instant): void {
    this.#register({ in: 'changed' }, now)
    this.#settle(now)
  }

  tick(now: Instant): void {
    this.#p.control.tick(now)
    this.tunnels.tick(now)
    this.#register({ in: 'clock' }, now)
    for (const [tag, d] of this.#directions) {
      if (d.until <= now) this.#directed(tag, { ok: false, code: 'timeout', text: 'no path in time' })
    }
    this.#settle(now)
  }

  deadline(): Instant | null {
    let first = sooner(this.#p.control.deadline(), this.tunnels.deadline())
    first = sooner(first, registerDeadline(this.#registering))
    for (const d of this.#directions.values()) first = sooner(first, d.until)
    return first
  }

  poll(): NodeOut | null {
    return this.#out.shift() ?? null
  }

  /** Passes on what the parts produced until nobody has anything more to say. */
  #settle(now: Instant): void {
    for (;;) {
      const control = this.#p.control.poll()
      if (control !== null) {
        if (control.out === 'send') this.#out.push(control)
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
        return this.#register({ in: 'session' }, now)
      case 'lost':
        this.#register({ in: 'session-lost' }, now)
        return this.#tell({ event: 'offline' })
      case 'silent':
        if (this.#directions.has(event.tag)) {
          return this.#directed(event.tag, { ok: false, code: 'timeout', text: 'the coordinator does not answer' })
        }
        return this.#register({ in: 'silent', tag: event.tag }, now)
      case 'response':
        if (this.#directions.has(event.tag)) return this.#onDirection(event.tag, event.message, now)
        return this.#register({ in: 'response', tag: event.tag, message: event.message }, now)
      case 'request':
        return this.#onRequest(event, now)
      case 'enrolled':
        return this.#tell({ event: 'enrolled', chain: event.chain })
      case 'refused':
        return this.#tell({ event: 'refused', code: event.code, text: event.text })
      default:
        return event satisfies never
    }
  }

  #onRequest(event: Extract<ControlClientEvent, { event: 'request' }>, now: Instant): void {
    const { message, transaction } = event
    switch (message.kind) {
      case 'route-direction':
      case 'path-extend': {
        // A path we do not know cannot be extended; the coordinator makes a new contract then.
        if (message.kind === 'path-extend' && this.tunnels.byContract(message.contractHash) === null) {
          return this.decline(transaction, 'no-route', 'path is not known here', now)
        }
        return this.#tell({ event: 'asked', transaction, message })
      }
      case 'path-close':
        this.tunnels.close(message.contractHash, message.reason, now)
        return this.#p.control.respond(transaction, { kind: 'path-close-response' }, now)
      default:
        return this.decline(transaction, 'unsupported', '', now)
    }
  }

  #onDirection(tag: string, message: Response, now: Instant): void {
    const direction = this.#directions.get(tag)
    if (direction === undefined) return
    if (message.kind === 'refusal') {
      return this.#directed(tag, { ok: false, code: message.code, text: message.text })
    }
    if (message.kind !== 'direction-response') return this.#directed(tag, WRONG_ANSWER)
    direction.response = message
    if (message.route !== null) {
      const hash = this.#p.hash(message.route.contract)
      if (hex(hash) !== hex(message.contractHash)) return this.#directed(tag, WRONG_ANSWER)
      const expect = message.target === null ? { peerName: direction.name } : { terminatorRequired: true }
      const installed = this.tunnels.install(message.route, expect, now)
      if (!installed.ok) return this.#directed(tag, { ok: false, code: installed.code, text: installed.why })
    }
    const path = this.tunnels.byContract(message.contractHash)
    // The coordinator believes in a path that we lost, for instance in a restart: ask once more and say so.
    if (path === null) {
      direction.response = null
      return this.#request(tag, direction.wanted, message.contractHash, now)
    }
    if (path.isOpen) this.#directed(tag, { ok: true, contractHash: message.contractHash, target: message.target })
  }

  #onTunnel(out: Exclude<TunnelsOut, { out: 'send' }>, now: Instant): void {
    const hash = out.path.contractHash
    switch (out.out) {
      case 'opened':
        this.#tell({ event: 'path-open', contractHash: hash })
        for (const [tag, d] of this.#waitingFor(hash)) {
          this.#directed(tag, { ok: true, contractHash: hash, target: d.response?.target ?? null })
        }
        return
      case 'failed':
      case 'closed':
        for (const [tag] of this.#waitingFor(hash)) {
          this.#directed(tag, { ok: false, code: 'no-route', text: out.why })
        }
        return this.#tell({ event: 'path-gone', contractHash: hash, why: out.why })
      case 'silent':
      case 'reset':
        // The peer no longer knows the path. Both ends forget it; the next packet or query asks for a new one.
        this.tunnels.close(hash, 'lost', now)
        return this.#tell({ event: 'path-gone', contractHash: hash, why: out.out })
      case 'mtu':
        return
      default:
        return out satisfies never
    }
  }

  #waitingFor(hash: Uint8Array): readonly (readonly [string, Direction])[] {
    return [...this.#directions].filter(([, d]) => d.response !== null && hex(d.response.contractHash) === hex(hash))
  }

  #directed(tag: string, result: Directed): void {
    if (this.#directions.delete(tag)) this.#tell({ event: 'directed', tag, result })
  }

  #request(tag: string, wanted: Wanted, lost: Uint8Array, now: Instant): void {
    const { sought, why, sources } = wanted
    const reason = lost === NO_CONTRACT ? why : 'reset'
    const timeout = this.#p.directionTimeout
    this.#p.control.request(tag, { kind: 'direction-request', sought, why: reason, sources, lost }, timeout, now)
  }

  #register(input: RegisterInput, now: Instant): void {
    const { state, out } = registerStep(this.#registering, input, this.#p.self, now)
    this.#registering = state
    for (const o of out) {
      switch (o.out) {
        case 'ask':
          this.#p.control.request(o.tag, o.message, REGISTER_TIMEOUT, now)
          break
        case 'registered':
          this.#tell({ event: 'registered', answer: o.answer, first: o.first })
          break
        case 'refused':
          this.#tell({ event: 'refused', code: o.code, text: o.text })
          break
        case 'session-dead':
          this.#p.control.restart(now)
          break
        default:
          o satisfies never
      }
    }
  }

  #tell(event: NodeEvent): void {
    this.#out.push({ out: 'event', event })
  }
}

const RESET_SESSION = 2
const NO_CONTRACT = new Uint8Array(32)
const REGISTER_TIMEOUT = 5000 as Millis
const WRONG_ANSWER: Directed = { ok: false, code: 'unsupported', text: 'the answer does not fit the question' }
