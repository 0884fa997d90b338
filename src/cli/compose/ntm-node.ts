import { readFileSync } from 'node:fs'
import { systemCalendar, systemClock, systemRandom } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import { between, seconds, type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { identityOf } from '#ntm-lib/crypto/identity.ts'
import { fingerprintOf } from '#ntm-lib/crypto/schedule.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, type SuiteId } from '#ntm-lib/crypto/suite.ts'
import { floorOf, trustedTime } from '#ntm-lib/crypto/trusted-time.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { Node } from '#ntm-lib/negotiate/node.ts'
import { Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { Candidate, HostClaim } from '#ntm-lib/wire/messages/common.ts'
import { builtAt } from '../appliance/image-facts.ts'
import { type Box, nameOf } from './box.ts'

export type NtmNodeParts = {
  readonly box: Box
  /** `ROLE_…` bits told in Hello. */
  readonly roles: number
  readonly underlayMtuBytes: number
  /** How busy a relay is, told with each registration. */
  readonly loadPercent?: () => number
  readonly log: Log
  readonly counters: Counters
}

/** What the node says about itself; the shell writes it, the registration reads it. */
export type Whereabouts = { candidates: readonly Candidate[]; hosts: readonly HostClaim[]; version: number }

export type NtmNode = {
  readonly node: Node
  /** In the membership certificate; empty before enrolment. */
  readonly name: string
  /** Of the network. */
  readonly fingerprint: Fingerprint
  readonly where: Whereabouts
  /** What packet workers and tunnels share, for the packet host. */
  readonly cells: Float64Array
  /** H of encoded contracts: their names in every table. */
  readonly hash: (bytes: Uint8Array) => Uint8Array
  /** The coordinator's clock as it should be now; null before it has told the time. */
  coordinatorTime(): WallTime | null
  /** To be called with the `enrolled` and `renewed` events: keeps the membership and uses it from now on. */
  enrolled(chain: readonly Uint8Array[]): void
}

/** A box's negotiation with everything it needs from this machine. */
export function makeNode({ box, roles, underlayMtuBytes, loadPercent, log, counters }: NtmNodeParts): NtmNode {
  const suite = nodeCrypto
  const fingerprint = fingerprintOf(suite, box.rootPublicKey)
  const bootId = suite.random(8)
  const where: Whereabouts = { candidates: [], hosts: [], version: 1 }
  let name = box.name
  const built = builtAt()
  let floor = floorOf(built, box.identity.chain)
  const coordinatorTime = (): WallTime | null => {
    const heard = control.heardTime
    return heard === null ? null : wallTime(heard.time + between(heard.at, systemClock.now()))
  }
  const now = (): WallTime | null => trustedTime({ own: systemCalendar.today(), floor, coordinator: coordinatorTime() })
  const trust = { rootPublicKey: box.rootPublicKey, now, floor: () => floor, revoked: () => false }
  const cells = mirrorCells(MAX_PATHS)
  const tunnels = new Tunnels({
    suite,
    mirror: { cells },
    identity: box.identity,
    trust,
    random: systemRandom,
    log,
    counters,
    bootId,
    revocationVersion: () => 0,
    settings: { innerMtuBytes: INNER_MTU, underlayMtuBytes, suites: suites(), resetSecret: box.resetSecret },
  })
  const control: ControlClient = new ControlClient({
    caller: {
      suite,
      self: box.identity.static,
      fingerprint,
      coordinatorKey: box.coordinatorStatic,
      bootId,
      roles,
    },
    endpoints: box.endpoints,
    enrol: box.enrol,
    log,
    counters,
  })
  const node = new Node({
    control,
    tunnels,
    self: {
      bootId,
      presence: () => ({ name, candidates: where.candidates, hosts: where.hosts, mtuBytes: underlayMtuBytes }),
      version: () => where.version,
      ...(loadPercent === undefined ? {} : { loadPercent }),
    },
    isRelay: (roles & ROLE_RELAY) !== 0,
    membership: { chain: box.identity.chain, today: now },
    hash: (bytes) => suite.hash(bytes),
    counters,
    random: systemRandom,
    trusts: (chain) => {
      const proven = verifyChain({
        suite,
        chain,
        rootPublicKey: box.rootPublicKey,
        now: now(),
        floor,
        revoked: () => false,
      })
      return proven.ok && isCoordinator(proven.value) && suite.equal(proven.value.leaf.subject, box.coordinatorStatic)
    },
    directionTimeout: DIRECTION_TIMEOUT,
  })
  return {
    node,
    get name() {
      return name
    },
    where,
    fingerprint,
    cells,
    hash: (bytes) => suite.hash(bytes),
    coordinatorTime,
    enrolled: (chain) => {
      box.saveChain(chain)
      tunnels.setIdentity(identityOf(suite, box.identity.static, chain))
      name = nameOf(chain)
      floor = floorOf(built, chain)
    },
  }
}

function suites(): readonly SuiteId[] {
  return hasAes(readFileSync('/proc/cpuinfo', 'utf8'))
    ? [AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305]
    : [CHACHA20_POLY1305]
}

/** Whether the CPU has AES instructions; without them ChaCha20-Poly1305 is several times faster. */
export const hasAes = (cpuinfo: string): boolean => /^(flags|Features)\s*:.*\baes\b/m.test(cpuinfo)

/** Paths of one box at a time: a terminator's customers. 64 bytes each. */
const MAX_PATHS = 32_768
/** Largest inner packet taken, whole or in halves: what a host's Ethernet can send. */
const INNER_MTU = 1500
/** Inside `dns.hold`, with room left to answer the host. */
const DIRECTION_TIMEOUT = seconds(1.8)
