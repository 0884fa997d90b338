import { type LinkAddr, linkText } from '#ntm-lib/addr/link.ts'
import { type BoxSettings, isBoxRole } from './settings.ts'

/** Something that would work elsewhere and not on the appliance: which key, what is wrong, and what would be right. */
export type RuleBreach = { readonly key: string; readonly wrong: string; readonly right: string }

/** What of a checked configuration concerns the machine. */
export type BoxClaims = {
  readonly role: string
  readonly appliance: BoxSettings
  readonly state?: string
  readonly network?: { readonly dir?: string | undefined; readonly token?: string | undefined }
  readonly bridge?: { readonly host: string; readonly net: string; readonly bridge: string }
  readonly tt?: { readonly uplink: string; readonly port: string }
}

/** What the box has: link addresses of its Ethernet ports. */
export type BoxFacts = { readonly ports: readonly LinkAddr[] }

/** The image names its ports and keeps its state in one place: a configuration must mean those. */
export function boxRules(c: BoxClaims, facts: BoxFacts): readonly RuleBreach[] {
  const all: RuleBreach[] = []
  const must = (key: string, got: string | undefined, want: string, why: string): void => {
    if (got !== undefined && got !== want)
      all.push({ key, wrong: `"${got}" does not exist on this box: ${why}`, right: `Use "${want}", or leave it out` })
  }
  if (!isBoxRole(c.role))
    all.push({
      key: 'role',
      wrong: `this image is not made for role "${c.role}"`,
      right: 'Use "bridge", "tt", "relay" or "coordinator"',
    })
  must('state', c.state, STATE, 'what it must remember is on its data partition')
  if (c.role === 'coordinator') must('network.dir', c.network?.dir, NETWORK, 'the network is on its data partition')
  must('bridge.host', c.bridge?.host, 'host0', PORTS)
  must('bridge.net', c.bridge?.net, 'net0', PORTS)
  must('bridge.bridge', c.bridge?.bridge, 'br0', 'the bridge is made at boot, with that name')
  must('tt.uplink', c.tt?.uplink, 'net0', PORTS)
  must('tt.port', c.tt?.port, 'tun', 'the image has no raw-socket')
  const { ports } = c.appliance
  const wanted = [ports.host, ports.net].filter((link) => link !== undefined)
  // One may appear late. None of several that are named while the box has others: somebody took the wrong stick.
  if (wanted.length > 0 && facts.ports.length >= 2 && wanted.every((link) => !facts.ports.includes(link)))
    all.push({
      key: 'appliance.ports',
      wrong: `this configuration is for another box: this one has ${facts.ports.map(linkText).join(' and ')}`,
      right: 'Name these, or put the stick into the box it is for',
    })
  return all
}

const STATE = '/var/lib/ntm'
const NETWORK = '/var/lib/ntm/network'
const PORTS = 'its ports are host0 and net0; [appliance.ports] says which is which'
