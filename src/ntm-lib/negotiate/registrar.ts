import type { Endpoint } from '../addr/endpoint.ts'
import { type Instant, sooner } from '../base/time.ts'
import type { Request, Response } from '../wire/message.ts'
import type { NodeEvent } from './node-events.ts'
import type { NodeParts } from './node-parts.ts'
import {
  type RegisterInput,
  type Registering,
  type RegisterOutput,
  type RegisterSelf,
  registerDeadline,
  registerDown,
  registerStep,
} from './register.ts'
import { RelayProbes } from './relay-probes.ts'
import { Renewal } from './renewal.ts'

export type RegistrarOut =
  | { readonly out: 'ask'; readonly tag: string; readonly message: Request }
  | { readonly out: 'event'; readonly event: NodeEvent }
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** The session is of no use: say hello again. */
  | { readonly out: 'restart' }
  /** The coordinator knows us (again). */
  | { readonly out: 'known' }

type RegistrarParts = Pick<NodeParts, 'self' | 'membership' | 'trusts' | 'random'>

/**
 * What the coordinator knows of this node: the registration, the membership it rests on, and how far the node is from the relays
 * it may be given.
 */
export class Registrar {
  readonly #trusts: RegistrarParts['trusts']
  readonly #self: RegisterSelf
  readonly #renewal: Renewal
  readonly #probes: RelayProbes
  readonly #out: RegistrarOut[] = []
  #registering: Registering = registerDown
  #zones: readonly string[] = []

  constructor({ self, membership, trusts, random }: RegistrarParts) {
    this.#trusts = trusts
    this.#renewal = new Renewal(membership)
    this.#probes = new RelayProbes((count) => random.bytes(count))
    this.#self = { ...self, relays: () => this.#probes.readings() }
  }

  get state(): Registering['at'] {
    return this.#registering.at
  }

  /** Zones whose names are NTM names, as the coordinator last said. */
  get zones(): readonly string[] {
    return this.#zones
  }

  session(now: Instant): void {
    this.#input({ in: 'session' }, now)
  }

  lost(now: Instant): void {
    this.#input({ in: 'session-lost' }, now)
  }

  /** Candidates or hosts changed. */
  changed(now: Instant): void {
    this.#input({ in: 'changed' }, now)
  }

  /** We are elsewhere: tell it, and measure anew. */
  moved(now: Instant): void {
    this.changed(now)
    this.#probes.measure(now)
  }

  enrolled(chain: readonly Uint8Array[]): void {
    this.#renewal.enrolled(chain)
  }

  onResponse(tag: string, message: Response, now: Instant): void {
    if (tag === RENEW) this.#onRenewed(message, now)
    else this.#input({ in: 'response', tag, message }, now)
  }

  onSilent(tag: string, now: Instant): void {
    // A renewal is asked for again with a later registration.
    if (tag !== RENEW) this.#input({ in: 'silent', tag }, now)
  }

  /** A relay's Echo; whether we waited for it. */
  onEcho(from: Endpoint, bytes: Uint8Array, now: Instant): boolean {
    return this.#probes.onEcho(from, bytes, now)
  }

  tick(now: Instant): void {
    this.#probes.tick(now)
    if (this.#probes.takeNews()) this.changed(now)
    this.#input({ in: 'clock' }, now)
  }

  deadline(): Instant | null {
    return sooner(registerDeadline(this.#registering), this.#probes.deadline())
  }

  poll(): RegistrarOut | null {
    const probe = this.#probes.poll()
    return probe === null ? (this.#out.shift() ?? null) : { out: 'send', ...probe }
  }

  #input(input: RegisterInput, now: Instant): void {
    const { state, out } = registerStep(this.#registering, input, this.#self, now)
    this.#registering = state
    for (const o of out) this.#onRegister(o, now)
  }

  #onRegister(o: RegisterOutput, now: Instant): void {
    switch (o.out) {
      case 'ask':
        this.#out.push(o)
        return
      case 'registered':
        if (o.first && !this.#trusts(o.answer.descriptors)) {
          const text = 'the coordinator has no certificate of this network'
          this.#tell({ event: 'refused', code: 'forbidden', text })
          this.#out.push({ out: 'restart' })
          return
        }
        this.#zones = o.answer.zones
        this.#tell({ event: 'registered', answer: o.answer, first: o.first })
        this.#out.push({ out: 'known' })
        this.#probes.offer(o.answer.relays, now)
        if (this.#renewal.due(now)) this.#renew()
        return
      case 'refused':
        // Expired members may still say hello, in order to renew: no lock-out.
        if (o.code === 'expired') this.#renew()
        this.#tell({ event: 'refused', code: o.code, text: o.text })
        return
      case 'session-dead':
        this.#out.push({ out: 'restart' })
        return
      default:
        return o satisfies never
    }
  }

  /** The coordinator's issuer signs anew; a membership from a grant it cannot, and says so. */
  #renew(): void {
    this.#out.push({ out: 'ask', tag: RENEW, message: { kind: 'cert-renew', chain: [] } })
  }

  #onRenewed(message: Response, now: Instant): void {
    if (message.kind === 'refusal') return this.#tell({ event: 'refused', code: message.code, text: message.text })
    if (message.kind !== 'cert-renew-response' || !this.#renewal.take(message.chain)) return
    this.#tell({ event: 'renewed', chain: message.chain })
    if (this.#registering.at === 'refused') this.#input({ in: 'session' }, now)
  }

  #tell(event: NodeEvent): void {
    this.#out.push({ out: 'event', event })
  }
}

const RENEW = 'renew'
