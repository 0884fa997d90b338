import type { Lab } from '#lab/netns.ts'

/**
 * Everything of a room that a terminator changes, as comparable lines: rules, routes, links, sysctls, open sockets'
 * files are not among them. Counters, timers and learnt neighbours are left out.
 */
export async function machineOf(lab: Lab, room: string): Promise<string[]> {
  const lines = async (command: string, ...args: string[]): Promise<string[]> =>
    (await lab.must(room, command, args)).split('\n').map((line) => `${args[0] ?? ''} ${line}`.trimEnd())
  const shown = await Promise.all([
    lines('nft', '-s', 'list', 'ruleset'),
    lines('ip', '-4', 'route', 'show', 'table', 'all'),
    lines('ip', '-6', 'route', 'show', 'table', 'all'),
    lines('ip', '-4', 'rule'),
    lines('ip', '-6', 'rule'),
    lines('ip', '-o', 'address'),
    lines('ip', '-o', 'link'),
    lines('sh', '-c', `cd /proc/sys/net && grep -rs . ${SYSCTLS.join(' ')}`),
  ])
  return shown
    .flat()
    .map((line) => line.replace(/(expires|valid_lft|preferred_lft) \w+|\bqdisc .*$/g, ''))
    .filter((line) => line.trim() !== '')
    .sort()
}

/** What the lab's kernel shows of forwarding and addresses, on every interface. */
const SYSCTLS = [
  'ipv4/ip_local_port_range',
  'ipv4/ip_forward',
  'ipv4/conf/*/forwarding',
  'ipv4/conf/*/send_redirects',
  'ipv6/conf/*/forwarding',
  'ipv6/conf/*/accept_ra',
]
