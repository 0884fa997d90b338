import { same } from '../base/bytes.ts'
import { after, type Instant, type Millis, sooner } from '../base/time.ts'
import type { Response } from '../wire/message.ts'
import type { DirectionRequest, DirectionResponse } from '../wire/messages/direction.ts'
import type { Expected } from './contract-check.ts'
import type { Directed, Wanted } from './node-events.ts'
import type { Tunnels } from './tunnels.ts'

type Pending = {
  readonly wanted: Wanted
  readonly until: Instant
  /** Null while the coordinator has not answered. */
  response: DirectionResponse | null
  /** Whether we have told the coordinator already that its contract is lost here. */
  toldLost: boolean
  /** The coordinator does not know us yet, for instance since its restart: asked again after the registration. */
  held: boolean
}

export type DirectionsOut =
  | { readonly out: 'ask'; readonly tag: string; readonly message: DirectionRequest }
  | { readonly out: 'directed'; readonly tag: string; readonly result: Directed }

/**
 * Directions a role waits for: from the Direction Request to an open path (SEED 003 §3.3). Requests that lead to one path
 * are all answered when it opens.
 */
export class Directions {
  readonly #tunnels: Tunnels
  readonly #hash: (bytes: Uint8Array) => Uint8Array
  readonly #timeout: Millis
  readonly #zones: () => readonly string[]
  readonly #pending = new Map<string, Pending>()
  readonly #out: DirectionsOut[] = []

  /** `zones`: those whose names are NTM names, as far as known. */
  constructor(
    tunnels: Tunnels,
    hash: (bytes: Uint8Array) => Uint8Array,
    timeout: Millis,
    zones: () => readonly string[],
  ) {
    this.#tunnels = tunnels
    this.#hash = hash
    this.#timeout = timeout
    this.#zones = zones
  }

  has(tag: string): boolean {
    return this.#pending.has(tag)
  }

  begin(tag: string, wanted: Wanted, now: Instant): void {
    if (this.#pending.size >= MOST) {
      this.#out.push({
        out: 'directed',
        tag,
        result: { ok: false, code: 'timeout', text: 'too much is asked at once' },
      })
      return
    }
    this.#pending.set(tag, { wanted, until: after(now, this.#timeout), response: null, toldLost: false, held: false })
    this.#ask(tag, wanted, null)
  }

  onResponse(tag: string, message: Response, now: Instant): void {
    const pending = this.#pending.get(tag)
    if (pending === undefined) return
    if (message.kind === 'refusal' && message.code === 'not-registered') {
      pending.held = true
      return
    }
    if (message.kind === 'refusal') return this.end(tag, { ok: false, code: message.code, text: message.text })
    if (message.kind !== 'direction-response') return this.end(tag, WRONG_ANSWER)
    pending.response = message
    if (message.route !== null) {
      if (!same(this.#hash(message.route.contract), message.contractHash)) return this.end(tag, WRONG_ANSWER)
      const installed = this.#tunnels.install(message.route, this.#expected(pending.wanted, message), now)
      if (!installed.ok) return this.end(tag, { ok: false, code: installed.code, text: installed.why })
    }
    const path = this.#tunnels.byContract(message.contractHash)
    if (path !== null) {
      const { row, isOpen } = path
      if (isOpen) this.end(tag, { ok: true, contractHash: message.contractHash, row, target: message.target })
      return
    }
    // The coordinator believes in a path that we lost, for instance in a restart: ask once more and say so.
    if (pending.toldLost) return this.end(tag, WRONG_ANSWER)
    pending.toldLost = true
    pending.response = null
    this.#ask(tag, pending.wanted, message.contractHash)
  }

  /** The coordinator knows us: what it put off is asked again. */
  registered(): void {
    for (const [tag, p] of this.#pending) {
      if (!p.held) continue
      p.held = false
      this.#ask(tag, p.wanted, null)
    }
  }

  opened(contractHash: Uint8Array, row: number): void {
    for (const [tag, p] of this.#waitingFor(contractHash)) {
      this.end(tag, { ok: true, contractHash, row, target: p.response?.target ?? null })
    }
  }

  gone(contractHash: Uint8Array, why: string): void {
    for (const [tag] of this.#waitingFor(contractHash)) this.end(tag, { ok: false, code: 'peer-silent', text: why })
  }

  end(tag: string, result: Directed): void {
    if (this.#pending.delete(tag)) this.#out.push({ out: 'directed', tag, result })
  }

  tick(now: Instant): void {
    for (const [tag, p] of this.#pending) {
      if (p.until > now) continue
      const text = p.response === null ? 'no answer from the coordinator in time' : 'no path in time'
      this.end(tag, { ok: false, code: 'timeout', text })
    }
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const p of this.#pending.values()) first = sooner(first, p.until)
    return first
  }

  poll(): DirectionsOut | null {
    return this.#out.shift() ?? null
  }

  /** Who may answer. A name of an NTM zone is a node's; any other may be an ordinary server's, which a terminator leads to. */
  #expected({ sought }: Wanted, { target }: DirectionResponse): Expected {
    if (sought.by === 'peer') return { peerName: sought.name }
    if (sought.by === 'name') {
      return target === null || this.#isOurs(sought.name)
        ? { peerName: sought.name }
        : { peerOrTerminator: sought.name }
    }
    // Whose an address is only the coordinator knows; but what it says of it must fit together.
    if (target === null) return {}
    return this.#isOurs(target.name) ? { peerName: target.name } : { peerOrTerminator: target.name }
  }

  #isOurs(name: string): boolean {
    return this.#zones().some((zone) => name === zone || name.endsWith(`.${zone}`))
  }

  #waitingFor(contractHash: Uint8Array): readonly (readonly [string, Pending])[] {
    return [...this.#pending].filter(([, p]) => p.response !== null && same(p.response.contractHash, contractHash))
  }

  #ask(tag: string, { sought, why, sources }: Wanted, lost: Uint8Array | null): void {
    const message: DirectionRequest = {
      kind: 'direction-request',
      sought,
      why: lost === null ? why : 'reset',
      sources,
      lost: lost ?? NO_CONTRACT,
    }
    this.#out.push({ out: 'ask', tag, message })
  }
}

/** Wishes that wait at the same time; beyond that nobody would be answered in time. */
const MOST = 4096
const NO_CONTRACT = new Uint8Array(32)
const WRONG_ANSWER: Directed = { ok: false, code: 'unsupported', text: 'the answer does not fit the question' }
