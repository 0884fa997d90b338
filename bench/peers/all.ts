import type { Missing } from './fetch.ts'
import { nebula } from './nebula.ts'
import { ntm } from './ntm.ts'
import { ntmTun } from './ntm-tun.ts'
import { openvpn } from './openvpn.ts'
import { type Arena, isMissing, type Peer, type PeerName } from './peer.ts'
import { plain } from './plain.ts'
import { wireguardGo } from './wireguard-go.ts'

/** How each peer is found; `product` is the directory of the code to measure. */
const FIND: Readonly<Record<PeerName, (product: string) => Peer | Missing>> = {
  plain,
  ntm,
  'ntm-tun': ntmTun,
  'wireguard-go': wireguardGo,
  openvpn,
  nebula,
}

export type Built = { readonly arenas: readonly Arena[]; readonly peers: Readonly<Record<string, string>> }

/** Finds and sets up the wanted peers of the circuit. */
export function buildAll(names: readonly PeerName[], product: string, say: (text: string) => void): Promise<Built> {
  return buildEach(Object.fromEntries(names.map((name) => [name, FIND[name](product)])), say)
}

/** Sets up peers, all at once on this machine; one that cannot be had or does not come up says why in `peers`. */
export async function buildEach(
  wanted: Readonly<Record<string, Peer | Missing>>,
  say: (text: string) => void,
): Promise<Built> {
  const arenas: Arena[] = []
  const peers: Record<string, string> = {}
  for (const [name, found] of Object.entries(wanted)) {
    if (isMissing(found)) {
      peers[name] = `absent: ${found.absent}`
    } else {
      try {
        arenas.push(await found.build())
        peers[name] = found.version
      } catch (fault) {
        // Another product that does not start is no reason not to measure the rest.
        const why = fault instanceof Error ? fault.message : String(fault)
        peers[name] = `absent: did not come up: ${why.split('\n')[0]}`
      }
    }
    say(`${name}: ${peers[name]}`)
  }
  return { arenas, peers }
}
