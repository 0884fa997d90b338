import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { Whereabouts } from '#ntm-lib/wire/messages/direction.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { type Box, CoordinatorWorld } from '#test/support/coordinator-world.ts'

type Command =
  | { readonly do: 'direct' | 'moved'; readonly from: number; readonly to: number; readonly lost: boolean }
  | { readonly do: 'accept' | 'close' | 'reboot'; readonly box: number }
  | { readonly do: 'refuse'; readonly box: number; readonly code: RefusalCode }
  | { readonly do: 'move'; readonly box: number; readonly place: number }
  | { readonly do: 'relay-leaves' | 'relay-reboots'; readonly relay: number }
  | { readonly do: 'advance'; readonly ms: number }

const [anyEnd, anyBox, anyRelay] = [fc.nat(3), fc.nat(6), fc.nat(2)]
const made = <K extends Command['do'], T>(what: K, fields: { [P in keyof T]: fc.Arbitrary<T[P]> }) =>
  fc.record({ do: fc.constant(what), ...fields })
const command = fc.oneof(
  { weight: 12, arbitrary: made('direct', { from: anyEnd, to: anyEnd, lost: fc.boolean() }) },
  { weight: 20, arbitrary: made('accept', { box: anyBox }) },
  {
    weight: 4,
    arbitrary: made('refuse', {
      box: anyBox,
      code: fc.constantFrom<RefusalCode>('relay-full', 'path-id-in-use', 'no-route', 'forbidden'),
    }),
  },
  { weight: 5, arbitrary: made('moved', { from: anyEnd, to: anyEnd, lost: fc.constant(false) }) },
  { weight: 4, arbitrary: made('move', { box: anyEnd, place: fc.nat(5) }) },
  { weight: 5, arbitrary: made('advance', { ms: fc.constantFrom(1, 30, 400, 900, 1700, 16_000) }) },
  { weight: 1, arbitrary: made('close', { box: anyEnd }) },
  { weight: 1, arbitrary: made('reboot', { box: anyEnd }) },
  { weight: 2, arbitrary: made('relay-leaves', { relay: anyRelay }) },
  { weight: 1, arbitrary: made('relay-reboots', { relay: anyRelay }) },
) as fc.Arbitrary<Command>

test('whatever happens: both ends know the same relay and it knows the path; no relay keeps what is over; all drains', () => {
  const seen = { paths: 0, moves: 0 }
  fc.assert(
    fc.property(fc.array(command, { minLength: 5, maxLength: 60 }), (commands) => {
      const model = new Model()
      for (const c of commands) model.run(c)
      model.settle()
      seen.paths += model.paths
      seen.moves += model.moves
    }),
    { numRuns: Number(process.env['NTM_RUNS'] ?? 40) },
  )
  // A model in which nothing happens proves nothing.
  expect(seen.paths).toBeGreaterThan(5)
  expect(seen.moves).toBeGreaterThan(5)
}, 60_000)

const PLACES = [
  ['192.0.2.9:4330'],
  ['203.0.113.5:61001', '10.0.0.2:4330'],
  ['203.0.113.6:61002', '10.0.0.2:4330'],
  ['203.0.113.6:61003', '10.0.0.3:4330'],
  ['[2001:db8::9]:4330'],
  ['203.0.113.8:61003', '10.0.0.3:4330', '[2001:db8::8]:4330'],
] as const

/** What a box may answer now that the coordinator waits for. */
function kindFor(w: CoordinatorWorld, box: Box) {
  const kinds = ['relay-direction', 'route-direction', 'path-extend'] as const
  return kinds.find((k) => w.asks(box).includes(k)) ?? null
}

/** Ends and relays that remember what they were told, and are believed to have heard all of it. */
class Model {
  readonly w = new CoordinatorWorld()
  readonly ends: Box[]
  readonly relays: Box[]
  /** Relay → path → what it was told, accepted or not. */
  readonly tables = new Map<string, Map<number, RelayDirection>>()
  /** `end hash` → the leg it was told last; null for none. */
  readonly legs = new Map<string, Whereabouts['relay']>()
  readonly asked = new Map<string, Box>()
  paths = 0
  moves = 0
  #seen = 0
  #place = 0

  constructor() {
    const { w } = this
    const both = (n: number) => [`198.51.100.2${n}:4330`, `[2001:db8::2${n}]:4330`]
    this.ends = [0, 1, 2, 3].map((n) => w.member(`n${n}`, ROLE_NODE, PLACES[n + 1]![0], PLACES[n + 1]!.slice(-1)))
    this.relays = [0, 1, 2].map((n) => w.relay(`r${n}`, both(n)[0]!, both(n)))
    for (const r of this.relays) this.tables.set(nodeKey(r.node), new Map())
    const { request } = w.sessions
    w.sessions.request = (node, tag, message, timeout, now) => {
      const sent = request(node, tag, message, timeout, now)
      if (sent) this.#hears(node, message)
      return sent
    }
    this.#seen = w.answers.size
  }

  run(c: Command): void {
    const { w } = this
    switch (c.do) {
      case 'direct':
      case 'moved': {
        const [from, to] = [this.ends[c.from]!, this.ends[c.to]!]
        const row = w.store.contract(from.node, to.node)
        const lost = c.lost && row !== null ? row.hash : new Uint8Array(32)
        const sought = { by: 'node', node: to.node } as const
        const why = c.do === 'moved' ? 'moved' : 'dns'
        this.asked.set(w.send(from, { kind: 'direction-request', sought, why, sources: [], lost }), from)
        break
      }
      case 'accept':
        this.#reply(c.box, (box, asked) => this.#yes(box, asked))
        break
      case 'refuse':
        this.#reply(c.box, (box, asked) => {
          if (asked.kind === 'relay-direction') this.tables.get(nodeKey(box.node))?.delete(asked.pathIds[0])
          return { kind: 'refusal', code: c.code, retryAfterMillis: 0, text: '' }
        })
        break
      case 'move': {
        const [at, ...own] = PLACES[c.place]!
        // No two boxes are behind one mapped port.
        const seen = own.length === 0 ? at : at.replace(/\d+$/, String(20_000 + ++this.#place))
        w.move(this.ends[c.box]!, seen, own.length === 0 ? [at] : own)
        break
      }
      case 'advance':
        w.advance(c.ms)
        break
      case 'close': {
        const box = this.ends[c.box]!
        const [row] = w.store.contractsOf(box.node)
        if (row !== undefined) w.ask(box, { kind: 'path-close', contractHash: row.hash, reason: 'unused' })
        break
      }
      case 'reboot': {
        const box = this.ends[c.box]!
        box.bootId = nodeCrypto.random(8)
        w.register(box)
        break
      }
      case 'relay-leaves':
      case 'relay-reboots': {
        const relay = this.relays[c.relay]!
        this.tables.get(nodeKey(relay.node))?.clear()
        if (c.do === 'relay-leaves') w.leave(relay)
        else {
          relay.bootId = nodeCrypto.random(8)
          w.register(relay)
        }
        break
      }
      default:
        c satisfies never
    }
    this.#look()
  }

  settle(): void {
    const { w } = this
    // Relays answer what they are asked; ends that have not said yes by now never will.
    for (let i = 0; i < 60; i++) {
      for (const relay of this.relays)
        while (kindFor(w, relay) !== null && w.sessions.peer(relay.node) !== null) this.#relay(relay)
      w.advance(i < 40 ? 50 : 1000)
      this.#look()
    }
    expect(w.core.provisional).toBe(0)
    expect([...this.asked.keys()].filter((t) => !w.answers.has(t))).toEqual([])
    const live = new Map(this.ends.flatMap((e) => w.store.contractsOf(e.node)).map((row) => [hex(row.hash), row]))
    const ids = new Set<number>()
    for (const [hash, row] of live) {
      const decoded = decodeContract(row.bytes)
      if (!decoded.ok) throw new RangeError(decoded.fault)
      const { opener, acceptor, pathIds } = decoded.value
      for (const id of pathIds) ids.add(id)
      const [one, two] = [opener, acceptor].map((end) => this.legs.get(`${nodeKey(end)} ${hash}`) ?? null)
      expect(one === null, 'both ends have a leg, or neither').toBe(two === null)
      if (one === null || two === null || one === undefined || two === undefined) continue
      this.paths++
      expect(one.relay).toEqual(two.relay)
      const entry = this.tables.get(nodeKey(one.relay))?.get(pathIds[0])
      expect(entry, 'the relay knows the path').toMatchObject({ openerKey: one.key, acceptorKey: two.key })
    }
    for (const table of this.tables.values())
      for (const id of table.keys()) expect(ids.has(id), 'a relay keeps only what stands').toBe(true)
  }

  #hears(node: NodeId, message: Request): void {
    const key = nodeKey(node)
    const table = this.tables.get(key)
    if (message.kind === 'relay-direction') table?.set(message.pathIds[0], message)
    else if (message.kind === 'relay-release') table?.delete(message.pathId)
    else if (message.kind === 'route-direction')
      this.legs.set(`${key} ${hex(nodeCrypto.hash(message.route.contract))}`, message.route.relay)
    else if (message.kind === 'peer-moved') {
      this.moves++
      this.legs.set(`${key} ${hex(message.contractHash)}`, message.whereabouts.relay)
    }
  }

  #reply(index: number, answer: (box: Box, asked: Request) => Response): void {
    const { w } = this
    const waiting = [...this.ends, ...this.relays].filter(
      (b) => w.sessions.peer(b.node) !== null && kindFor(w, b) !== null,
    )
    const box = waiting[index % waiting.length]
    const kind = box === undefined ? null : kindFor(w, box)
    if (box === undefined || kind === null) return
    const asked = w.takeKind(box, kind)
    w.reply(asked, answer(box, asked.message))
  }

  #relay(relay: Box): void {
    const asked = this.w.takeKind(relay, 'relay-direction')
    this.w.reply(asked, this.#yes(relay, asked.message))
  }

  #yes(box: Box, asked: Request): Response {
    if (asked.kind !== 'relay-direction') return { kind: 'path-accept', ttlSeconds: 0, families: 0 }
    // A relay that started anew meanwhile has it from a later copy.
    this.tables.get(nodeKey(box.node))?.set(asked.pathIds[0], asked)
    return { kind: 'relay-accept', endpoints: box.own, loadPercent: 1 }
  }

  #look(): void {
    for (const [transaction, answer] of [...this.w.answers].slice(this.#seen)) {
      const from = this.asked.get(transaction)
      if (from === undefined || answer.kind !== 'direction-response') continue
      const told = answer.route ?? answer.moved
      if (told !== null) this.legs.set(`${nodeKey(from.node)} ${hex(answer.contractHash)}`, told.relay)
    }
    this.#seen = this.w.answers.size
  }
}
