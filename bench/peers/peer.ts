import type { Lab, Plug } from '#lab/netns.ts'
import type { Missing } from './fetch.ts'

/** Everybody who is measured. `ntm`: bridge and TT; `ntm-tun`: two nodes with a TUN each, in wireguard-go's very place. */
export const PEERS = ['plain', 'ntm', 'ntm-tun', 'wireguard-go', 'openvpn', 'nebula'] as const
export type PeerName = (typeof PEERS)[number]

/**
 * One peer at work: rooms host – a – b – server in a lab of its own, cables and offloads as in every other. `a` and `b` are the
 * boxes; iperf3 (5201) and udpload (7700) wait on the server.
 */
export type Arena = {
  readonly name: string
  readonly lab: Lab
  /** Address by which the host reaches the server: through the boxes, nothing else leads there. */
  readonly target: string
  /** The programs in the boxes; none where the kernel forwards. */
  readonly boxes: readonly BoxProcess[]
  /** Both ends of the cable between the boxes. */
  readonly middle: readonly [Plug, Plug]
  /** Bytes of a frame on that cable that carries an inner IP packet, Ethernet header included. */
  readonly frameBytes: (innerBytes: number) => number
  dispose(): void
}

export type BoxProcess = { readonly name: string; readonly pid: number }

/** How to set a peer up, once it is known that it can be. */
export type Peer = { readonly name: string; readonly version: string; build(): Promise<Arena> }

export const isMissing = (found: Peer | Missing): found is Missing => 'absent' in found
