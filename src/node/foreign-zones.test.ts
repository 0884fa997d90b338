import { expect, test } from 'vitest'
import { addressRecord, buildAnswer, buildQuery, CLASS_IN, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import { type Fingerprint, fingerprint, nodeId } from '#ntm-lib/addr/ids.ts'
import { type Ip, parseIp } from '#ntm-lib/addr/ip.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { after, type Instant, instant, millis } from '#ntm-lib/base/time.ts'
import { encodeNtmService } from '#ntm-lib/dns/records.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { NodeCore } from './core.ts'
import type { NodeCoreOut, NodeFlow } from './types.ts'

const OURS = fingerprint(new Uint8Array(16).fill(7))
const pair = { vip4: parseIp4('198.18.0.1') as Ip4, vip6: parseIp6('fd12::1') as Ip6 }

test("a zone nobody named: its name is asked for as a box's when DNS shows our fingerprint, and the next one at once", () => {
  const w = world()
  w.query('bob.b.example', 1)
  const [passed, svcb] = w.outs()
  expect(w.questionOf(passed)).toMatchObject({ name: 'bob.b.example', type: TYPE.A })
  expect(w.questionOf(svcb)).toMatchObject({ name: '_ntm._udp.b.example', type: TYPE.SVCB })
  w.nothing(passed)
  expect(w.outs()).toEqual([])
  w.service(svcb, OURS)
  const [direct] = w.outs()
  expect(direct).toMatchObject({ out: 'direct', sought: { by: 'peer', name: 'bob.b.example' } })
  if (direct?.out !== 'direct') throw new Error('no direction')
  const bob = { vip4: parseIp4('198.18.128.1') as Ip4, vip6: parseIp6('fd12::2') as Ip6 }
  w.core.handle({ in: 'directed', tag: direct.tag, result: { ok: true, row: 3, ttlSeconds: 60, pair: bob } }, w.now)
  const answered = w.outs().flatMap((o) => (o.out === 'answer' ? [parseMessage(o.bytes)] : []))
  expect(answered[0]).toMatchObject({ id: 1, answers: [{ data: bob.vip4 }] })
  w.query('eve.b.example', 2)
  expect(w.outs()).toMatchObject([{ out: 'direct', sought: { by: 'peer', name: 'eve.b.example' } }])
})

test('whichever answer comes first: the service record before the empty one', () => {
  const w = world()
  w.query('bob.b.example', 1)
  const [passed, svcb] = w.outs()
  w.service(svcb, OURS)
  expect(w.outs()).toEqual([])
  w.nothing(passed)
  expect(w.outs()).toMatchObject([{ out: 'direct', sought: { by: 'peer' } }])
})

test('an address is never waited with, and an ordinary zone is asked for once', () => {
  const w = world()
  w.query('www.shop.example', 1)
  const [passed, svcb] = w.outs()
  const bytes = w.address(passed)
  expect(w.outs()).toEqual([{ out: 'answer', asker: 'app', bytes }])
  w.nothing(svcb)
  for (const [i, name] of ['api.shop.example', 'www.shop.example'].entries()) {
    w.query(name, 10 + i)
    const outs = w.outs()
    expect(outs.map((o) => w.questionOf(o)?.type)).toEqual([TYPE.A])
    const empty = w.nothing(outs[0])
    expect(w.outs()).toEqual([{ out: 'answer', asker: 'app', bytes: empty }])
  }
})

test("another network's record, a refusal and silence: the resolver's answer goes on as it was, in time", () => {
  for (const what of ['other', 'refused', 'silent'] as const) {
    const w = world()
    w.query('bob.b.example', 1)
    const [passed, svcb] = w.outs()
    const bytes = w.nothing(passed)
    if (what === 'other') w.service(svcb, fingerprint(new Uint8Array(16).fill(8)))
    if (what === 'refused') w.nothing(svcb, RCODE.REFUSED)
    if (what === 'silent') {
      const due = w.core.deadline() ?? 0
      expect(due - w.now).toBeLessThanOrEqual(1000)
      w.now = after(w.now, millis(due - w.now))
      w.core.tick(w.now)
    }
    expect(w.outs(), what).toEqual([{ out: 'answer', asker: 'app', bytes }])
  }
})

test('an answer to a question that was not asked makes no zone ours', () => {
  const w = world()
  w.query('bob.b.example', 1)
  const [passed, svcb] = w.outs()
  w.service(svcb, OURS, 1)
  w.outs()
  w.nothing(passed)
  expect(w.outs()).toEqual([])
})

test('not asked: our own zones, names of two labels, local names, other types, validators', () => {
  const w = world()
  w.query('web.example', 1)
  w.query('printer.office.local', 2)
  w.query('mail.b.example', 3, TYPE.MX)
  expect(w.outs().map((o) => w.questionOf(o)?.type)).toEqual([TYPE.A, TYPE.A, TYPE.MX])
  w.query('bob.ntm.example', 4)
  expect(w.outs()).toMatchObject([{ out: 'direct', sought: { by: 'name' } }])
})

function world() {
  const counters = new CounterMap()
  let dice = 0
  const random = { bytes: (n: number) => Uint8Array.from({ length: n }, () => (dice = (dice * 5 + 77) % 251)) }
  const core = new NodeCore<string>({ holdMillis: 2000, fingerprint: OURS }, random, counters)
  const LOCAL = parseIp('127.0.0.1') as Ip
  const w = {
    core,
    now: instant(1000) as Instant,
    outs(): NodeCoreOut<string>[] {
      const all: NodeCoreOut<string>[] = []
      for (let o = core.poll(); o !== null; o = core.poll()) if (o.out !== 'route') all.push(o)
      return all
    },
    query(name: string, id: number, type: number = TYPE.A): void {
      const bytes = buildQuery({ id, name, type, recursionDesired: true }) as Uint8Array
      core.handle({ in: 'query', asker: 'app', from: LOCAL, port: 5000 + id, transport: 'udp', bytes }, w.now)
    },
    questionOf: (o: NodeCoreOut<string> | undefined) => (o?.out === 'forward' ? parseMessage(o.bytes)?.question : null),
    reply(o: NodeCoreOut<string> | undefined, make: (query: Uint8Array) => Uint8Array): Uint8Array {
      if (o?.out !== 'forward') throw new Error('nothing was forwarded')
      const bytes = make(o.bytes)
      core.handle({ in: 'reply', flow: o.flow as NodeFlow<string>, bytes }, w.now)
      return bytes
    },
    /** The resolver knows the name, or not, and has no record of the type. */
    nothing: (o: NodeCoreOut<string> | undefined, rcode: number = RCODE.NOERROR) =>
      w.reply(o, (query) => buildAnswer(parseMessage(query)!, { rcode })),
    address: (o: NodeCoreOut<string> | undefined) =>
      w.reply(o, (query) => {
        const asked = parseMessage(query)!
        const answers = [addressRecord(asked.question!.name, parseIp('192.0.2.80') as Ip, 60)]
        return buildAnswer(asked, { rcode: RCODE.NOERROR, answers })
      }),
    service: (o: NodeCoreOut<string> | undefined, of: Fingerprint, idOff = 0) =>
      w.reply(o, (query) => {
        const asked = parseMessage(query)!
        const about = { priority: 1, target: '', port: 4330, hints4: [], hints6: [], coordinatorKey: null }
        const data = encodeNtmService({ ...about, node: nodeId(new Uint8Array(16)), fingerprint: of })
        const record = { name: asked.question!.name, type: TYPE.SVCB, class: CLASS_IN, ttl: 60, data }
        return buildAnswer({ ...asked, id: (asked.id + idOff) % 65_536 }, { rcode: RCODE.NOERROR, answers: [record] })
      }),
  }
  const virtual = ['198.18.0.0/16', 'fd12::/48'].map((t) => parsePrefix(t)!)
  core.handle({ in: 'network', name: 'me.ntm.example', pair, zones: ['ntm.example'], virtual }, w.now)
  core.handle({ in: 'families', hasIp4: true, hasGlobalIp6: true }, w.now)
  return w
}
