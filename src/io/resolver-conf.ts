import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ipText, parseIp, sameIp } from '#ntm-lib/addr/ip.ts'

/** The servers that a `resolv.conf` names, in its order, but for `own`. Link-local ones need an interface that we do not follow: left out. */
export function serversOf(text: string, own: Ip): readonly Endpoint[] {
  return lines(text).flatMap((line) => {
    const ip = nameserver(line)
    return ip === null || sameIp(ip, own) ? [] : [{ ip, port: 53 }]
  })
}

/**
 * The same configuration with our own server in front. The first two of the former servers stay behind it, for the moment in which this
 * program is dead; libc reads three. `rotate` would send every other question past us. `note` is one line without a line break.
 */
export function withOurs(text: string, own: Ip, note: string): string {
  let servers = 0
  const rest = lines(withoutOurs(text, own)).filter((line) => nameserver(line) === null || servers++ < MOST_BEHIND)
  const body = rest.map((line) => (/^\s*options\s/.test(line) ? withoutRotate(line) : line))
  return [`${MARK} ${note}`, `nameserver ${ipText(own)}`, ...body].join('\n').replace(/\n*$/, '\n')
}

/** What is left of a text when our lines go: what somebody else made of ours. Without any of ours the text stays as it is. */
export function withoutOurs(text: string, own: Ip): string {
  const ours = (line: string): boolean => {
    const ip = nameserver(line)
    return line.startsWith(MARK) || (ip !== null && sameIp(ip, own))
  }
  const all = lines(text)
  return all.some(ours) ? all.filter((line) => !ours(line)).join('\n') : text
}

function nameserver(line: string): Ip | null {
  const m = /^\s*nameserver\s+(\S+)/.exec(line)
  return m === null ? null : parseIp(m[1] ?? '')
}

const withoutRotate = (line: string): string => line.replace(/\s+rotate(?=\s|$)/g, '')
const lines = (text: string): string[] => text.split('\n')

const MARK = '# ntm:'
const MOST_BEHIND = 2
