import { resolve } from 'node:path'
import { CoordinatorCore } from '#coordinator/core.ts'
import { Links } from '#coordinator/links.ts'
import { type CoordinatorKeys, type CoordinatorSettings, DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { Zone } from '#coordinator/zone.ts'
import { Alarm } from '#io/alarm.ts'
import { systemCalendar, systemClock, systemRandom } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { serveDns } from '#io/dns-server.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { openUdp } from '#io/udp-native.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { type Instant, sooner } from '#ntm-lib/base/time.ts'
import { fingerprintOf } from '#ntm-lib/crypto/schedule.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { CoordinatorConfig } from '../config/schema.ts'
import { offerStatus } from './control.ts'
import { CoordinatorFinder } from './coordinator-finder.ts'
import { coordinatorStatus } from './coordinator-status.ts'
import { databaseFile, loadNetwork } from './network-dir.ts'
import { tellCounters, type Undo } from './process.ts'
import { rehearse } from './rehearsal.ts'

/** Joins the coordinator to its socket, its database and its DNS listeners. */
export async function startCoordinator(config: CoordinatorConfig, log: Log, undo: Undo): Promise<void> {
  const dir = resolve(config.network.dir)
  const network = loadNetwork(dir)
  const show = await offerStatus(config.control.socket, 'coordinator', undo)
  // Everybody's first question is answered by cold code otherwise.
  rehearse(undo)
  const store = new SqliteStore(databaseFile(dir))
  undo.add(() => store.close())
  const counters = new CounterMap()
  const settings: CoordinatorSettings = {
    ...DEFAULT_SETTINGS,
    zone: network.zone,
    plan: network.plan,
    slice: network.slice,
    publish: config.dns.publish === 'seed' ? 'seed' : 'private',
    optimise: config.route.optimise,
    endpoints: network.endpoints,
    nameServers: [`coordinator.${network.zone}`],
  }
  const fingerprint = fingerprintOf(nodeCrypto, network.rootPublicKey)
  const keys: CoordinatorKeys = {
    node: network.coordinator.nodeId,
    fingerprint,
    rootKey: network.rootPublicKey,
    chain: network.coordinator.chain,
    issuer: network.issuer,
  }
  const udp = openUdp({ port: config.udp.port })
  undo.add(() => udp.close())

  const now = (): Instant => systemClock.now()
  const links = new Links({
    ...{ suite: nodeCrypto, calendar: systemCalendar, log, counters, fingerprint, rootKey: keys.rootKey },
    ...{ chain: keys.chain, self: network.coordinator.static, endpoints: network.endpoints, zone: network.zone },
  })
  for (const { zone, endpoints, key } of config.federation)
    if (key === undefined) links.hope(zone, now())
    else links.configure(zone, { endpoints, key }, now())

  const server: ControlServer = new ControlServer({
    callee: { suite: nodeCrypto, self: network.coordinator.static, fingerprint },
    policy: {
      admits: (node, key, roles) => core.admits(node, key, roles),
      tokenPsk: (id) => core.tokenPsk(id),
    },
    words: () => ({
      time: systemCalendar.today(),
      keepAliveSeconds: settings.keepAliveNatSeconds,
      revocationVersion: store.number('revocation-version'),
    }),
    log,
    counters,
  })
  const core = new CoordinatorCore({
    sessions: server,
    zones: links,
    store,
    suite: nodeCrypto,
    calendar: systemCalendar,
    random: systemRandom,
    log,
    counters,
    settings,
    keys,
  })

  tellCounters(log, counters, () => ({ provisional: core.provisional, boxes: core.presences.all().length }))

  undo.life.describe(() => `${network.zone}: ${core.presences.all().length} boxes are here`)
  const lastHeard = (node: NodeId): Instant | null => server.heardAt(node)
  show(() =>
    coordinatorStatus({ network, core, store, links, counters, lastHeard, settings }, now(), systemCalendar.today()),
  )
  const finder = new CoordinatorFinder(config.dns.resolvers, fingerprint, counters)
  undo.add(() => finder.close())
  const lookUp = (name: string): void =>
    finder.find(name, (lead) => {
      links.found(name, lead, now())
      settle()
    })
  const settle = (): void => {
    for (;;) {
      const out = server.poll()
      if (out === null) break
      if (out.out === 'send') udp.send(out.to, out.bytes)
      else core.handle(out.event, now())
    }
    for (let out = links.poll(); out !== null; out = links.poll()) {
      if (out.out === 'send') udp.send(out.to, out.bytes)
      else if (out.out === 'event') core.onLink(out.event, now())
      else lookUp(out.name)
    }
    // Stories for people: they are in the log already.
    while (core.poll() !== null);
    // The disk takes from 0.2 to 10 ms: it does so while a terminator thinks, not while a host waits.
    udp.flush()
    core.writeAhead()
    alarm.set(sooner(sooner(server.deadline(), links.deadline()), core.deadline()))
  }
  const alarm = new Alarm(systemClock, () => {
    server.tick(now())
    links.tick(now())
    core.tick(now())
    settle()
  })
  undo.add(() => alarm.stop())
  udp.onDatagram((from, bytes) => {
    if (!links.handle(from, bytes, now())) server.handle(from, bytes, now())
    settle()
  })
  // `ntm member revoke` writes into the same database.
  const second = setInterval(() => {
    core.followRevocations(now())
    settle()
  }, 1000)
  undo.add(() => clearInterval(second))
  const coordinatorKey = network.coordinator.static.public
  const parts = { store, suite: nodeCrypto, settings, fingerprint, coordinatorKey, counters }
  const zone = new Zone({ ...parts, presences: core.presences })
  const dns = await serveDns(config.dns.listen, (query, from, transport) => zone.answer(query, from, transport, now()))
  undo.add(() => dns.close())
  log.info('coordinator.network', { name: network.name, zone: network.zone, port: udp.port })
}
