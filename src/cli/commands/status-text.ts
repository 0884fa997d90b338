import { age, bytes, counts, type Fields, list, record, row, text } from './status-rows.ts'

/**
 * A status document as text for people: what is known of it in a fixed order and words, what is not as `key: value`. Total: another version
 * of the program may say more or less.
 */
export function statusText(status: Readonly<Record<string, unknown>>): string {
  const { role, pid, upSeconds, name, ...said } = status
  const lines = [`${text(role)} ${text(name) || '(not a member yet)'}   process ${text(pid)}, up ${age(upSeconds)}`]
  for (const [key, lineOf] of Object.entries(LINES)) if (said[key] !== undefined) lines.push(...lineOf(said[key], said))
  for (const [key, value] of Object.entries(said))
    if (!(key in LINES) && !SAID_ELSEWHERE.has(key)) lines.push(...row(key, [text(value)]))
  return `${lines.join('\n')}\n`
}

type LineOf = (value: unknown, status: Fields) => string[]
/** The elements of a list have a line each. */
const each = (lineOf: (value: Fields) => string[]): LineOf => {
  return (v) => list(v).flatMap((one) => lineOf(record(one)))
}
const one = (lineOf: (value: Fields, status: Fields) => string[]): LineOf => {
  return (v, status) => lineOf(record(v), status)
}

/** Said together with another key. */
const SAID_ELSEWHERE: ReadonlySet<string> = new Set(['device'])

const LINES: Readonly<Record<string, LineOf>> = {
  virtual: (v, { device }) =>
    row('virtual', [list(v).map(text).join('  '), device === undefined ? '' : `on ${text(device)}`]),
  zones: (v) => row('zones', [list(v).map(text).join(' ')]),
  endpoints: (v) => row('reached at', [list(v).map(text).join(' ')]),
  at: (v) => row('reached at', [list(v).map(text).join(' ')]),
  coordinator: one(({ state, at, lastError }) =>
    row('coordinator', [text(state), list(at).map(text).join(' '), lastError === null ? '' : text(lastError)]),
  ),
  names: one(namesLine),
  wire: one(({ state, host, net, missing }) =>
    row('wire', [text(state), `${text(host)} to ${text(net)}`, missing === null ? '' : `waits for ${text(missing)}`]),
  ),
  hosts: each(hostLine),
  edge: one(({ uplink, port, families, resolvers }) =>
    row('edge', [
      `${text(uplink)} by ${text(port)}`,
      list(families)
        .map((f) => `IPv${text(f)}`)
        .join(' '),
      `asks ${list(resolvers).map(text).join(' ')}`,
    ]),
  ),
  tables: one(({ customers, flows, servers, serversEach }) =>
    row('in use', [
      `${text(customers)} customers`,
      `${text(servers)} servers (${text(serversEach)} each at most)`,
      `${text(flows)} flows`,
    ]),
  ),
  forwarding: one(forwardingLine),
  limits: one((v) =>
    row('limits', [
      counts(
        v,
        ([, count]) => Number(count) > 0,
        (k) => LIMITS[k] ?? k,
      ),
    ]),
  ),
  federation: each(({ zone, up }) =>
    row('other zone', [text(zone), up === true ? 'its coordinator answers' : 'out of reach']),
  ),
  members: one(membersLines),
  optimise: (v) => row('routes', [`route.optimise = ${text(v)}`]),
  contracts: (v, { relayed, underWay }) =>
    row('contracts', [
      `${text(v)} in force`,
      relayed === undefined ? '' : `${text(relayed)} with a relay`,
      underWay === undefined ? '' : `${text(underWay)} directions and promises under way`,
    ]),
  relayed: () => [],
  underWay: () => [],
  directions: one((v) => row('directions', [counts(v)])),
  refused: one((v) => row('refused', [counts(v)])),
  paths: each(pathLines),
  troubles: each(({ about, what, agoSeconds }) => row('trouble', [text(about), text(what), `${age(agoSeconds)} ago`])),
}

function namesLine({ mode, listen, zones, servers }: Fields): string[] {
  if (mode === null) return row('names', ['not served yet'])
  const others = list(servers).map(text).join(' ')
  return row('names', [
    list(zones).map(text).join(' '),
    `asked at ${text(listen)} (${text(mode)})`,
    `others: ${others}`,
  ])
}

/** One path; none of its keys has to be there. */
export function pathLines({
  peer,
  state,
  way,
  why,
  lookedFor,
  at,
  rttMs,
  bytesIn,
  bytesOut,
  ageSeconds,
  lastError,
}: Fields): string[] {
  return row('path', [
    text(peer),
    text(state),
    `${text(way)} ${at === null ? 'nowhere yet' : text(at)}`,
    rttMs === null ? '' : `${text(rttMs)} ms`,
    `in ${bytes(bytesIn)} out ${bytes(bytesOut)}`,
    ageSeconds === null ? '' : age(ageSeconds),
    why === null || why === undefined ? '' : `why a relay: ${WHY[text(why)] ?? text(why)}`,
    Number(lookedFor) > 0 ? `looked for a direct way ${text(lookedFor)} times` : '',
    lastError === null ? '' : `last error: ${text(lastError)}`,
  ])
}

function hostLine({ name, linkAddr, virtual, real, heard, seenSecondsAgo }: Fields): string[] {
  return row('host', [
    text(name) || text(linkAddr),
    list(virtual).map(text).join(' ') || 'no virtual addresses yet',
    `is ${list(real).map(text).join(' ') || 'at no known address'}`,
    heard === false ? 'not heard yet' : `heard ${age(seenSecondsAgo)} ago`,
  ])
}

function forwardingLine({ paths, mostPaths, bound, pending, loadPercent, datagrams, bytes: sum }: Fields): string[] {
  return row('forwarding', [
    `${text(paths)} of ${text(mostPaths)} paths`,
    `${text(bound)} ends bound, ${text(pending)} not proven yet`,
    `load ${text(loadPercent)} %`,
    `${text(datagrams)} datagrams, ${bytes(sum)}`,
  ])
}

function membersLines({ known, revoked, present }: Fields): string[] {
  return [
    ...row('members', [
      `${list(present).length} of ${text(known)} here`,
      Number(revoked) > 0 ? `${text(revoked)} revoked` : '',
    ]),
    ...list(present).flatMap((p) => {
      const { name, role, at, ip4, ip6, seenSecondsAgo, hosts, loadPercent, paths } = record(p)
      const families = Object.entries({ IPv4: ip4, IPv6: ip6 }).flatMap(([f, r]) =>
        r === 'none' ? [] : [`${f} ${text(r)}`],
      )
      return row(text(role), [
        text(name),
        text(at),
        families.join(', '),
        hosts === undefined ? '' : `${text(hosts)} hosts`,
        paths === undefined ? '' : `${text(paths)} paths, load ${text(loadPercent)} %`,
        seenSecondsAgo === null ? 'gone' : `seen ${age(seenSecondsAgo)} ago`,
      ])
    }),
  ]
}

const WHY: Readonly<Record<string, string>> = {
  seed: 'route.optimise = "seed" keeps it there',
  'no-address': 'no address of the peer is known',
  'no-common-family': 'no common family',
  'both-natted': 'both ends are behind NATs or firewalls, no direct way has answered',
  unanswered: 'a direct way should work, none has answered',
}

const LIMITS: Readonly<Record<string, string>> = {
  mbitPerSecond: 'Mbit/s',
  packetsPerSecond: 'packets/s',
  pathMbitPerSecond: 'Mbit/s a path',
  pathPacketsPerSecond: 'packets/s a path',
  echoesPerSecond: 'echoes/s',
}
