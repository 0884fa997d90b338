/**
 * What becomes of a packet. `forward`: it stands translated where `Translated` says. `split`: its fragments stand in the
 * context's spill batch. `reply`: an ICMP error stands in the reply batch and the packet is gone. `wait`: a copy of it
 * waits for another packet. `cut`: nothing was changed; the super-packet cannot go on as one, its segments are to be given
 * one by one. `drop`: gone.
 */
export type Verdict = 'forward' | 'split' | 'reply' | 'wait' | 'cut' | 'drop'

/** Every reason the terminator has for not forwarding a packet: closed, and each one a counter `tt.drop.<reason>`. */
export const DROP_REASONS = [
  // Broken or hostile packets.
  'short',
  'bad-version',
  'bad-length',
  'bad-checksum',
  'bad-source',
  'bad-protocol',
  'source-route',
  'routing-header',
  // RFC 7915 refuses or limits.
  'ttl-expired',
  'too-big',
  'icmp-type',
  'icmp-fragment',
  'nested-error',
  'extension-after-fragment',
  'udp-no-checksum',
  'no-headroom',
  // Addresses and flows.
  'no-address',
  'egress-refused',
  'unknown-flow',
  'fragment-unknown',
  'flow-conflict',
  'flow-limit',
  'rate-limit',
  // An error about an address that did not answer; the host's next try goes to another one.
  'failed-over',
] as const

export type DropReason = (typeof DROP_REASONS)[number]

/** The counter of a reason. Built once: nothing joins strings per packet. */
export const DROP_COUNTER: Readonly<Record<DropReason, string>> = Object.fromEntries(
  DROP_REASONS.map((reason) => [reason, `tt.drop.${reason}`]),
) as Record<DropReason, string>
