import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressOf, addressRecord, buildAnswer, buildQuery, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import { type Ip, ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { NodeCore } from './core.ts'
import type { NodeCoreOut, NodeDirected, NodeFlow } from './types.ts'

const own = { vip4: parseIp4('198.18.0.1') as Ip4, vip6: parseIp6('fd12::1') as Ip6 }
const bob = { vip4: parseIp4('198.18.0.2') as Ip4, vip6: parseIp6('fd12::2') as Ip6 }
const open: NodeDirected = { ok: true, row: 7, ttlSeconds: 60, pair: bob }

test('before the network is known every message is forwarded, byte for byte, and its reply too', () => {
  const w = world(false)
  const query = w.query('bob.ntm.example')
  expect(w.outs()).toEqual([expect.objectContaining({ out: 'forward', transport: 'udp', bytes: query })])
  const bytes = Uint8Array.from([1, 2, 3])
  w.core.handle({ in: 'query', asker: 'odd', from: LOCAL, port: 9, transport: 'tcp', bytes }, w.now)
  expect(w.outs()).toEqual([expect.objectContaining({ out: 'forward', transport: 'tcp', bytes })])
  w.core.handle({ in: 'reply', flow: w.flow, bytes }, w.now)
  expect(w.outs()).toEqual([{ out: 'answer', asker: 'app', bytes }])
})

test('an NTM name is asked for once, and answered with its virtual pair when the tunnel stands', () => {
  const w = world()
  w.query('bob.ntm.example')
  const [direct] = w.outs()
  expect(direct).toMatchObject({ out: 'direct', sought: { by: 'name', name: 'bob.ntm.example' }, why: 'dns' })
  expect(direct).toMatchObject({ sources: [own.vip4, own.vip6] })
  w.query('bob.ntm.example', TYPE.AAAA)
  expect(w.outs()).toEqual([])
  w.core.handle({ in: 'directed', tag: tagOf(direct), result: open }, w.now)
  const outs = w.outs()
  expect(outs[0]).toEqual({ out: 'route', vips: [bob.vip4, bob.vip6], row: 7 })
  const answers = outs.flatMap((o) => (o.out === 'answer' ? [parseMessage(o.bytes)!] : []))
  expect(answers.flatMap((m) => m.answers.map((r) => [addressOf(r), r.ttl]))).toEqual([
    [bob.vip4, 60],
    [bob.vip6, 60],
  ])
  expect(w.ask('bob.ntm.example', TYPE.MX)).toMatchObject({ rcode: RCODE.NOERROR, answers: [] })
  expect(w.ask('2.0.18.198.in-addr.arpa', TYPE.PTR)?.answers[0]?.data).toBe('bob.ntm.example')
})

test('refusals: no such name is NXDOMAIN, everything else SERVFAIL, and never later than the hold', () => {
  for (const [why, rcode] of [
    ['unknown-name', RCODE.NXDOMAIN],
    ['peer-silent', RCODE.SERVFAIL],
    ['unreachable', RCODE.SERVFAIL],
    ['forbidden', RCODE.SERVFAIL],
  ] as const) {
    const w = world()
    w.query('bob.ntm.example')
    w.core.handle({ in: 'directed', tag: tagOf(w.outs()[0]), result: { ok: false, why } }, w.now)
    expect(answerOf(w.outs())?.rcode, why).toBe(rcode)
  }
  const w = world()
  w.query('bob.ntm.example')
  w.outs()
  expect(w.core.deadline()).toBe(2000)
  w.core.tick(instant(2000))
  expect(answerOf(w.outs())?.rcode).toBe(RCODE.SERVFAIL)
})

test('our own name and addresses are known without asking anybody', () => {
  const w = world()
  expect(w.ask('me.ntm.example')?.answers.map(addressOf)).toEqual([own.vip4])
  expect(w.ask('1.0.18.198.in-addr.arpa', TYPE.PTR)?.answers[0]?.data).toBe('me.ntm.example')
  w.core.handle({ in: 'wanted', vip: own.vip4 }, w.now)
  expect(w.outs()).toEqual([{ out: 'no-path', vip: own.vip4 }])
})

test('a virtual address that packets go to is asked for once, by whichever family and however many workers', () => {
  const w = world()
  for (let i = 0; i < 3; i++) w.core.handle({ in: 'wanted', vip: bob.vip6 }, w.now)
  const outs = w.outs()
  expect(outs).toHaveLength(1)
  expect(outs[0]).toMatchObject({ out: 'direct', sought: { by: 'vip', vip: bob.vip6 }, why: 'data' })
  w.core.handle({ in: 'directed', tag: tagOf(outs[0]), result: { ok: true, row: 3, ttlSeconds: 0, pair: null } }, w.now)
  expect(w.outs()).toEqual([{ out: 'route', vips: [bob.vip6], row: 3 }])
  w.core.handle({ in: 'wanted', vip: bob.vip6 }, w.now)
  const again = w.outs()
  w.core.handle({ in: 'directed', tag: tagOf(again[0]), result: { ok: false, why: 'unknown-name' } }, w.now)
  expect(w.outs()).toEqual([{ out: 'no-path', vip: bob.vip6 }])
})

test('without global IPv6 a server that has only that is asked for; with it nobody is bothered', () => {
  const real6 = parseIp('2001:db8::9')!
  for (const hasGlobalIp6 of [false, true]) {
    const w = world()
    w.core.handle({ in: 'families', hasIp4: true, hasGlobalIp6 }, w.now)
    w.query('six.example')
    const outs = w.outs()
    expect(outs).toHaveLength(hasGlobalIp6 ? 1 : 2)
    const [passed, asked] = outs
    if (passed?.out !== 'forward' || (!hasGlobalIp6 && asked?.out !== 'forward')) throw new Error('nothing forwarded')
    w.core.handle({ in: 'reply', flow: passed.flow, bytes: replyTo(passed.bytes, []) }, w.now)
    if (asked?.out === 'forward')
      w.core.handle({ in: 'reply', flow: asked.flow, bytes: replyTo(asked.bytes, [real6]) }, w.now)
    const then = w.outs()
    if (hasGlobalIp6) expect(answerOf(then)?.answers).toEqual([])
    else expect(then).toMatchObject([{ out: 'direct', sought: { by: 'name', name: 'six.example' } }])
  }
})

test('whatever comes in whatever order: no message is answered twice, no direction asked for twice at a time', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('query' as const), name: fc.nat(3), type: fc.constantFrom(1, 28, 16), id: fc.nat(9) }),
    fc.record({ do: fc.constant('wanted' as const), host: fc.nat(3) }),
    fc.record({ do: fc.constant('directed' as const), which: fc.nat(5), ok: fc.boolean() }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.nat(3000) }),
    fc.record({ do: fc.constant('noise' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const w = world()
      const openTags = new Map<string, string>()
      let asked = 0
      const answered = new Set<string>()
      const take = (): void => {
        for (const o of w.outs()) {
          if (o.out === 'direct') {
            const about = JSON.stringify(o.sought)
            expect([...openTags.values()]).not.toContain(about)
            openTags.set(o.tag, about)
          } else if (o.out === 'answer') {
            expect(answered.has(o.asker), `${o.asker} answered twice`).toBe(false)
            answered.add(o.asker)
          }
        }
      }
      for (const s of steps) {
        if (s.do === 'query') w.query(`n${s.name}.ntm.example`, s.type, s.id, `app${++asked}`)
        else if (s.do === 'wanted') w.core.handle({ in: 'wanted', vip: parseIp(`198.18.1.${s.host}`)! }, w.now)
        else if (s.do === 'noise')
          w.core.handle(
            { in: 'query', asker: `app${++asked}`, from: LOCAL, port: 5, transport: 'udp', bytes: s.bytes },
            w.now,
          )
        else if (s.do === 'directed') {
          const tag = [...openTags.keys()][s.which]
          if (tag !== undefined) {
            openTags.delete(tag)
            w.core.handle({ in: 'directed', tag, result: s.ok ? open : { ok: false, why: 'peer-silent' } }, w.now)
          }
        } else w.later(s.ms)
        take()
        // The negotiation answers every direction within the hold.
        if (s.do === 'wait' && s.ms > 1800) openTags.clear()
      }
    }),
    { numRuns: 150 },
  )
})

const LOCAL: Ip = parseIp('127.0.0.1')!
const tagOf = (o: NodeCoreOut<string> | undefined): string => (o?.out === 'direct' ? o.tag : '')
const answerOf = (outs: readonly NodeCoreOut<string>[]): ReturnType<typeof parseMessage> => {
  const one = outs.find((o) => o.out === 'answer')
  return one?.out === 'answer' ? parseMessage(one.bytes) : null
}
const replyTo = (query: Uint8Array, ips: readonly Ip[]): Uint8Array => {
  const asked = parseMessage(query)!
  const answers = ips.map((ip) => addressRecord(asked.question!.name, ip as Ip4 | Ip6, 300))
  return buildAnswer(asked, { rcode: 0, answers, recursionAvailable: true })
}

function world(known = true) {
  let next = 0
  const random = { bytes: (n: number) => Uint8Array.from({ length: n }, () => (next++ * 97) & 255) }
  const core = new NodeCore<string>({ holdMillis: 2000 }, random, new CounterMap())
  const virtual = ['198.18.0.0/16', '198.19.0.0/16', 'fd12::/48'].map((p) => parsePrefix(p)!)
  if (known)
    core.handle({ in: 'network', name: 'me.ntm.example', pair: own, zones: ['ntm.example'], virtual }, instant(0))
  const w = {
    core,
    now: instant(0) as Instant,
    later: (ms: number) => {
      w.now = instant(w.now + ms)
      core.tick(w.now)
    },
    flow: { asker: 'app', transport: 'udp' } as NodeFlow<string>,
    query: (name: string, type: number = TYPE.A, id = 1, asker = 'app'): Uint8Array => {
      const bytes = buildQuery({ id, name, type, recursionDesired: true })!
      const port = 4000 + (asker === 'app' ? 0 : Number(asker.slice(3)))
      core.handle({ in: 'query', asker, from: LOCAL, port, transport: 'udp', bytes }, w.now)
      return bytes
    },
    ask: (name: string, type: number = TYPE.A) => {
      w.query(name, type)
      return answerOf(w.outs())
    },
    outs: (): NodeCoreOut<string>[] => {
      const all: NodeCoreOut<string>[] = []
      for (let o = core.poll(); o !== null; o = core.poll()) all.push(o)
      return all
    },
  }
  expect(ipText(own.vip4)).toBe('198.18.0.1')
  return w
}
