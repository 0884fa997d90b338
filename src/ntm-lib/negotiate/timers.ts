import { type Millis, millis, seconds } from '../base/time.ts'

/** One timer: its length, and where that is written or why it is so. */
export type Timer = { readonly millis: Millis; readonly source: string }

/**
 * Every timer of the protocol. The seeds name none (SEED 002 and 003 describe messages, not their clocks), so "wire"
 * means `docs/wire.md`, section Timers; anything else says why.
 */
export const TIMERS = {
  // Tunnel Request and Response.
  /** Waits between copies of one Tunnel Request, each ± `LIMITS.requestJitter`; the last repeats. */
  tunnelRequest1: { millis: millis(300), source: 'wire' },
  tunnelRequest2: { millis: millis(600), source: 'wire' },
  tunnelRequest3: { millis: millis(1200), source: 'wire' },
  tunnelRequest4: { millis: millis(2400), source: 'wire' },
  /** After this a Tunnel Request is made anew: fresh ephemeral, try + 1. */
  tunnelRequestFresh: { millis: seconds(5), source: 'wire' },
  ready: { millis: millis(300), source: 'as tunnelRequest1: the peer seals in an epoch only once it heard us in it' },
  setupGiveUp: { millis: seconds(15), source: 'wire' },
  rekeyGiveUp: { millis: seconds(60), source: 'wire; 120 + 60 is the moment the old key stops' },
  parkedRequest: { millis: seconds(1), source: 'wire: a Tunnel Request that overtook its Route Direction' },
  cookie: { millis: seconds(120), source: 'wire: age of a cookie secret; the one before stays valid as long again' },
  loadWindow: { millis: seconds(1), source: 'DHs per this long are what "under load" counts' },

  // Epochs of a path.
  /** The opener proposes an epoch this long after the last was born, ± `rekeySpread`. */
  rekeyOpener: { millis: seconds(120), source: 'wire' },
  rekeySpread: { millis: seconds(10), source: 'wire' },
  rekeyAcceptor: { millis: seconds(150), source: 'wire: only when the opener did not' },
  keyStop: { millis: seconds(180), source: 'wire: an older key seals nothing' },
  keyErase: { millis: seconds(200), source: 'wire: an older key is gone' },

  // Life of a path.
  passiveKeepAlive: {
    millis: seconds(2),
    source: 'inner packets came and nothing went: a second before it would be called silence',
  },
  natKeepAlive: { millis: seconds(20), source: 'wire; RFC 4787 REQ-5 asks NATs for 120 s, home routers give 30' },
  silence: {
    millis: seconds(3),
    source: 'nothing received while sending: a person waits no longer (wire proposed 10 s)',
  },
  challenge: { millis: millis(300), source: 'wire: between the challenges that follow silence' },
  astray1: { millis: seconds(1), source: 'between calls for help while a peer is astray: doubles from here' },
  astrayMost: {
    millis: seconds(30),
    source: 'as queuedDirection: the coordinator keeps word for a silent node that long',
  },
  astrayGiveUp: { millis: seconds(30), source: 'as queuedDirection: then nobody knows where the peer is' },
  idle: { millis: seconds(600), source: 'wire: no inner packet either way' },
  lease: { millis: seconds(24 * 3600), source: 'wire: when the contract does not say' },
  provisional: { millis: seconds(15), source: 'wire: entries made on the way drain' },
  replacedKept: {
    millis: seconds(10),
    source: 'what is under way on the old contract still arrives: make before break',
  },
  halfPacket: { millis: seconds(1), source: 'wire' },
  /** An address that does not answer its challenge is forgotten after this. */
  addressTrial: { millis: seconds(3), source: 'RFC 9000 §8.2.4 asks for 3 × PTO' },
  /** Between the copies of the challenge to an address on trial. */
  challengeAgain: { millis: millis(300), source: 'as challenge' },
  /** The address just left is not followed for this long, or for one round trip where that is known. */
  leftAlone: { millis: millis(300), source: 'what is still under way from there arrives within about a round trip' },
  resetTrial: { millis: millis(300), source: 'a reset counts when a ping is not answered for this long (wire: 0.3 s)' },

  // Ways of a path: RFC 8445 names the checks, its §14 leaves their waits to measured round trips.
  check1: {
    millis: millis(200),
    source: 'RFC 8445 §14.3: RTO at least 500 ms for many; ours are few, and NATs open meanwhile',
  },
  check2: { millis: millis(400), source: 'twice the last, RFC 8489 §6.2.1' },
  check3: { millis: millis(800), source: 'twice the last, RFC 8489 §6.2.1' },
  check4: { millis: millis(1600), source: 'twice the last, RFC 8489 §6.2.1' },
  checkSlow: { millis: seconds(3), source: 'while nothing works at all: as silence' },
  checkRound: { millis: seconds(10), source: 'first wait for another look for something better; doubles' },
  checkRoundMost: { millis: seconds(300), source: 'a NAT that changed its mind is found out within minutes' },
  /** An answer proves for this long that the peer is there. */
  wayFresh: { millis: seconds(30), source: 'home routers keep a mapping 30 s, see natKeepAlive' },
  wayDeferred: {
    millis: millis(500),
    source: 'the acceptor takes a better way when the opener had time to and did not',
  },

  // Path MTU search, RFC 8899.
  probeFirst: { millis: millis(300), source: 'as tunnelRequest1: the first size is in the way of packets' },
  probe: { millis: seconds(1), source: 'RFC 8899 §5.1.1 PROBE_TIMER, its least value' },
  probeRaise: { millis: seconds(600), source: 'RFC 8899 §5.1.1 PMTU_RAISE_TIMER' },
  probeConfirm: { millis: seconds(30), source: 'RFC 8899 §5.1.1 CONFIRMATION_TIMER' },

  // Control sessions.
  requestFirstWait: { millis: millis(300), source: 'protocol, Control: before the first measured round trip' },
  requestMinWait: { millis: millis(100), source: 'protocol, Control: RTO = max(100 ms, 2 × SRTT)' },
  requestMaxWait: { millis: seconds(3), source: 'a person waits for the answer' },
  responseCache: { millis: seconds(60), source: 'longer than any retransmission of the same request' },
  hello1: { millis: millis(300), source: 'as tunnelRequest1' },
  hello2: { millis: millis(600), source: 'as tunnelRequest2' },
  hello3: { millis: millis(1200), source: 'as tunnelRequest3' },
  hello4: { millis: millis(2400), source: 'as tunnelRequest4' },
  helloFresh: { millis: seconds(5), source: 'as tunnelRequestFresh' },
  strangerTold: { millis: seconds(600), source: 'one log line per refused caller in this time, not per datagram' },
  unusedSession: { millis: seconds(15), source: 'as provisional: answered, not yet used by its peer' },
  silentSession: { millis: seconds(180), source: 'nine keep-alives of the slowest kind' },
  controlRekey: { millis: seconds(3600), source: 'wire' },
  queuedDirection: { millis: seconds(30), source: 'wire: the coordinator keeps directions for a silent node' },

  // Relay legs, SEED 002 §4.
  bindRefresh: { millis: seconds(20), source: 'wire' },
  legExpiry: { millis: seconds(60), source: 'wire' },
  bindSlow: {
    millis: seconds(10),
    source: 'a relay that has not answered six Binds: half a refresh, so that a leg lives through one miss',
  },
} as const satisfies Readonly<Record<string, Timer>>

/** Limits that are counts, bytes or shares rather than times; same sources. A key's own are in `crypto/seal.ts`. */
export const LIMITS = {
  /** Two ends that crossed once must not cross for ever. */
  requestJitter: 0.1,
  controlRekeyPackets: 2 ** 20,
  halvesPerPath: 32,
  halvesBytes: 4 * 2 ** 20,
  challenges: 3,
  probes: 3,
  parkedRequests: 256,
  /** Bytes to an address that has not answered, per byte received from it. RFC 9000 §8.1. */
  unprovenFactor: 3,
  /** Handshakes per `loadWindow` above which a cookie is asked for. */
  handshakesPerWindow: 200,
  /** Refused callers that the log is told of in `strangerTold`; beyond it they are only counted. */
  strangersTold: 64,
  /** Ways of one path that are kept in mind. */
  waysPerPath: 32,
  /** Challenges to an address on trial, the first included. */
  trialChallenges: 3,
  /** Padded datagrams by which a mover gives its peer something to send to before its new address is proven. */
  /** With so few paths all of them are looked for after a move, the idle ones too. */
  seekAllPaths: 64,
  movePads: 8,
  movePadBytes: 1150,
  /** Resets we send per second, to anybody. */
  resetsPerSecond: 20,
} as const
