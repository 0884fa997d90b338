import { expect, test } from 'vitest'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { packet4, tcp, viewOf } from '#ntm-lib/packet/build.ts'
import { newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { ACK, FIN, SYN } from '#ntm-lib/packet/tcp.ts'
import { newFlowNode } from '../flow-node.ts'
import { flowSide } from '../flow-side.ts'
import { type Flow, FlowTable } from '../flows.ts'
import type { ServerEntry } from '../server-entry.ts'
import { TT_TIMERS } from '../timers.ts'
import { USED_IN, USED_OUT } from './flow-copy.ts'
import { LeadShare } from './lead-share.ts'

const HOST4 = parseIp4('198.18.0.5')!
const HOST6 = parseIp6('fd00:1:2::5')!
const VIRTUAL = parseIp4('198.19.0.7')!
const REAL = parseIp6('2001:db8::80')!
const at = (s: number) => instant(s * 1000)

class World {
  readonly policy = { version: 0 }
  readonly node = newFlowNode('box')
  readonly entry: ServerEntry = {
    node: 'box',
    name: 'web.example',
    pair: { vip4: VIRTUAL, vip6: REAL },
    addresses: [REAL],
    expires: at(60),
    resolveAt: at(48),
    resolving: false,
    lastUsed: at(0),
    flows: 0,
    avoid: new Map(),
  }
  readonly share: LeadShare = new LeadShare({
    use: (flow, out, back, now) => this.flows.used(flow, out, back, now),
    policy: this.policy,
    followers: 2,
  })
  readonly flows = new FlowTable({ total: 100, perNode: 100 }, 1, this.share)

  open(protocol: number, port: number): Flow {
    const flow = this.flows.open(
      this.node,
      this.entry,
      flowSide(protocol, HOST4, port, VIRTUAL, 80),
      flowSide(protocol, HOST6, port, REAL, 80),
      at(0),
    )
    if (typeof flow === 'string') throw new Error(flow)
    flow.allowedBy = this.policy.version
    return flow
  }

  flags(flow: Flow, flags: number, outbound: boolean): void {
    const p = packet4({ source: HOST4, destination: VIRTUAL, protocol: TCP, payload: tcp(1, 80, flags) })
    const t = newFiveTuple()
    readTuple(viewOf(p), 0, p.length, t)
    this.flows.touch(flow, viewOf(p), t, p.length, outbound, at(0))
  }

  stood(port: number): Flow {
    const flow = this.open(TCP, port)
    this.flags(flow, SYN, true)
    this.flags(flow, SYN | ACK, false)
    return flow
  }
}

test('a TCP flow is offered when both have spoken, to who handed a packet of it', () => {
  const w = new World()
  const flow = w.open(TCP, 1000)
  w.flags(flow, SYN, true)
  w.share.handed(1, flow, at(0))
  w.flags(flow, SYN | ACK, false)
  expect([w.share.poll(0), w.share.poll(1)]).toEqual([null, null])
  w.share.handed(1, flow, at(0))
  expect(w.share.poll(0)).toBe(null)
  const [offer] = w.share.poll(1)!.offers!
  expect(structuredClone(offer)).toEqual({
    id: 1,
    peer: 'box',
    version: 0,
    inner: { protocol: TCP, source: HOST4, sourcePort: 1000, destination: VIRTUAL, destinationPort: 80 },
    edge: { protocol: TCP, source: HOST6, sourcePort: 1000, destination: REAL, destinationPort: 80 },
  })
  expect(w.share.poll(1)).toBe(null)
  w.flags(flow, FIN | ACK, false)
  w.share.handed(0, flow, at(0))
  expect(w.share.poll(0)).toBe(null)
})

test('a UDP flow is offered with its second packet, or with the first when it was answered before', () => {
  const w = new World()
  const [one, two] = [w.open(UDP, 1), w.open(UDP, 2)]
  w.share.handed(0, one, at(0))
  expect(w.share.poll(0)).toBe(null)
  w.share.handed(0, one, at(0))
  expect(w.share.poll(0)?.offers?.length).toBe(1)
  two.answered = true
  w.share.handed(0, two, at(0))
  expect(w.share.poll(0)?.offers?.length).toBe(1)
})

test('what is neither TCP nor UDP, and what an older policy let through, is offered to nobody', () => {
  const w = new World()
  for (let n = 0; n < 3; n++) w.share.handed(0, w.open(1, n), at(0))
  const flow = w.stood(1000)
  w.policy.version++
  w.share.handed(0, flow, at(0))
  expect([w.share.poll(0), w.share.size]).toEqual([null, 0])
})

test('who hands packets of a flow that it was offered is offered it again, but not at once', () => {
  const w = new World()
  const flow = w.stood(1000)
  w.share.handed(0, flow, at(1))
  w.share.poll(0)
  w.share.handed(0, flow, at(1.2))
  expect(w.share.poll(0)).toBe(null)
  w.share.handed(1, flow, at(1.2))
  expect(w.share.poll(1)?.offers?.map((o) => o.id)).toEqual([1])
  w.share.handed(0, flow, at(1.25))
  expect(w.share.poll(0)?.offers?.map((o) => o.id)).toEqual([1])
})

test('whoever was offered a flow hears that it is no more, and nobody else', () => {
  const w = new World()
  const [one, two] = [w.stood(1000), w.stood(1001)]
  w.share.handed(0, one, at(0))
  w.share.handed(1, two, at(0))
  w.share.handed(0, two, at(0))
  for (const who of [0, 1]) w.share.poll(who)
  w.flows.removeNode(w.node)
  expect(w.share.poll(0)).toEqual({ offers: [], voids: [1, 2] })
  expect(w.share.poll(1)).toEqual({ offers: [], voids: [2] })
  expect(w.share.size).toBe(0)
  expect(w.share.used(0, Float64Array.of(32 + USED_OUT), at(1))).toBe(null)
})

test('an offer that was not told yet comes before its end', () => {
  const w = new World()
  const flow = w.stood(1000)
  w.share.handed(0, flow, at(0))
  w.flows.remove(flow)
  const { offers, voids } = w.share.poll(0)!
  expect([offers!.map((o) => o.id), voids]).toEqual([[1], [1]])
})

test('flows used elsewhere stay: as if their packets had come by here', () => {
  const w = new World()
  const [tcpFlow, asked, heard] = [w.stood(1000), w.open(UDP, 1), w.open(UDP, 2)]
  for (const flow of [tcpFlow, asked, asked, heard, heard]) w.share.handed(0, flow, at(0))
  w.share.poll(0)
  const words = Float64Array.of(32 + USED_IN, 64 + USED_OUT, 96 + USED_IN, 32 * 99 + USED_OUT)
  expect(w.share.used(0, words, at(100))).toEqual({ renewed: Float64Array.of(1, 2, 3) })
  expect([tcpFlow.until, asked.until]).toEqual([100_000 + TT_TIMERS.tcpEstablished, 100_000 + TT_TIMERS.udp])
  // Who only listens to a stranger holds nothing open.
  expect([heard.until, heard.answered, asked.answered]).toEqual([TT_TIMERS.udp, true, false])
  expect(w.entry.lastUsed).toBe(at(100))
  w.policy.version++
  expect(w.share.used(0, words, at(101))).toBe(null)
})

test('what a follower saw the end of is over: it closes soon, is offered no more, and its ports begin anew', () => {
  const w = new World()
  const flow = w.stood(1000)
  w.share.handed(0, flow, at(0))
  w.share.poll(0)
  w.share.used(0, Float64Array.of(32 + USED_OUT + 4), at(10))
  expect(flow.until).toBe(10_000 + TT_TIMERS.tcpEstablished)
  w.share.used(0, Float64Array.of(32 + USED_IN + 8), at(20))
  expect(flow.until).toBe(20_000 + TT_TIMERS.tcpTransitory)
  w.share.handed(0, flow, at(30))
  expect(w.share.poll(0)).toBe(null)
  w.flags(flow, SYN, true)
  expect(flow.seen).toBe(1)
  const reset = w.stood(1001)
  w.share.handed(0, reset, at(30))
  w.share.used(0, Float64Array.of(64 + USED_IN + 16), at(30))
  expect(reset.until).toBe(30_000 + TT_TIMERS.tcpTransitory)
})
