import type { Endpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'
import { type Instant, type Millis, seconds, sooner } from '../base/time.ts'
import type { Counters } from '../ports/counters.ts'
import {
  CLASS_CAPSULATED,
  CLASS_CONTROL,
  CLASS_CONTROL_HANDSHAKE,
  CLASS_RESET,
  CLASS_TUNNEL_HANDSHAKE,
  readHeader,
} from '../wire/header.ts'
import type { Response } from '../wire/message.ts'
import type { PathExtend, RouteDirection } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import type { ControlClient } from './control-client.ts'
import type { TransactionKey } from './control-events.ts'
import { Directions } from './directions.ts'
import type { MirrorCommand, MirrorEvent } from './mirror.ts'
import type { ControlClientEvent, NodeEvent, Wanted } from './node-events.ts'
import {
  type RegisterInput,
  type Registering,
  type RegisterOutput,
  type RegisterSelf,
  registerDeadline,
  registerDown,
  registerStep,
} from './register.ts'
import { Renewal, type RenewalParts } from './renewal.ts'
import type { Tunnels, TunnelsOut } from './tunnels.ts'

export type NodeOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly via: Via | null }
  | { readonly out: 'event'; readonly event: NodeEvent }
  /** For the packet workers, who must have it before what follows. */
  | { readonly out: 'mirror'; readonly command: MirrorCommand }

export type NodeParts = {
  readonly control: ControlClient
  readonly tunnels: Tunnels
  readonly self: RegisterSelf
  readonly membership: RenewalParts
  readonly hash: (bytes: Uint8Array) => Uint8Array
  readonly counters: Counters
  /** Whether the chain proves that who holds our control session is the network's coordinator. */
  readonly trusts: (coordinatorChain: readonly Uint8Array[]) => boolean
  /** How long a role waits for a direction, from asking to an open tunnel. */
  readonly directionTimeout: Millis
}

/**
 * One NTM node's negotiation: the control client, the registration, the directions and the tunnels as one Machine (the
 * seeds' negotiation module). Roles put their decisions on top: which names to ask for, which directions to accept.
 */
export class Node {
  readonly tunnels: Tunnels
  readonly #p: NodeParts
  readonly #directions: Directions
  readonly #renewal: Renewal
  readonly #out: NodeOut[] = []
  #registering: Registering = registerDown

  constructor(parts: NodeParts) {
    this.#p = parts
    this.tunnels = parts.tunnels
    this.#directions = new Directions(parts.tunnels, parts.hash, parts.directionTimeout)
    this.#renewal = new Renewal(parts.membership)
  }

  /** `down`, `registering`, `confirming`, `registered` or `refused`. */
  get state(): Registering['at'] {
    return this.#registering.at
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
    } else if (cls === CLASS_TUNNEL_HANDSHAKE || cls === CLASS_RESET) {
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
      const installed = this.tunnels.install(message.route, {}, now)
      if (!installed.ok) return this.decline(transaction, installed.code, installed.why, now)
    }
    this.#p.control.respond(transaction, { kind: 'path-accept', ...found }, now)
    this.settle(now)
  }

  decline(transaction: TransactionKey, code: RefusalCode, text: string, now: Instant): void {
    this.#p.control.respond(transaction, { kind: 'refusal', code, retryAfterMillis: 0, text }, now)
    this.settle(now)
  }

  /** Candidates or hosts changed: tell the coordinator now. */
  changed(now: Instant): void {
    this.#register({ in: 'changed' }, now)
    this.settle(now)
  }

  tick(now: Instant): void {
    this.#p.control.tick(now)
    this.tunnels.tick(now)
    this.#directions.tick(now)
    this.#register({ in: 'clock' }, now)
    this.settle(now)
  }

  deadline(): Instant | null {
    const first = sooner(this.#p.control.deadline(), this.tunnels.deadline())
    return sooner(sooner(first, registerDeadline(this.#registering)), this.#directions.deadline())
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
      const direction = this.#directions.poll()
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
        return this.#register({ in: 'session' }, now)
      case 'lost':
        this.#register({ in: 'session-lost' }, now)
        return this.#tell({ event: 'offline' })
      case 'silent':
        if (event.tag === RENEW) return
        if (!this.#directions.has(event.tag)) return this.#register({ in: 'silent', tag: event.tag }, now)
        return this.#directions.end(event.tag, { ok: false, code: 'timeout', text: 'the coordinator does not answer' })
      case 'response':
        if (event.tag === RENEW) return this.#onRenewed(event.message, now)
        if (this.#directions.has(event.tag)) return this.#directions.onResponse(event.tag, event.message, now)
        return this.#register({ in: 'response', tag: event.tag, message: event.message }, now)
      case 'request':
        return this.#onRequest(event, now)
      case 'enrolled':
        this.#renewal.enrolled(event.chain)
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
        // A path we do not know cannot be extended; the coordinator makes a new contract then.
        if (this.tunnels.byContract(message.contractHash) === null) {
          return this.decline(transaction, 'no-route', 'path is not known here', now)
        }
        return this.#tell({ event: 'asked', transaction, message })
      case 'path-close':
        this.tunnels.close(message.contractHash, message.reason, now)
        return this.#p.control.respond(transaction, { kind: 'path-close-response' }, now)
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
        return this.#tell({ event: 'path-gone', contractHash, row, peer: out.path.peer.node, why: out.why })
      case 'reset':
        return this.#tell({ event: 'path-gone', contractHash, row, peer: out.path.peer.node, why: 'reset' })
      case 'silent':
        // The next packet or query asks for a new path; the coordinator knows whether the peer is still there.
        this.tunnels.close(contractHash, 'lost', now)
        return this.#tell({ event: 'path-gone', contractHash, row, peer: out.path.peer.node, why: 'silent' })
      case 'astray':
      case 'way':
        return
      case 'mtu':
        return this.#tell({ event: 'path-mtu', contractHash, row })
      default:
        return out satisfies never
    }
  }

  #register(input: RegisterInput, now: Instant): void {
    const { state, out } = registerStep(this.#registering, input, this.#p.self, now)
    this.#registering = state
    for (const o of out) this.#onRegister(o, now)
  }

  #onRegister(o: RegisterOutput, now: Instant): void {
    switch (o.out) {
      case 'ask':
        return this.#p.control.request(o.tag, o.message, REGISTER_TIMEOUT, now)
      case 'registered':
        if (!o.first || this.#p.trusts(o.answer.descriptors)) {
          this.#tell({ event: 'registered', answer: o.answer, first: o.first })
          this.#directions.registered()
          if (this.#renewal.due(now)) this.#renew(now)
          return
        }
        this.#tell({ event: 'refused', code: 'forbidden', text: 'the coordinator has no certificate of this network' })
        return this.#p.control.restart(now)
      case 'refused':
        // Expired members may still say hello, in order to renew: no lock-out.
        if (o.code === 'expired') this.#renew(now)
        return this.#tell({ event: 'refused', code: o.code, text: o.text })
      case 'session-dead':
        return this.#p.control.restart(now)
      default:
        return o satisfies never
    }
  }

  /** The coordinator's issuer signs anew; a membership from a grant it cannot, and says so. */
  #renew(now: Instant): void {
    this.#p.control.request(RENEW, { kind: 'cert-renew', chain: [] }, REGISTER_TIMEOUT, now)
  }

  #onRenewed(message: Response, now: Instant): void {
    if (message.kind === 'refusal') return this.#tell({ event: 'refused', code: message.code, text: message.text })
    if (message.kind !== 'cert-renew-response' || !this.#renewal.take(message.chain)) return
    this.#tell({ event: 'renewed', chain: message.chain })
    if (this.#registering.at === 'refused') this.#register({ in: 'session' }, now)
  }

  #tell(event: NodeEvent): void {
    this.#out.push({ out: 'event', event })
  }
}

/** Type code of a session's reset, `wire/reset.ts`. */
const RESET_SESSION = 2
const RENEW = 'renew'
const REGISTER_TIMEOUT = seconds(5)
