import { type Millis, millis, seconds } from '#ntm-lib/base/time.ts'

/** Every length of time in the terminator, with its source. */
export const TT_TIMERS = {
  /** RFC 6146 §4 UDP_DEFAULT. */
  udp: seconds(300),
  /** RFC 6146 §4 TCP_EST: 2 hours and 4 minutes. */
  tcpEstablished: seconds(7440),
  /** RFC 6146 §4 TCP_TRANS: opening, closing and after a reset. */
  tcpTransitory: seconds(240),
  /** RFC 6146 §4 ICMP_DEFAULT. */
  icmp: seconds(60),
  /** Protocols without ports: as UDP. */
  other: seconds(300),
  /** How long the rest of a fragmented packet may follow its first fragment: the kernel's own reassembly time. */
  fragment: seconds(30),
  /** How long a later fragment waits for a first one that it overtook: RFC 6146 §4 FRAGMENT_MIN. */
  fragmentWait: seconds(2),
  /** How often flows are looked through for dead ones: a flow may outlive its timer by this. */
  flowSweep: seconds(10),
  /** A real address that was unreachable is not chosen for new flows for so long. */
  avoid: seconds(60),
  /** An entry stays this long after its last packet, though its record has expired: hosts keep answers too long. */
  entryIdle: seconds(600),
  /** A virtual address is not given another name's meaning by this terminator for so long (`docs/security.md`, quarantine). */
  quarantine: seconds(86_400),
  /** Shortest time between two resolutions of one name. */
  resolveAgain: seconds(5),
  /** One question to one resolver; then the next one is asked. Two rounds fit into `resolveTotal`. */
  resolveTry: millis(450),
  /** The whole resolution: the host gets its SERVFAIL within 2 s, and the way back takes time too. */
  resolveTotal: millis(1400),
} as const satisfies Readonly<Record<string, Millis>>
