import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BridgeFollower } from '#bridge/follower.ts'
import { ipFrame } from '#bridge/frame.ts'
import type { LinkServer, ThreadLink } from '#io/thread-link.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { packet4, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { hostIp, server4, up, v4, vip4, world } from '#test/support/bridge-world.ts'
import { FollowerRounds, hearLead } from './bridge-follower-rounds.ts'
import { BridgeLead, HANDED } from './bridge-lead.ts'

// A lead and a follower in one thread, with a link between them that delivers when the test says so: what leaves, and in which order.

const OTHER = v4('198.19.0.8')
const FLOWS = [0, 1, 2, 3]

type Step =
  | { readonly step: 'out' | 'in'; readonly flows: readonly number[]; readonly kind: 'plain' | 'fragment' | 'long' }
  | { readonly step: 'to-lead' | 'to-follower' | 'void' | 'slow' | 'prompt' | 'later' | 'wide' | 'narrow' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      step: fc.constantFrom('out' as const, 'in' as const),
      flows: fc.array(fc.constantFrom(...FLOWS), { minLength: 1, maxLength: 8 }),
      kind: fc.constantFrom('plain', 'plain', 'plain', 'fragment', 'long') as fc.Arbitrary<'plain'>,
    }),
  },
  { weight: 4, arbitrary: fc.record({ step: fc.constantFrom('to-lead' as const, 'to-follower' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constantFrom('void', 'slow', 'slow', 'prompt', 'later', 'wide', 'narrow') as fc.Arbitrary<'void'>,
    }),
  },
)

test('whatever becomes of decisions, and however slow the lead is: nothing is lost or doubled, each flow stays in order', () => {
  let direct = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const s = share()
      for (const one of steps) s.do(one)
      s.link.slow = false
      while (s.link.toLead() || s.link.toFollower());
      for (const way of ['out', 'in'] as const) {
        for (const flow of FLOWS) {
          const left = s.left[way].filter((l) => l.flow === flow).map((l) => l.number)
          expect([way, flow, left]).toEqual([way, flow, Array.from({ length: s.made[way][flow] ?? 0 }, (_, i) => i)])
        }
      }
      direct += s.direct()
    }),
    { numRuns: 300 },
  )
  // Else it would have shown nothing.
  expect(direct).toBeGreaterThan(200)
})

test('a flow is handed over until the lead has decided, and then carried here', () => {
  const s = share()
  for (let n = 0; n < 5; n++) s.do({ step: 'out', flows: [0, 0, 1], kind: 'plain' })
  expect([s.link.handed, s.direct()]).toEqual([3, 12])
  s.do({ step: 'void' })
  s.do({ step: 'out', flows: [0], kind: 'plain' })
  s.do({ step: 'out', flows: [0], kind: 'plain' })
  expect([s.link.handed, s.direct()]).toEqual([4, 13])
})

test('a decision that is told while more of the flow is on its way to the lead does not hold', () => {
  const s = share()
  const one: Step = { step: 'out', flows: [0], kind: 'plain' }
  for (const next of [{ step: 'slow' }, one, { step: 'to-lead' }, one, { step: 'to-follower' }, one] as const)
    s.do(next)
  expect([s.link.handed, s.direct()]).toEqual([3, 0])
  s.do({ step: 'prompt' })
  s.do(one)
  s.do(one)
  expect(s.left.out.map((l) => l.number)).toEqual([0, 1, 2, 3, 4])
  expect(s.direct()).toBe(1)
})

function share() {
  const w = world()
  w.route(OTHER)
  const left = { out: [] as Left[], in: [] as Left[] }
  const made = { out: [0, 0, 0, 0], in: [0, 0, 0, 0] }
  let direct = 0
  const link = new TestLink()
  const lead = new BridgeLead({
    links: [link.down],
    clock: { now: () => w.now },
    core: w.core,
    take: (b, kinds, now, went) => {
      for (let i = 0; i < b.count; i++) {
        const at = slotAt(b, i)
        if (kinds[i] === HANDED.inner) {
          expect(w.core.fromTunnel(b.view, at, b.lens[i] ?? 0, b.gso[i] ?? 0, now)).toBe('to-host')
          left.in.push(read(b.view, w.core.toHost.at + 14))
          went('in', w.core.judged('to-host'))
          continue
        }
        const verdict = w.core.fromTap(b, i, now)
        if (verdict === 'to-tunnel') {
          left.out.push(read(b.view, w.core.toTunnel.at))
          went('out', w.core.judged('to-tunnel'))
        } else {
          expect(verdict).toBe('consumed')
          for (const o of w.outs()) {
            const v = o.out === 'to-tunnel' ? viewOf(o.packet) : null
            // The first piece stands for all.
            if (v !== null && (ip4.fragmentWord(v, 0) & 0x1fff) === 0) left.out.push(read(v, 0))
          }
        }
      }
    },
  })
  const core = new BridgeFollower(['198.18.0.0/16', '198.19.0.0/16'].flatMap((p) => parsePrefix(p) ?? []))
  hearLead(link, (word) => core.told(word))
  while (link.toFollower());
  let waiting: Left[] = []
  const rounds = new FollowerRounds({
    core,
    link,
    counters: w.counters,
    plane: {
      put: (row, memory, at) => {
        expect(row).toBe(9)
        waiting.push(read(memory.view, at))
        direct++
        return 'queued'
      },
      flush: () => left.out.push(...waiting.splice(0)),
    },
    leg: {
      add: (arena, at) => {
        waiting.push(read(new DataView(arena.buffer), at + 14))
        direct++
      },
      flush: () => {
        left.in.push(...waiting)
        waiting = []
      },
    },
  })
  const size = (bytes: number): void => {
    const sizes = { innerBytes: bytes, wholeBytes: bytes - 80, clampBytes: bytes - 80 }
    core.tunnel(9, sizes)
    w.core.handle({ in: 'tunnel-mtu', tunnel: 9, ...sizes }, w.now)
  }
  size(1400)
  const run = (way: 'out' | 'in', flows: readonly number[], kind: 'plain' | 'fragment' | 'long'): void => {
    const b = superBatch(8, 4096)
    b.count = flows.length
    for (const [i, flow] of flows.entries()) {
      const number = made[way][flow] ?? 0
      made[way][flow] = number + 1
      const bytes = i === 0 ? packet(way, flow, number, kind) : packet(way, flow, number, 'plain')
      const whole = way === 'out' ? ipFrame(up, bytes) : bytes
      b.arena.set(whole, slotAt(b, i))
      b.lens[i] = whole.length
    }
    if (way === 'out') return rounds.frames(b, false, w.now)
    for (let i = 0; i < b.count; i++) rounds.inner(9, b, i, w.now)
    rounds.afterOpen()
  }
  return {
    left,
    made,
    link,
    direct: () => direct,
    do: (s: Step): void => {
      switch (s.step) {
        case 'out':
        case 'in':
          return run(s.step, s.flows, s.kind)
        case 'to-lead':
          return void link.toLead()
        case 'to-follower':
          return void link.toFollower()
        case 'slow':
        case 'prompt':
          link.slow = s.step === 'slow'
          return
        case 'later':
          w.now = instant(w.now + 2000)
          return
        case 'wide':
        case 'narrow':
          return size(s.step === 'wide' ? 1400 : 1280)
        case 'void':
          for (const host of w.core.hosts.all()) host.changes++
          return lead.publish()
        default:
          return s satisfies never
      }
    },
  }
}

type Left = { readonly flow: number; readonly number: number }

/** Flow and number of the packet at `at`. */
const read = (v: DataView, at: number): Left => ({ flow: v.getUint16(at + 20) - 1000, number: v.getUint32(at + 28) })

/** Flows 0 and 1 are between the same two. */
function packet(way: 'out' | 'in', flow: number, number: number, kind: 'plain' | 'fragment' | 'long'): Uint8Array {
  const payload = new Uint8Array(kind === 'long' ? 1340 : 64)
  viewOf(payload).setUint32(0, number)
  const server: Ip4 = flow < 2 ? server4 : OTHER
  const ends = way === 'out' ? { source: hostIp, destination: server } : { source: server, destination: vip4 }
  const bytes = packet4({ ...ends, protocol: 17, payload: udp(1000 + flow, 9, payload) })
  if (kind === 'fragment') {
    viewOf(bytes).setUint16(6, 0x2000)
    ip4.fillCheck(viewOf(bytes), 0)
  }
  return bytes
}

type Item = { readonly word: unknown } | { readonly kind: number; readonly ref: number; readonly bytes: Uint8Array }

/** The follower's end of a link; `down` is the lead's. */
class TestLink implements Pick<ThreadLink, 'serve' | 'hand' | 'flush' | 'settle' | 'isSettled'> {
  slow = false
  handed = 0
  #taken = 0
  #queued: Item[] = []
  readonly #up: Item[][] = []
  readonly #down: unknown[] = []
  #follower: LinkServer | null = null
  #lead: LinkServer | null = null
  readonly down = {
    serve: (server: LinkServer): void => {
      this.#lead = server
    },
    tell: (word: unknown): void => void this.#down.push(structuredClone(word)),
    flush: (): void => {},
  }

  serve(server: LinkServer): void {
    this.#follower = server
  }

  hand(kind: number, ref: number, arena: Uint8Array, at: number, len: number): boolean {
    this.handed++
    this.#queued.push({ kind, ref, bytes: arena.slice(at, at + len) })
    return true
  }

  flush(): void {
    if (this.#queued.length > 0) this.#up.push(this.#queued.splice(0))
  }

  get isSettled(): boolean {
    return this.#taken === this.handed
  }

  settle(): boolean {
    this.flush()
    if (this.slow) return false
    while (this.toLead());
    while (this.toFollower());
    return true
  }

  /** One message arrives at the lead; false when none is on its way. */
  toLead(): boolean {
    const items = this.#up.shift()
    if (items === undefined) return false
    const b: SuperBatch = superBatch(items.length, 4096)
    const [kinds, refs] = [new Int32Array(items.length), new Int32Array(items.length)]
    for (const item of items) {
      if ('word' in item) continue
      const i = b.count++
      b.arena.set(item.bytes, slotAt(b, i))
      b.lens[i] = item.bytes.length
      kinds[i] = item.kind
      refs[i] = item.ref
    }
    this.#lead?.packets(b, kinds, refs)
    this.#taken += b.count
    return true
  }

  toFollower(): boolean {
    if (this.#down.length === 0) return false
    this.#follower?.word(this.#down.shift())
    return true
  }
}
