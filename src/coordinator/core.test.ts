import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type { DirectionResponse, Route } from '#ntm-lib/wire/messages/direction.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import { type Asked, type Box, CoordinatorWorld, NO_CONTRACT } from '#test/support/coordinator-world.ts'

type Command =
  | { readonly do: 'direct'; readonly from: number; readonly to: string; readonly lost: boolean }
  | { readonly do: 'accept' | 'leave' | 'reboot' | 'register'; readonly box: number }
  | { readonly do: 'refuse'; readonly box: number; readonly code: RefusalCode }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'host'; readonly box: number }
  | { readonly do: 'restart' }

const anyBox = fc.nat(4)
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('direct' as const),
      from: fc.nat(2),
      to: fc.constantFrom('a.example', 'b.example', 'c.example', 'n0', 'n1', 'n2'),
      lost: fc.boolean(),
    }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('accept' as const), box: anyBox }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('refuse' as const),
      box: anyBox,
      code: fc.constantFrom<RefusalCode>('unknown-name', 'no-route', 'path-id-in-use', 'busy', 'crossed'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 300, 900, 1700, 20_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), box: anyBox }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reboot' as const), box: anyBox }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('register' as const), box: anyBox }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('host' as const), box: fc.nat(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

test('whatever happens: correspondent before initiator, one contract for both, no address twice, all drains', () => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 5, maxLength: 60 }), (commands) => {
      const model = new Model()
      for (const c of commands) model.run(c)
      model.settle()
    }),
    { numRuns: Number(process.env['NTM_RUNS'] ?? 80) },
  )
}, 60_000)

/** What a careful observer of both ends knows, and holds the coordinator to. */
class Model {
  readonly w = new CoordinatorWorld()
  /** Three boxes with hosts or applications (one of them behind a NAT), two terminators. */
  readonly boxes: Box[]
  readonly hosts: Uint8Array[] = []
  /** Contract hash → what its correspondent was told and accepted. */
  readonly accepted = new Map<string, Route>()
  /** Virtual address → whose server it is; and back. */
  readonly vips = new Map<number, string>()
  readonly names = new Map<string, number>()
  /** Box and goal → contract last given. */
  readonly given = new Map<string, Uint8Array>()
  readonly open = new Map<string, { readonly from: Box; readonly to: string }>()
  #seen = 0

  constructor() {
    const { w } = this
    this.boxes = [
      w.member('n0', ROLE_BRIDGE | ROLE_NODE, '203.0.113.5:61001', ['10.0.0.2:4330']),
      w.member('n1', ROLE_NODE, '192.0.2.7:4330'),
      w.member('n2', ROLE_NODE, '192.0.2.8:4330'),
      w.terminator('t3', '198.51.100.9:4330'),
      w.terminator('t4', '198.51.100.10:4330'),
    ]
    this.#seen = w.answers.size
  }

  run(c: Command): void {
    const { w } = this
    switch (c.do) {
      case 'direct': {
        const from = this.boxes[c.from]!
        if (w.sessions.peer(from.node) === null) break
        const to = /^n\d$/.test(c.to) ? `${c.to}.ntm.example` : c.to
        const lost = c.lost ? (this.given.get(`${from.name} ${to}`) ?? NO_CONTRACT) : NO_CONTRACT
        const sources = w.store.hostsOf(from.node).map((h) => h.pair.vip4)
        const transaction = w.direct(from, to, sources, lost)
        this.open.set(transaction, { from, to })
        break
      }
      case 'accept':
        this.#reply(c.box, { kind: 'path-accept', ttlSeconds: 30, families: 2 })
        break
      case 'refuse':
        this.#reply(c.box, { kind: 'refusal', code: c.code, retryAfterMillis: 0, text: '' })
        break
      case 'advance':
        w.advance(c.ms)
        break
      case 'leave':
        w.leave(this.boxes[c.box]!)
        break
      case 'reboot': {
        const box = this.boxes[c.box]!
        box.bootId = nodeCrypto.random(8)
        w.register(box, this.#hostsOf(c.box))
        break
      }
      case 'register':
        w.register(this.boxes[c.box]!, this.#hostsOf(c.box))
        break
      case 'host':
        this.hosts.push(nodeCrypto.random(8))
        w.register(this.boxes[0]!, this.hosts)
        break
      case 'restart':
        this.#look()
        w.restart()
        // Who asked before will never hear: its own side asks again.
        this.open.clear()
        for (const [i, box] of this.boxes.entries()) w.register(box, this.#hostsOf(i))
        break
      default:
        c satisfies never
    }
    this.#look()
  }

  settle(): void {
    const { w } = this
    w.advance(1700)
    this.#look()
    expect([...this.open.keys()].filter((t) => !w.answers.has(t))).toEqual([])
    expect(w.core.provisional).toBe(0)
    const rows = w.store.servers()
    expect(new Set(rows.map((r) => r.pair.vip4)).size).toBe(rows.length)
    expect(new Set(rows.map((r) => hex(r.pair.vip6))).size).toBe(rows.length)
    // Only what somebody was told is kept, and the contract in force is one its correspondent accepted.
    expect(rows.every((r) => this.names.has(`${nodeKey(r.node)} ${r.name}`))).toBe(true)
    for (const box of this.boxes)
      for (const row of w.store.contractsOf(box.node)) expect(this.accepted.has(hex(row.hash))).toBe(true)
  }

  #reply(box: number, message: Response): void {
    const { w } = this
    const to = this.boxes[box]!
    if (!w.waitsFor(to)) return
    const asked = w.take(to)
    if (asked.message.kind === 'path-close') return
    if (message.kind === 'path-accept') this.#accept(asked)
    w.reply(asked, message)
  }

  #accept(asked: Asked): void {
    if (asked.message.kind !== 'route-direction') return
    const { route } = asked.message
    const hash = hex(nodeCrypto.hash(route.contract))
    this.accepted.set(hash, route)
  }

  /** Looks at every answer since the last time. */
  #look(): void {
    for (const [transaction, answer] of [...this.w.answers].slice(this.#seen)) {
      const asker = this.open.get(transaction)
      if (asker !== undefined && answer.kind === 'direction-response') this.#directed(asker.from, asker.to, answer)
    }
    this.#seen = this.w.answers.size
  }

  #directed(from: Box, to: string, answer: DirectionResponse): void {
    const hash = hex(answer.contractHash)
    // The order of the seeds: nobody starts before the other end has said yes to exactly this contract.
    const theirs = this.accepted.get(hash)
    expect(theirs, 'the correspondent accepted first').toBeDefined()
    if (answer.route !== null) {
      const ours = answer.route
      expect(ours.contract).toEqual(theirs!.contract)
      expect(ours.pathSecret).toEqual(theirs!.pathSecret)
      expect(new Set([ours.youAre, theirs!.youAre])).toEqual(new Set(['opener', 'acceptor']))
      const decoded = decodeContract(ours.contract)
      if (!decoded.ok) throw new RangeError(decoded.fault)
      const me = ours.youAre === 'opener' ? decoded.value.opener : decoded.value.acceptor
      expect(nodeKey(me)).toBe(nodeKey(from.node))
    }
    this.given.set(`${from.name} ${to}`, answer.contractHash)
    if (answer.target === null) return
    expect(answer.target.name).toBe(to)
    const box = this.boxes.find((b) => b.name === to)
    if (box !== undefined) {
      const { store } = this.w
      const own = [store.member(box.node)!, ...store.hostsOf(box.node)].map((x) => x.pair.vip4)
      return expect(own, 'a box or a host behind it').toContain(answer.target.vip4)
    }
    const who = `${nodeKey(from.node)} ${to}`
    const { vip4 } = answer.target
    expect(this.vips.get(vip4) ?? who, 'an address names one server').toBe(who)
    expect(this.names.get(who) ?? vip4, 'a server keeps its address').toBe(vip4)
    this.vips.set(vip4, who)
    this.names.set(who, vip4)
  }

  #hostsOf(box: number): readonly Uint8Array[] {
    return box === 0 ? this.hosts : []
  }
}
