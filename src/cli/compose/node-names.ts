import { readFileSync } from 'node:fs'
import { DnsForwarder } from '#io/dns-forward.ts'
import { type DnsAsked, type DnsServer, listenDns } from '#io/dns-server.ts'
import type { Keystore } from '#io/keystore.ts'
import { serversOf } from '#io/resolver-conf.ts'
import { ResolverFile } from '#io/resolver-file.ts'
import { releaseResolved, resolvedServes, serversOfResolved, takeResolved } from '#io/resolver-resolved.ts'
import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { Undo } from './process.ts'

export type NamesMode = 'resolved' | 'file' | 'stub'

export type NamesParts = {
  readonly dns: NodeConfig['dns']
  readonly store: Keystore
  /** Its interface, for systemd-resolved. */
  readonly device: string
  readonly take: (query: Uint8Array, asked: DnsAsked) => void
  readonly log: Log
  readonly counters: Counters
  readonly fail: (why: Error) => void
}

/** How this machine's programs come to ask us for names, and whom we ask for all others. */
export class NodeNames {
  readonly #p: NamesParts
  readonly #file: ResolverFile
  readonly forwarder: DnsForwarder
  #mode: NamesMode | null = null
  #domains = ''

  constructor(parts: NamesParts) {
    this.#p = parts
    this.#file = resolverFile(parts.dns, parts.store)
    this.forwarder = new DnsForwarder(parts.counters)
  }

  /** Null before it was started. */
  get mode(): NamesMode | null {
    return this.#mode
  }

  /** Listens, then has the machine's questions come here: those for `domains` at least. IoFault when port or configuration refuse. */
  async start(domains: readonly string[], undo: Undo): Promise<void> {
    const { dns, take, log, device } = this.#p
    const server: DnsServer = await listenDns([dns.listen], take)
    undo.add(async () => {
      this.forwarder.close()
      await server.close()
    })
    const mode = dns.mode === 'auto' ? this.#find() : dns.mode
    this.#mode = mode
    if (mode === 'stub') this.#forwardTo(serversOf(this.#text(), dns.listen.ip))
    else if (mode === 'resolved') {
      this.#forwardTo(serversOfResolved(dns.listen.ip))
      // The device goes with this program and takes its settings along, also when this is never reached.
      undo.add(() => releaseResolved(device).then(() => {}))
      await this.follow(domains)
    } else {
      undo.add(() => this.#release())
      this.#forwardTo(this.#file.take())
      this.#file.watch((servers) => {
        log.info('names.changed', { servers: servers.length })
        this.#forwardTo(servers)
      }, this.#p.fail)
    }
    const servers = this.forwarder.servers.map(endpointText).join(',')
    log.info('names.ready', { mode, listen: endpointText(dns.listen), servers })
  }

  /** The network's zones, each time they are told. */
  async follow(domains: readonly string[]): Promise<void> {
    if (this.#mode !== 'resolved' || String(domains) === this.#domains) return
    this.#domains = String(domains)
    await takeResolved(this.#p.device, this.#p.dns.listen, domains)
  }

  #find(): NamesMode {
    return resolvedServes(this.#text()) ? 'resolved' : 'file'
  }

  #forwardTo(found: readonly Endpoint[]): void {
    const { resolvers } = this.#p.dns
    // A resolv.conf without servers means this machine's own, resolv.conf(5).
    this.forwarder.setServers(resolvers.length > 0 ? resolvers : found.length > 0 ? found : LOCAL)
  }

  #release(): void {
    this.#file.unwatch()
    this.#p.log.info('names.released', { how: this.#file.release() })
  }

  #text(): string {
    try {
      return readFileSync(this.#p.dns.file, 'utf8')
    } catch {
      // A machine without any.
      return ''
    }
  }
}

export const resolverFile = (dns: NodeConfig['dns'], store: Keystore): ResolverFile =>
  new ResolverFile(dns.file, store, dns.listen.ip)

const LOCAL: readonly Endpoint[] = [parseIp('127.0.0.1')].flatMap((ip) => (ip === null ? [] : [{ ip, port: 53 }]))
