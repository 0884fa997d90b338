import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { ROLE_BRIDGE } from '#ntm-lib/wire/certificate.ts'
import type { DirectionResponse } from '#ntm-lib/wire/messages/direction.ts'
import { CoordinatorWorld } from '#test/support/coordinator-world.ts'
import { CoordinatorCore } from './core.ts'

const dir = mkdtempSync(join(tmpdir(), 'ntm-coordinator-'))
afterAll(() => rmSync(dir, { recursive: true }))

test('a new process on the same file knows every member, name, address and contract', () => {
  const file = join(dir, 'state.db')
  const store = new SqliteStore(file)
  const w = new CoordinatorWorld(store)
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const bridge = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const host = new Uint8Array(8).fill(7)
  const [grant] = w.register(bridge, [host]).hosts
  const answers = ['a.example', 'b.example'].map((name) => {
    const asked = w.direct(bridge, name, [grant!.vip4])
    w.accept(tt)
    return w.answers.get(asked) as DirectionResponse
  })
  const left = [store.members(), store.servers(), store.contractsOf(tt.node), store.token(tt.token.id)]
  // No close: as a kill leaves it. A second connection sees what was committed.
  const again = new SqliteStore(file)
  expect([again.members(), again.servers(), again.contractsOf(tt.node), again.token(tt.token.id)]).toEqual(left)
  const { root, issuer, coordinator } = w.network
  const keys = {
    node: coordinator.nodeId,
    fingerprint: root.fingerprint,
    rootKey: root.public,
    chain: coordinator.chain,
    issuer,
  }
  const log = () => {}
  w.core = new CoordinatorCore({
    sessions: w.sessions,
    store: again,
    suite: nodeCrypto,
    calendar: { today: () => w.wall },
    random: { bytes: (n) => nodeCrypto.random(n) },
    log: { debug: log, info: log, warn: log, error: log },
    counters: w.counters,
    settings: w.settings,
    keys,
  })
  expect(w.core.admits(bridge.node, bridge.staticKey)).toBe('yes')
  w.register(tt)
  expect(w.register(bridge, [host]).hosts).toEqual([grant])
  const asked = w.direct(bridge, 'b.example', [grant!.vip4])
  expect(w.accept(tt).message).toMatchObject({ kind: 'path-extend', contractHash: answers[1]?.contractHash })
  expect(w.answers.get(asked)).toMatchObject({
    target: { vip4: answers[1]?.target?.vip4, vip6: answers[1]?.target?.vip6 },
  })
  const fresh = w.direct(bridge, 'c.example', [grant!.vip4])
  w.accept(tt)
  const vips = [...answers, w.answers.get(fresh) as DirectionResponse].map((a) => a.target?.vip4)
  expect(new Set(vips).size).toBe(3)
  again.close()
  store.close()
})

test('a disk that fails in the middle of an answer: nothing is promised, and it works when the disk does', () => {
  const store = new SqliteStore(join(dir, 'full.db'))
  const w = new CoordinatorWorld(store)
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const bridge = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const asked = w.direct(bridge, 'a.example')
  const put = store.putServer.bind(store)
  store.putServer = () => {
    throw new RangeError('disk full')
  }
  expect(() => w.accept(tt)).toThrow('disk full')
  store.putServer = put
  expect(store.contractsOf(bridge.node)).toEqual([])
  w.advance(1700)
  expect(w.answers.get(asked)).toMatchObject({ code: 'peer-silent' })
  expect(w.core.provisional).toBe(0)
  const again = w.direct(bridge, 'a.example')
  w.accept(tt)
  expect(w.answers.get(again)).toMatchObject({ kind: 'direction-response' })
  expect(store.servers().length).toBe(1)
  store.close()
})
