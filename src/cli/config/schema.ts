import { z } from 'zod'
import { family } from '#ntm-lib/addr/ip.ts'
import { appliance } from './appliance.ts'
import {
  addressRange,
  endpoint,
  endpointOrAddress,
  interfaceName,
  port,
  prefix,
  staticKey,
  zoneName,
} from './values.ts'

const log = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
    format: z.enum(['text', 'json']).default('text'),
  })
  .prefault({})

const udp = z.strictObject({ port: port.default(4330) }).prefault({})

/** Threads that move packets; 0: as many as there are cores to spare. */
const packets = z.strictObject({ workers: z.int().min(0).max(3).default(0) }).prefault({})

/** How a box finds and trusts its network: the enrolment token, inline or in a file beside the configuration. */
const network = z.strictObject({ token: z.string().optional(), token_file: z.string().optional() }).prefault({})

/** Where `ntm status` and `ntm down` find the running program. */
const control = (role: string) => z.strictObject({ socket: z.string().default(`/run/ntm/${role}.sock`) }).prefault({})

/** `ntm bridge`: `examples/bridge.toml` explains each key. */
export const bridgeConfig = z.strictObject({
  role: z.literal('bridge'),
  state: z.string().default('/var/lib/ntm'),
  network,
  udp,
  packets,
  log,
  appliance,
  control: control('bridge'),
  bridge: z
    .strictObject({
      host: interfaceName.default('host0'),
      net: interfaceName.default('net0'),
      bridge: interfaceName.default('br0'),
      tap: interfaceName.default('ntmx0'),
      fail: z.enum(['open', 'closed']).default('open'),
      seek: z.boolean().default(true),
    })
    .prefault({}),
  dns: z.strictObject({ hold_ms: z.int().min(100).max(2000).default(2000) }).prefault({}),
})
export type BridgeConfig = z.output<typeof bridgeConfig>

/** `ntm tt`: `examples/tt.toml` explains each key. */
export const ttConfig = z.strictObject({
  role: z.literal('tt'),
  state: z.string().default('/var/lib/ntm'),
  network,
  udp,
  packets,
  log,
  appliance,
  control: control('tt'),
  tt: z.strictObject({
    uplink: interfaceName,
    port: z.enum(['tun', 'raw']).default('tun'),
    tun: interfaceName.default('ntm0'),
    veth: interfaceName.default('ntmp0'),
    resolvers: z.array(endpointOrAddress(53)).min(1),
    allow: z.array(prefix).default([]),
    deny: z.array(prefix).default([]),
    addresses: z
      .array(addressRange)
      .refine(
        (all) => new Set(all.map(([first]) => family(first))).size === all.length,
        'one entry of each family at most',
      )
      .default([]),
    flow_log: z.boolean().default(false),
  }),
})
export type TtConfig = z.output<typeof ttConfig>

/** `ntm relay`: `examples/relay.toml` explains each key. */
export const relayConfig = z.strictObject({
  role: z.literal('relay'),
  state: z.string().default('/var/lib/ntm'),
  network,
  udp,
  log,
  appliance,
  control: control('relay'),
  relay: z
    .strictObject({
      endpoints: z.array(endpointOrAddress(4330)).max(8).default([]),
      most_paths: z.int().min(1).max(65_536).default(4096),
      mbit_per_second: z.int().min(0).max(400_000).default(0),
      packets_per_second: z.int().min(0).max(100_000_000).default(0),
      path_mbit_per_second: z.int().min(0).max(400_000).default(0),
      path_packets_per_second: z.int().min(0).max(100_000_000).default(0),
      echoes_per_second: z.int().min(0).max(1_000_000).default(1000),
    })
    .prefault({}),
})
export type RelayConfig = z.output<typeof relayConfig>

/** `ntm coordinator`: `examples/coordinator.toml` explains each key. */
export const coordinatorConfig = z.strictObject({
  role: z.literal('coordinator'),
  network: z.strictObject({ dir: z.string() }),
  udp,
  log,
  appliance,
  control: control('coordinator'),
  dns: z
    .strictObject({
      listen: z.array(endpoint).default([]),
      publish: z.enum(['none', 'seed']).default('none'),
      resolvers: z.array(endpointOrAddress(53)).default([]),
    })
    .prefault({}),
  route: z.strictObject({ optimise: z.enum(['seed', 'ice']).default('ice') }).prefault({}),
  federation: z
    .array(
      z
        .strictObject({ zone: zoneName, endpoints: z.array(endpoint).max(8).default([]), key: staticKey.optional() })
        .refine(({ endpoints, key }) => (key === undefined) === (endpoints.length === 0), {
          error: 'expected endpoints and key, or neither: then DNS says where the coordinator is',
        }),
    )
    .default([]),
})
export type CoordinatorConfig = z.output<typeof coordinatorConfig>

/** `ntm up`: `examples/node.toml` explains each key. */
export const nodeConfig = z.strictObject({
  role: z.literal('node'),
  state: z.string().default('/var/lib/ntm'),
  network,
  udp,
  packets,
  log,
  appliance,
  control: control('node'),
  node: z
    .strictObject({ tun: interfaceName.default('ntm0'), servers: z.enum(['direct', 'tt']).default('direct') })
    .prefault({}),
  dns: z
    .strictObject({
      mode: z.enum(['auto', 'resolved', 'file', 'stub']).default('auto'),
      listen: endpointOrAddress(53).prefault('127.0.0.43'),
      resolvers: z.array(endpointOrAddress(53)).default([]),
      file: z.string().default('/etc/resolv.conf'),
      hold_ms: z.int().min(100).max(2000).default(2000),
    })
    .prefault({}),
})
export type NodeConfig = z.output<typeof nodeConfig>

export const anyConfig = z.discriminatedUnion('role', [
  bridgeConfig,
  ttConfig,
  relayConfig,
  coordinatorConfig,
  nodeConfig,
])
export type AnyConfig = z.output<typeof anyConfig>
