import { buildEach } from '../peers/all.ts'
import { ntmTranslator, tayga } from '../peers/translators.ts'
import type { Row } from '../row.ts'
import { measureTcp } from './tcp.ts'
import type { Circuit } from './turns.ts'
import { measureUdp } from './udp.ts'

/** IPv4 to IPv6 and back in one box without a tunnel, beside TAYGA: bulk TCP both ways, UDP 128 B. In labs of its own. */
export async function measureTranslation(
  circuit: Circuit,
  product: string,
  plan: { readonly tcpSeconds: number; readonly udpMillis: number },
): Promise<{ readonly rows: Row[]; readonly peers: Readonly<Record<string, string>> }> {
  const found = { ntm: ntmTranslator(product), tayga: tayga() }
  const { arenas, peers } = await buildEach(found, circuit.say)
  try {
    const own = { ...circuit, arenas }
    const rows = [
      ...(await measureTcp(own, { streams: 1, seconds: plan.tcpSeconds, offloads: true })),
      ...(await measureUdp(own, 128, plan.udpMillis)),
    ]
    return {
      rows: rows.map((row) => ({ ...row, group: 'translate', name: `translation alone, ${row.name}` })),
      peers: { tayga: peers['tayga'] ?? '', 'ntm, translation alone': peers['ntm'] ?? '' },
    }
  } finally {
    for (const arena of arenas) arena.dispose()
  }
}
