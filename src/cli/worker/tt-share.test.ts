import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checksumsHold, packet4, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { ACK, FIN, SYN } from '#ntm-lib/packet/tcp.ts'
import { packet } from '#test/support/traffic-bench.ts'
import { hostPort, type Left, TtShareWorld } from '#test/support/tt-share-world.ts'

const { host, virtual } = TtShareWorld
const REAL4 = '192.0.2.80'
const REAL6 = '2001:db8:6::80'

/** Payload whose every eight bytes say its number. */
const numbered = (n: number, bytes: number): Uint8Array => {
  const out = new Uint8Array(bytes)
  for (let i = 0; i + 8 <= bytes; i += 8) viewOf(out).setUint32(i, n)
  return out
}

/** A host's connection through the terminator, and what its server answers. */
class Talk {
  readonly sent: number[] = []
  readonly answered: number[] = []
  readonly row: number
  readonly port: number
  readonly protocol: number
  readonly #w: TtShareWorld
  readonly #real: string
  #next = 1
  #isOpen = false
  #isAnswered = false

  constructor(w: TtShareWorld, real: string, n: number) {
    this.#w = w
    this.#real = real
    this.port = 5000 + n
    this.row = 1 + (n % 3)
    this.protocol = n % 2 === 0 ? TCP : UDP
  }

  /** The next packet of the host; `flags` for TCP. */
  send(bytes = 16, gso = 0, flags = ACK): void {
    const n = this.#next++
    const first = this.protocol === TCP && !this.#isOpen
    const payload = numbered(n, bytes)
    const upper = this.protocol === TCP ? tcp(this.port, 80, first ? SYN : flags, payload) : udp(this.port, 80, payload)
    this.#isOpen = true
    this.#queue(packet({ from: host[4], to: virtual[4] }, this.protocol, upper), gso)
    this.sent.push(n)
  }

  /** The next datagram, in two fragments. */
  sendFragments(): void {
    const n = this.#next++
    const whole = udp(this.port, 80, numbered(n, 48))
    for (const [from, to] of [
      [0, 32],
      [32, 56],
    ] as const) {
      const payload = whole.slice(from, to)
      const more = to < whole.length
      const [source, destination] = [0xc6120005, 0xc6130007]
      this.#queue(packet4({ source, destination, protocol: UDP, payload, offset: from / 8, moreFragments: more, id: n }), 0) // biome-ignore format: one line
      this.sent.push(n)
    }
  }

  /** The server's next packet, once something came to it; to the queue of whom the kernel saw last. */
  answer(bytes = 16, gso = 0, flags = ACK): void {
    const by = this.#w.lastWriter.get(this.port)
    if (by === undefined) return
    const n = this.#next++
    const first = this.protocol === TCP && !this.#isAnswered
    this.#isAnswered = true
    const payload = numbered(n, bytes)
    const upper =
      this.protocol === TCP ? tcp(80, this.port, first ? SYN | ACK : flags, payload) : udp(80, this.port, payload)
    const to = this.#real.includes(':') ? host[6] : host[4]
    this.#w.workers[by]!.edge.waiting.push([packet({ from: this.#real, to }, this.protocol, upper), gso])
    this.answered.push(n)
  }

  #queue(bytes: Uint8Array, gso: number): void {
    const { workers } = this.#w
    workers[this.row % workers.length]!.tunnel.push([this.row, [bytes, gso]])
  }
}

/** The number in a packet that left, and of which talk it is: fragments by their number alone. */
function read({ bytes, row }: Left): { readonly port: number; readonly n: number } {
  const v = viewOf(bytes)
  const at = v.getUint8(0) >> 4 === 4 ? 20 : 40
  if (at === 20 && (v.getUint16(6) & 0x1fff) !== 0) return { port: -1, n: v.getUint32(at) }
  const protocol = v.getUint8(at === 20 ? 9 : 6)
  const port = row === 0 ? hostPort(bytes) : v.getUint16(at + 2)
  return { port, n: v.getUint32(at + (protocol === TCP ? 20 : 8)) }
}

const numbers = (left: readonly Left[], talk: Talk, isOut: boolean): number[] =>
  left
    .filter((l) => (l.row === 0) === isOut)
    .map(read)
    .filter(({ port }) => port === talk.port || (port === -1 && talk.port === 5001))
    .map(({ n }) => n)

describe.each([REAL4, REAL6])('a server at %s', (real) => {
  const act = fc.record({ what: fc.nat(13), talk: fc.nat(5), who: fc.nat(2), size: fc.nat(2) })
  const acts = fc.array(act, { minLength: 40, maxLength: 200, size: 'max' })
  type Act = { readonly what: number; readonly talk: number; readonly who: number; readonly size: number }

  /** Does all that, then lets everything arrive. `other`: what only some do, one act of fourteen. */
  const run = (workers: number, list: readonly Act[], other: (w: TtShareWorld, talks: Talk[], a: Act) => void) => {
    const w = new TtShareWorld(real, workers)
    const talks = [0, 1, 2, 3, 4, 5].map((n) => new Talk(w, real, n))
    for (const a of list) {
      const { what, who, size } = a
      const [talk, worker, link] = [talks[a.talk]!, w.workers[who % workers]!, w.links[who % (workers - 1)]!]
      const [bytes, gso] = size === 2 ? [3000, 1000] : [16 * (size + 1), 0]
      if (what <= 2) talk.send(bytes, gso)
      else if (what <= 4) talk.answer(bytes, gso)
      else if (what <= 6) worker.open()
      else if (what <= 8) worker.edge.wake()
      else if (what <= 10) link.up.deliver(link.down)
      else if (what <= 12) link.down.deliver(link.up)
      else other(w, talks, a)
    }
    w.settle()
    return { w, talks }
  }

  test.each([2, 3])('%i workers: whatever is late, each flow arrives whole and in order', (workers) => {
    let shared = 0
    fc.assert(
      fc.property(acts, (list) => {
        const { w, talks } = run(workers, list, (_, all, { talk }) => all[talk]!.send(16, 0, ACK | FIN))
        for (const talk of talks) {
          expect(numbers(w.left, talk, true)).toEqual(talk.sent)
          expect(numbers(w.left, talk, false)).toEqual(talk.answered)
        }
        shared += w.left.filter((l) => l.by > 0).length
      }),
      { numRuns: 150, endOnFailure: true },
    )
    // It was not all the lead.
    expect(shared).toBeGreaterThan(500)
  })

  test.each([2, 3])(
    '%i workers: nothing is lost and nothing sent is overtaken when flows go back to the lead',
    (workers) => {
      fc.assert(
        fc.property(acts, (list) => {
          const { w, talks } = run(workers, list, (at, all, { talk, who, size }) => {
            if (size === 0) all[talk]!.send(16, 0, ACK | FIN)
            else if (size === 1 && who === 0) at.tick()
            else if (size === 1 && real === REAL4) all[1]!.sendFragments()
            else {
              // The machine has another address: every worker hears of it when it does.
              at.policy.update({})
              at.followers[who % (workers - 1)]!.policyChanged()
            }
          })
          for (const talk of talks) {
            expect(numbers(w.left, talk, true)).toEqual(talk.sent)
            const back = numbers(w.left, talk, false)
            expect(back.sort((x, y) => x - y)).toEqual(talk.answered)
          }
        }),
        { numRuns: 150, endOnFailure: true },
      )
    },
  )

  test('a flow that stands is carried by the worker it comes to, both ways, with right checksums', () => {
    const w = new TtShareWorld(real, 2)
    const talks = [0, 1, 3, 4].map((n) => new Talk(w, real, n))
    const turn = (): void => {
      for (const t of talks) t.send(64)
      w.settle()
      for (const t of talks) t.answer(64)
      w.settle()
    }
    for (let n = 0; n < 4; n++) turn()
    const before = w.left.length
    const [{ up }] = w.links as [(typeof w.links)[0]]
    const handed = up.handed
    turn()
    // Rows 1 and 3 come to the second worker, row 2 to the first, which needs nobody.
    const last = w.left.slice(before)
    expect(last.map((l) => [read(l).port, l.by]).sort()).toEqual(
      [5000, 5001, 5003, 5004].flatMap((port) => Array(2).fill([port, port === 5001 || port === 5004 ? 0 : 1])),
    )
    expect(up.handed).toBe(handed)
    expect(w.left.every((l) => checksumsHold(l.bytes))).toBe(true)
  })
})

test('connections that end at a follower end at the lead, and their ports are used again', () => {
  const w = new TtShareWorld(REAL6, 2)
  const talk = new Talk(w, REAL6, 0)
  const turn = (flags: number): void => {
    talk.send(16, 0, flags)
    w.settle()
    talk.answer(16, 0, flags)
    w.settle()
  }
  for (let n = 0; n < 3; n++) turn(ACK)
  const handed = w.links[0]!.up.handed
  turn(ACK | FIN)
  turn(ACK)
  expect([w.links[0]!.up.handed, w.wire.flows.size]).toEqual([handed, 1])
  // The lead's own timer: four minutes after the end, not two hours.
  for (let s = 0; s < 260; s++) w.tick()
  w.settle()
  expect([w.wire.flows.size, w.followers[0]!.flows]).toEqual([0, 0])
})

test('an answer that waits at the lead is not overtaken by one that a follower hands over', () => {
  const w = new TtShareWorld(REAL6, 2)
  const talk = new Talk(w, REAL6, 2)
  talk.send()
  w.settle()
  talk.answer()
  w.settle()
  w.lastWriter.set(talk.port, 0)
  talk.answer()
  w.lastWriter.set(talk.port, 1)
  talk.answer()
  w.workers[1]!.edge.wake()
  w.links[0]!.up.deliver(w.links[0]!.down)
  expect(numbers(w.left, talk, false)).toEqual(talk.answered)
})

test('used flows live on, and what the lead removes is removed everywhere', () => {
  const w = new TtShareWorld(REAL6, 2)
  const [talk, idle] = [new Talk(w, REAL6, 0), new Talk(w, REAL6, 3)]
  for (let n = 0; n < 3; n++) {
    for (const t of [talk, idle]) {
      t.send()
      w.settle()
      t.answer()
      w.settle()
    }
  }
  expect(w.followers[0]!.flows).toBe(2)
  const until = 300
  for (let s = 0; s < until + 20; s++) {
    talk.send()
    w.settle()
    w.tick()
    w.settle()
  }
  // The idle one went when its timer did, at the lead; the follower forgot it long before.
  expect([w.wire.flows.size, w.followers[0]!.flows, w.share.size]).toEqual([1, 1, 1])
  const handed = w.links[0]!.up.handed
  talk.answer()
  w.settle()
  expect(w.links[0]!.up.handed).toBe(handed)
  w.wire.traffic.removeNode(w.node)
  w.lead.settle()
  w.settle()
  expect([w.wire.flows.size, w.followers[0]!.flows, w.share.size]).toEqual([0, 0, 0])
  const left = w.left.length
  talk.answer()
  w.settle()
  expect([w.left.length, w.counters.get('tt.drop.unknown-flow')]).toEqual([left, 1])
})

test('a box that is gone is gone at a follower at once', () => {
  const w = new TtShareWorld(REAL6, 2)
  const talk = new Talk(w, REAL6, 0)
  for (let n = 0; n < 3; n++) {
    talk.send()
    w.settle()
    talk.answer()
    w.settle()
  }
  const [follower] = w.followers as [(typeof w.followers)[0]]
  expect(follower.flows).toBe(1)
  follower.removeNode(w.node)
  expect(follower.flows).toBe(0)
})
