import { existsSync, readFileSync } from 'node:fs'
import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import { serversOf } from './resolver-conf.ts'
import { run } from './run.ts'

/** Whether systemd-resolved runs and answers this machine's programs: `resolv.conf` (its text) names its stub. */
export const resolvedServes = (resolvConf: string, place: string = PLACE): boolean =>
  existsSync(`${place}/resolv.conf`) && /^\s*nameserver\s+127\.0\.0\.5[34]\b/m.test(resolvConf)

/** The servers that systemd-resolved itself asks. Its own stub is no server for us: it would ask us back. */
export function serversOfResolved(own: Ip, place: string = PLACE): readonly Endpoint[] {
  try {
    return serversOf(readFileSync(`${place}/resolv.conf`, 'utf8'), own)
  } catch {
    // Not written yet: it knows no server.
    return []
  }
}

/**
 * Has systemd-resolved send the questions for `domains`, and only those, to our server: they belong to the interface and go with it.
 * IoFault when it refuses. resolvectl(1).
 */
export async function takeResolved(device: string, own: Endpoint, domains: readonly string[]): Promise<void> {
  await run('resolvectl', ['dns', device, own.port === 53 ? ipText(own.ip) : endpointText(own)])
  await run('resolvectl', ['domain', device, ...domains.map((d) => `~${d}`)])
  await run('resolvectl', ['default-route', device, 'no'])
  // Our answers are not signed, and nobody on the device listens to multicast questions.
  for (const what of ['dnssec', 'llmnr', 'mdns']) await run('resolvectl', [what, device, 'no'])
}

/** IoFault when it refuses, for instance because the interface has gone, and all this with it. */
export const releaseResolved = (device: string): Promise<string> => run('resolvectl', ['revert', device])

const PLACE = '/run/systemd/resolve'
