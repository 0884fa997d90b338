import { ipText } from '#ntm-lib/addr/ip.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Flow, FlowWatch } from '#tt/flows.ts'

/**
 * One line per opened and per closed flow, for operators who must be able to tell who went where (`tt.flow_log`). The only
 * place where addresses and names are logged at info, and off unless asked for.
 */
export const flowLog = (log: Log): FlowWatch => ({
  opened: (flow) => log.info('flow.opened', fields(flow)),
  closed: (flow) => log.info('flow.closed', { ...fields(flow), answered: flow.answered }),
})

const fields = ({ node, entry, inner, edge }: Flow): Record<string, string | number> => ({
  path: node.key,
  name: entry.name,
  protocol: edge.protocol,
  host: ipText(inner.source),
  hostPort: inner.sourcePort,
  server: ipText(edge.destination),
  serverPort: edge.destinationPort,
})
