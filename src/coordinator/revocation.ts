import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { PathClose } from '#ntm-lib/wire/messages/direction.ts'
import type { Contracts } from './contracts.ts'
import type { Sessions } from './sessions.ts'

export type RevocationParts = {
  readonly store: CoordinatorStore
  readonly sessions: Sessions
  readonly contracts: Contracts
  readonly log: Log
  /** Told of everybody who was shut out, after his paths. */
  readonly shutOut: (member: Member, now: Instant) => void
}

/** Writes down that a member is one no more, in one transaction; a running coordinator follows. */
export function putRevoked(store: CoordinatorStore, member: Member): void {
  store.transaction(() => {
    store.putMember({ ...member, revoked: true })
    for (const key of ['revocation-version', 'zone-serial'] as const) store.putNumber(key, store.number(key) + 1)
  })
}

/** Shuts out whom the store says is revoked: the ends of its paths and their relays hear of it at once (attack test 12). */
export class Revocations {
  readonly #p: RevocationParts
  readonly #done = new Set<string>()
  #version: number | null = null

  constructor(parts: RevocationParts) {
    this.#p = parts
  }

  revoke(node: NodeId, now: Instant): boolean {
    const member = this.#p.store.member(node)
    if (member === null) return false
    this.follow(now)
    putRevoked(this.#p.store, member)
    this.follow(now)
    return true
  }

  /** Looks whether somebody wrote a revocation; cheap when nobody did. */
  follow(now: Instant): void {
    const version = this.#p.store.number('revocation-version')
    if (version === this.#version) return
    const first = this.#version === null
    this.#version = version
    for (const member of this.#p.store.members()) {
      if (!member.revoked || this.#done.has(nodeKey(member.node))) continue
      this.#done.add(nodeKey(member.node))
      this.#shutOut(member, first, now)
    }
  }

  /** `old`: it was revoked before this program started, which is worth a word only where something was left. */
  #shutOut(member: Member, old: boolean, now: Instant): void {
    const { store, contracts, sessions, log, shutOut } = this.#p
    const { node, name } = member
    const rows = store.contractsOf(node)
    store.transaction(() => {
      for (const row of rows) contracts.end(row)
    })
    for (const { hash, initiator, correspondent } of rows)
      for (const end of [initiator, correspondent]) this.#close(end, hash, now)
    sessions.close(node)
    if (old && rows.length === 0) return
    shutOut(member, now)
    log.warn('member.revoked', { node: nodeKey(node), name })
  }

  #close(end: NodeId, contractHash: Uint8Array, now: Instant): void {
    const close: PathClose = { kind: 'path-close', contractHash, reason: 'revoked' }
    this.#p.sessions.request(end, 'close', close, seconds(5), now)
  }
}
