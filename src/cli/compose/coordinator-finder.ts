import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Lead } from '#coordinator/other-zones.ts'
import { buildQuery, type DnsMessage, parseMessage, TYPE } from '#dnsfn/message.ts'
import { DnsForwarder } from '#io/dns-forward.ts'
import { serversOf } from '#io/resolver-conf.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { decodeNtmService, SERVICE_LABELS } from '#ntm-lib/dns/records.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'

/**
 * Finds coordinators of other zones in ordinary DNS: SVCB at `_ntm._udp.<name>`. Only a record with our own network's
 * fingerprint counts, and what it says is a lead, no proof.
 */
export class CoordinatorFinder {
  readonly #resolvers: readonly Endpoint[]
  readonly #fingerprint: Fingerprint
  readonly #forwarder: DnsForwarder

  /** Without `resolvers` those of resolv.conf are asked, as it is at the time. */
  constructor(resolvers: readonly Endpoint[], fingerprint: Fingerprint, counters: Counters) {
    this.#resolvers = resolvers
    this.#fingerprint = fingerprint
    this.#forwarder = new DnsForwarder(counters)
  }

  /** `told` is called at most once; who hears nothing has an end of patience of his own. */
  find(name: string, told: (lead: Lead | null) => void): void {
    const { resolvers } = this
    this.#forwarder.setServers(resolvers)
    const id = randomBytes(2).readUInt16BE()
    const spec = { id, name: `${SERVICE_LABELS}.${name}`, type: TYPE.SVCB, recursionDesired: true }
    const query = buildQuery({ ...spec, edns: { udpSize: 1232 } })
    // Not a domain name with our labels in front: too long.
    if (query === null) return told(null)
    this.#forwarder.forward(query, 'udp', (reply) => told(this.#lead(parseMessage(reply))))
  }

  close(): void {
    this.#forwarder.close()
  }

  private get resolvers(): readonly Endpoint[] {
    if (this.#resolvers.length > 0) return this.#resolvers
    try {
      return serversOf(readFileSync('/etc/resolv.conf', 'utf8'), NOBODY)
    } catch {
      // No such file, no resolvers: counted by the forwarder.
      return []
    }
  }

  #lead(reply: DnsMessage | null): Lead | null {
    for (const { type, data } of reply?.answers ?? []) {
      if (type !== TYPE.SVCB || !(data instanceof Uint8Array)) continue
      const service = decodeNtmService(data)
      if (!service.ok || !same(service.value.fingerprint, this.#fingerprint)) continue
      const { hints4, hints6, port, coordinatorKey: key } = service.value
      const endpoints = [...hints6, ...hints4].slice(0, 8).map((ip) => ({ ip, port }))
      if (key !== null && endpoints.length > 0) return { endpoints, key }
    }
    return null
  }
}

const parsed = parseIp('0.0.0.0')
invariant(parsed !== null, 'an address')
/** A resolver nobody has. */
const NOBODY = parsed
