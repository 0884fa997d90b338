import { ipText } from '#ntm-lib/addr/ip.ts'
import { linkText } from '#ntm-lib/addr/link.ts'
import { type BoxAddress, type BoxRole, type BoxSettings, ownLink } from './settings.ts'

/**
 * What the box's other programs are to read of a configuration, by file name: plain words for shell tools, units for systemd-networkd, a
 * list of keys for sshd. A file that is not here is not configured, and whoever reads it has a default.
 */
export function systemFiles(role: BoxRole, box: BoxSettings): ReadonlyMap<string, string> {
  const link = ownLink(role)
  const files = new Map([
    ['role', `${role}\n`],
    [`10-${link}.network`, network(link, box)],
    ['timesyncd.conf', `${MADE}[Time]\nNTP=${box.ntp.join(' ')}\nFallbackNTP=\n`],
    ['log', `${box.log}\n`],
  ])
  if (box.hostname !== undefined) files.set('hostname', `${box.hostname}\n`)
  const ports = (['host', 'net'] as const).flatMap((name) => {
    const link = box.ports[name]
    return link === undefined ? [] : [`${name}=${linkText(link)}\n`]
  })
  if (ports.length > 0) files.set('ports', ports.join(''))
  if (box.resolvers.length > 0)
    files.set('resolv.conf', `${MADE}${box.resolvers.map((ip) => `nameserver ${ipText(ip)}\n`).join('')}`)
  if (box.ssh_keys.length > 0) files.set('authorized_keys', box.ssh_keys.map((key) => `${key}\n`).join(''))
  return files
}

/** systemd.network(5). It gives the interface its addresses and nothing else: the wire is made by others, before and without it. */
function network(link: string, box: BoxSettings): string {
  const { address, address6, gateway, gateway6, resolvers } = box
  const has6 = address6 !== 'off'
  // An address of one's own without a gateway: routers say where the rest of the world is.
  const listens = address6 === 'auto' || (has6 && gateway6 === undefined)
  const told = resolvers.length === 0
  return (
    MADE +
    [
      section('Match', [['Name', link]]),
      section('Link', [['RequiredForOnline', 'no']]),
      section('Network', [
        ['DHCP', yes(address === 'dhcp', 'ipv4')],
        ['LinkLocalAddressing', yes(has6, 'ipv6')],
        ['IPv6AcceptRA', yes(listens)],
        ...own(address, gateway),
        ...own(address6, gateway6),
        ...resolvers.map((ip) => ['DNS', ipText(ip)] as const),
        // The address, and what hangs on it, outlives a cable that is pulled and a restart of networkd.
        ['ConfigureWithoutCarrier', 'yes'],
        ['IgnoreCarrierLoss', 'yes'],
        ['KeepConfiguration', 'dhcp-on-stop'],
        ['LLMNR', 'no'],
        ['MulticastDNS', 'no'],
      ]),
      address === 'dhcp'
        ? section('DHCPv4', [
            // By the link address, which is on the label: what is reserved in the site's DHCP server holds.
            ['ClientIdentifier', 'mac'],
            ['UseDNS', yes(told)],
            ['UseNTP', 'no'],
            ['UseHostname', 'no'],
            ['UseDomains', 'no'],
          ])
        : '',
      listens
        ? section('IPv6AcceptRA', [
            ['UseDNS', yes(told)],
            ['UseDomains', 'no'],
            ['UseAutonomousPrefix', yes(address6 === 'auto')],
            ['DHCPv6Client', yes(address6 === 'auto')],
          ])
        : '',
    ]
      .filter((text) => text !== '')
      .join('\n')
  )
}

function own(address: BoxAddress | string, gateway: BoxSettings['gateway']): readonly (readonly [string, string])[] {
  if (typeof address === 'string') return []
  const at = ['Address', `${ipText(address.ip)}/${address.bits}`] as const
  return gateway === undefined ? [at] : [at, ['Gateway', ipText(gateway)]]
}

const section = (name: string, lines: readonly (readonly [string, string])[]): string =>
  `[${name}]\n${lines.map(([key, value]) => `${key}=${value}\n`).join('')}`
const yes = (is: boolean, word = 'yes'): string => (is ? word : 'no')
const MADE = '# Made from ntm.toml, and made anew with it.\n'
