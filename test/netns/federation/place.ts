import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Internet } from '#lab/internet.ts'
import { Lab, ROOT } from '#lab/netns.ts'
import { Programs, withSettings } from '#lab/programs.ts'
import { resolver, where } from '#lab/services.ts'

/** How the coordinators know of each other; `names`: not at all, before somebody asks for a name. */
export type Found = 'config' | 'dns' | 'names'

/*
 *   alice (a.example, two uplinks behind NATs) ──┐
 *                                               inet ──┬── dca: coordinator of a.example, its DNS, the network's root
 *   bob (b.example, on the open Internet) ───────┤     ├── dcb: coordinator of b.example and its DNS
 *                                                      └── resolver: unbound, which knows where both zones are served
 */
export class TwoZones {
  readonly lab = new Lab()
  readonly net = new Internet(this.lab)
  readonly a = new Programs(this.lab, 'a')
  readonly b = new Programs(this.lab, 'b')
  readonly at: Record<string, string> = {}

  /** `found`: how the coordinators know of each other. */
  static async up(found: Found): Promise<TwoZones> {
    const place = new TwoZones()
    try {
      await place.#build(found)
      return place
    } catch (fault) {
      place.dispose('failed-federation')
      throw fault
    }
  }

  async #build(found: Found): Promise<void> {
    const { lab, net, a, b } = this
    for (const room of ['dca', 'dcb', 'resolver', 'bob']) this.at[room] = (await net.server(room)).ip4
    const [atA = '', atB = ''] = [this.at['dca'], this.at['dcb']]
    await a.initNetwork('dca', { zone: 'a.example', endpoints: [`${atA}:4330`] })
    const extend = ['network', 'extend', '--dir', a.networkDir, '--to', b.networkDir, '--zone', 'b.example']
    await a.ntm('dca', [...extend, '--endpoint', `${atB}:4330`, '--nodes4', '198.18.128.0/17'])
    const delegations = [
      { origin: 'a.example', at: atA },
      { origin: 'b.example', at: atB },
    ]
    await resolver(lab, 'resolver', [{ origin: 'other.example', records: ['web A 20.9.9.9'] }], delegations)
    // Both ordinary resolvers, of which neither knows anything of NTM: A's is dnsmasq, behind which stands the other one.
    const forwarder = await this.#dnsmasq('dca')
    await this.coordinator('a', await this.#others('b', found), forwarder)
    await this.coordinator('b', await this.#others('a', found), this.at['resolver'] ?? '')
    lab.room('alice')
    net.join('alice', 'eth0', await net.site('home', 'port-restricted'))
    net.join('alice', 'eth1', await net.site('away', 'port-restricted'), { metric: 200 })
    lab.sysctl('alice', { 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.default.rp_filter': 0 })
    for (const room of ['alice', 'bob'])
      lab.etc(room, 'resolv.conf', `nameserver ${this.at['resolver']}\noptions timeout:2\n`)
    await Promise.all([
      a.box('alice', 'node', 'alice', {}, { coordinator: 'dca' }),
      b.box('bob', 'node', 'bob', {}, { coordinator: 'dcb' }),
    ])
  }

  /** The lines that tell one coordinator of the other. */
  async #others(other: 'a' | 'b', found: Found): Promise<string> {
    if (found === 'names') return ''
    if (found === 'dns') return `[[federation]]\nzone = "${other}.example"\n`
    return this[other].ntm(`dc${other}`, ['network', 'show', '--dir', this[other].networkDir])
  }

  /** A forwarder such as home routers have, on a port of the room's loopback. */
  async #dnsmasq(room: string): Promise<string> {
    const running = this.lab.spawn(room, `${room}-dnsmasq`, where('dnsmasq'), [
      ...['--keep-in-foreground', '--log-facility=-', '--log-queries', '--conf-file=/dev/null', '--user=root'],
      ...['--pid-file=', '--no-hosts', '--no-resolv', '--bind-interfaces', '--listen-address=127.0.0.1'],
      ...['--port=5353', `--server=${this.at['resolver']}`],
    ])
    await running.line(/started, version/)
    return '127.0.0.1:5353'
  }

  /** Starts a coordinator, with the resolver it asks. */
  async coordinator(of: 'a' | 'b', federation: string, resolvedBy: string): Promise<void> {
    const programs = this[of]
    const example = readFileSync(join(ROOT, 'examples/coordinator.toml'), 'utf8')
    const text = withSettings(example, {
      'network.dir': programs.networkDir,
      'control.socket': programs.socket('coordinator'),
      'dns.resolvers': [resolvedBy],
      'log.format': 'json',
      'log.level': 'debug',
    })
    const file = this.lab.file(`${of}/coordinator/ntm.toml`, `${text}\n${federation}`)
    await programs.run(`dc${of}`, 'coordinator', file)
  }

  dispose(keepAs: string | null = null): void {
    if (keepAs !== null) process.stderr.write(`the lab's logs: ${this.lab.keepLogs(keepAs)}\n`)
    this.lab.dispose()
  }
}
