import { type Millis, millis, seconds } from '../base/time.ts'

/**
 * Every timer and every count-like limit of the protocol, with where it is written. The seeds name no timers at all
 * (SEED 002 and 003 describe messages, not their clocks), so the source is `docs/wire.md`, section Timers, unless
 * another is given.
 */

/** Waits between copies of one Tunnel Request; each ± `REQUEST_JITTER`, the last one repeats. Same bytes every time. */
export const REQUEST_WAITS: readonly Millis[] = [millis(300), millis(600), millis(1200), millis(2400)]
/** Share by which a wait is shortened or lengthened, so that two ends that crossed once do not cross for ever. */
export const REQUEST_JITTER = 0.1
/** After this a Tunnel Request is made anew: fresh ephemeral, try + 1. */
export const REQUEST_FRESH = seconds(5)
/** The opener gives a path up that never opened. */
export const SETUP_GIVE_UP = seconds(15)
/** An end gives a rekey up; the old key stops at the same moment (120 + 60 = 180). */
export const REKEY_GIVE_UP = seconds(60)

/** The opener proposes a new epoch this long after the last one was born, ± `REKEY_SPREAD`. */
export const REKEY_OPENER = seconds(120)
export const REKEY_SPREAD = seconds(10)
/** The acceptor does it when the opener did not. */
export const REKEY_ACCEPTOR = seconds(150)
/** A key older than this seals nothing. */
export const KEY_STOP = seconds(180)
/** A key older than this is erased, so it opens nothing either. */
export const KEY_ERASE = seconds(200)
/** Per key and direction: propose a new epoch; packets and bytes. */
export const REKEY_PACKETS = 2 ** 26
export const REKEY_BYTES = 2 ** 38
/** Per key and direction: seal nothing more. */
export const STOP_PACKETS = 2 ** 28
export const STOP_BYTES = 2 ** 39

/** Sent when inner packets came and nothing went for this long (SEED 002 §3, keep-alive; shape of WireGuard's). */
export const PASSIVE_KEEPALIVE = seconds(10)
/** Keeps the opener's NAT mapping while flows live. RFC 4787 REQ-5 asks NATs for 120 s; home routers give 30. */
export const NAT_KEEPALIVE = seconds(20)
/** Nothing received for this long while sending: ask with challenges. */
export const SILENCE = seconds(10)
/** Between the challenges that follow silence. */
export const CHALLENGE_WAIT = millis(300)
export const CHALLENGES = 3
/** A path without inner packets is closed. */
export const IDLE = seconds(600)
/** How long a contract is good for when the coordinator says nothing else. */
export const LEASE = seconds(24 * 3600)
/** Entries made on the way to an open path. SEED 003 Fig. 4 leaves them for ever; here they drain. */
export const PROVISIONAL = seconds(15)
/** A Tunnel Request that overtook its Route Direction waits this long for it. */
export const PARKED_REQUEST = seconds(1)
/** The first half of an inner packet waits this long for the second. */
export const HALF_PACKET = seconds(1)
export const HALVES_PER_PATH = 32
export const HALVES_BYTES = 4 * 2 ** 20
/** Age at which a cookie secret is renewed; the one before stays valid as long again. */
export const COOKIE = seconds(120)
/** A directly preceding address may take over only after its answer; this long it may take. RFC 9000 §8.2.4 (3 × PTO). */
export const ADDRESS_TRIAL = seconds(3)
/** Bytes sent to an address that has not answered, per byte received from it. RFC 9000 §8.1. */
export const UNPROVEN_FACTOR = 3

/** DPLPMTUD: wait for one probe's answer, probes of one size, and when to look for a larger size. RFC 8899 §5.1. */
export const PROBE_WAIT = seconds(1)
export const PROBE_FIRST_WAIT = millis(300)
export const PROBES = 3
export const PROBE_RAISE = seconds(600)
/** DPLPMTUD: how often the size in use is confirmed while inner packets flow. RFC 8899 §5.1.1. */
export const PROBE_CONFIRM = seconds(30)

/** Control: retransmission before the first measured round trip, its floor, its ceiling, and when the peer is silent. */
export const CONTROL_RTO_FIRST = millis(300)
export const CONTROL_RTO_MIN = millis(100)
export const CONTROL_RTO_MAX = seconds(3)
export const CONTROL_GIVE_UP = seconds(15)
/** Control sessions are made anew after this time or this many sealed datagrams. */
export const CONTROL_REKEY = seconds(3600)
export const CONTROL_REKEY_PACKETS = 2 ** 20
/** How long the coordinator keeps a direction for a node that is silent (it is moving). */
export const QUEUED_DIRECTION = seconds(30)
/** Path secrets stay in the coordinator's memory this long after delivery. */
export const PATH_SECRET_KEPT = seconds(60)
/** A restarted idle node says hello after a random time up to this (`docs/security.md`, Restart). */
export const RESTART_SPREAD = seconds(60)
/** Relay legs (SEED 002 §4): refresh of a Bind, and a leg's death without one. */
export const BIND_REFRESH = seconds(20)
export const LEG_EXPIRY = seconds(60)
/** A host's held DNS query is answered SERVFAIL at the latest after this. */
export const DNS_HOLD = seconds(2)
