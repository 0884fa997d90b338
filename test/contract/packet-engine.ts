import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { be16, concat } from '#ntm-lib/base/bytes.ts'
import { OpenKey, SealKey } from '#ntm-lib/crypto/seal.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, type SuiteId } from '#ntm-lib/crypto/suite.ts'
import { viewOf } from '#ntm-lib/packet/build.ts'
import { ALONE, META, OPEN_JOB, type PacketEngine, RUN, type Runs, SEAL_JOB, STATUS } from '#ntm-lib/plane/engine.ts'
import { CSUM_MISSING, HEADROOM, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { capsulatedFlags, writeCapsulated } from '#ntm-lib/wire/capsulated.ts'
import { secretOf } from '#test/support/plane-world.ts'
import { checksumsHold, packetOf, plainPackets } from '#test/support/tcp-packets.ts'

/** What every PacketEngine promises, word by word. */
export function packetEngineContract(name: string, engineOf: () => PacketEngine): void {
  const check = (title: string, run: () => void): void => test(`${name}: ${title}`, run)

  for (const suite of [CHACHA20_POLY1305, AES_128_GCM, AES_256_GCM] as SuiteId[]) {
    check(`suite ${suite}: what it seals opens with the key of the protocol's own, and the other way round`, () => {
      const secret = secretOf(3, suite)
      const engine = engineOf()
      engine.setSeal(4, suite, secret.key, nonceOf(secret.iv), 100, 1e6)
      engine.setOpen(5, suite, secret.key, nonceOf(secret.iv), 8192)
      const sealed = seal(engine, [{ bytes: packetOf(PLAIN), key: 4 }])
      expect(new OpenKey(nodeCrypto, secret, EPOCH).open(sealed.datagrams[0] as Uint8Array)).toEqual(packetOf(PLAIN))
      const theirs = new SealKey(nodeCrypto, secret, EPOCH).seal(header(), packetOf(PLAIN)) as Uint8Array
      expect(theirs, 'byte for byte').toEqual(sealed.datagrams[0])
      expect(open(engine, [theirs], 5).packets).toEqual([packetOf(PLAIN)])
    })
  }

  check('super-packets are cut: numbers count up, FIN and PSH come last, CWR first, every checksum right', () => {
    for (const ends of [FOUR, SIX]) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const whole = packetOf({
          ...ends,
          protocol,
          payload: 5300,
          sequence: 0xfffffff0,
          id: 0xfffe,
          flags: 0x99,
          options: 12,
        })
        // What stands in the transport checksum of a super-packet means nothing.
        const given = new Uint8Array(whole)
        given.set([0xba, 0xd0], (ends === FOUR ? 20 : 40) + (protocol === 'tcp' ? 16 : 6))
        const { engine, key } = keyed(engineOf())
        const opened = open(engine, seal(engine, [{ bytes: given, gso: 1200, key }]).datagrams, key, { alone: true })
        expect(opened.packets).toHaveLength(5)
        expect(opened.packets).toEqual(plainPackets(whole, 1200))
        for (const p of opened.packets) expect(checksumsHold(p)).toBe(true)
        if (protocol === 'udp') continue
        const flags = opened.packets.map((p) => p[(ends === FOUR ? 20 : 40) + 13])
        expect(flags).toEqual([0x90, 0x10, 0x10, 0x10, 0x19])
        const sequences = opened.packets.map((p) => viewOf(p).getUint32((ends === FOUR ? 20 : 40) + 4))
        expect(sequences).toEqual([0, 1, 2, 3, 4].map((n) => (0xfffffff0 + n * 1200) % 2 ** 32))
        if (ends === FOUR) expect(opened.packets.map((p) => viewOf(p).getUint16(4))).toEqual([0xfffe, 0xffff, 0, 1, 2])
      }
    }
  })

  check('TCP segments above the most are cut smaller, other packets above it refused', () => {
    const { engine, key } = keyed(engineOf())
    const { datagrams, status } = seal(engine, [
      { bytes: packetOf({ ...PLAIN, payload: 3000 }), gso: 1400, key, most: 700 },
      { bytes: packetOf({ ...PLAIN, protocol: 'udp', payload: 3000 }), gso: 1400, key, most: 700 },
      { bytes: packetOf({ ...PLAIN, payload: 661 }), key, most: 700 },
      { bytes: packetOf({ ...PLAIN, payload: 660 }), key, most: 700 },
    ])
    expect(status).toEqual([STATUS.done, STATUS.tooBig, STATUS.tooBig, STATUS.done])
    expect(datagrams.map((d) => d.length - 32)).toEqual([700, 700, 700, 700, 400, 700])
  })

  check('a missing checksum is written, TCP and UDP, both families', () => {
    for (const ends of [FOUR, SIX]) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const whole = packetOf({ ...ends, protocol, payload: 333 })
        const given = new Uint8Array(whole)
        given.set([0x12, 0x34], (ends === FOUR ? 20 : 40) + (protocol === 'tcp' ? 16 : 6))
        const { engine, key } = keyed(engineOf())
        const { datagrams } = seal(engine, [{ bytes: given, gso: CSUM_MISSING, key }])
        expect(open(engine, datagrams, key, { alone: true }).packets).toEqual([whole])
      }
    }
  })

  check('frames and halves are sealed as bytes', () => {
    const { engine, key } = keyed(engineOf())
    const bytes = Uint8Array.of(1, 2, 3)
    const frames = capsulatedFlags(0, true, 1, 0)
    const half = capsulatedFlags(0, false, 1, 2)
    const { datagrams, status } = seal(engine, [
      { bytes, key, flags: frames },
      { bytes, key, flags: half },
      { bytes, key, flags: half, gso: 100 },
    ])
    expect(status).toEqual([STATUS.done, STATUS.done, STATUS.malformed])
    expect(open(engine, datagrams, key, { alone: true }).packets).toEqual([bytes, bytes])
  })

  check('what is no packet that could be cut is refused', () => {
    const { engine, key } = keyed(engineOf())
    const good = packetOf({ ...PLAIN, payload: 3000 })
    const wrong = (at: number, ...to: number[]): Uint8Array => {
      const bytes = new Uint8Array(good)
      bytes.set(to, at)
      return bytes
    }
    const bad = [
      wrong(2, 0, 0),
      wrong(2, 0xff, 0xff),
      wrong(0, 0x44),
      wrong(0, 0x55),
      wrong(9, 50),
      wrong(32, 0x40),
      wrong(6, 0x20),
      good.slice(0, 30),
    ]
    const { status, datagrams } = seal(
      engine,
      bad.map((bytes) => ({ bytes, gso: 1000, key })),
    )
    expect(status).toEqual(bad.map(() => STATUS.malformed))
    expect(datagrams).toEqual([])
  })

  check('a key seals its packets and bytes and no more, and all segments of a packet or none', () => {
    const engine = engineOf()
    const secret = secretOf(1)
    engine.setSeal(0, secret.suiteId, secret.key, nonceOf(secret.iv), 4, 1e6)
    engine.setSeal(1, secret.suiteId, secret.key, nonceOf(secret.iv), 100, 250)
    const small = packetOf({ ...PLAIN, payload: 60 })
    const jobs = [
      { bytes: small, key: 0 },
      { bytes: packetOf({ ...PLAIN, payload: 4000 }), gso: 1000, key: 0 },
      { bytes: packetOf({ ...PLAIN, payload: 3000 }), gso: 1000, key: 0 },
      { bytes: small, key: 0 },
      { bytes: small, key: 1 },
      { bytes: small, key: 1 },
      { bytes: small, key: 1 },
      { bytes: small, key: 7 },
    ]
    const { done, usedUp, noKey } = STATUS
    expect(seal(engine, jobs).status).toEqual([done, usedUp, done, usedUp, done, done, usedUp, noKey])
    engine.clearSeal(1)
    expect(seal(engine, [{ bytes: small, key: 1 }]).status).toEqual([noKey])
  })

  check('opening: copies, forgeries, old ones and keys that are gone', () => {
    const { engine, key } = keyed(engineOf(), 64)
    const sealed = seal(
      engine,
      Array.from({ length: 200 }, (_, i) => ({ bytes: packetOf({ ...PLAIN, fill: i }), key })),
    )
    const [first, second] = sealed.datagrams as [Uint8Array, Uint8Array]
    const forged = new Uint8Array(second)
    forged[30] = (forged[30] ?? 0) ^ 1
    const { done, replay, badTag, noKey, short } = STATUS
    expect(engine.newestCounter(key, 1)).toBe(-1)
    expect(open(engine, [first, first, forged, second, first.slice(0, 31)], key, { alone: true }).status).toEqual([
      done,
      replay,
      badTag,
      done,
      short,
    ])
    expect(engine.newestCounter(key, 1)).toBe(1)
    expect(engine.newestCounter(key, 2)).toBe(-1)
    const late = [sealed.datagrams[199], sealed.datagrams[135], sealed.datagrams[136]] as Uint8Array[]
    expect(open(engine, late, key, { alone: true }).status).toEqual([done, replay, done])
    engine.clearOpen(key)
    expect(open(engine, [second], key).status).toEqual([noKey])
    expect(engine.newestCounter(key, 1)).toBe(-1)
  })

  check('a key set anew at an index begins with a window of its own', () => {
    const { engine, key } = keyed(engineOf())
    const { datagrams } = seal(engine, [{ bytes: packetOf(PLAIN), key }])
    expect(open(engine, datagrams, key).status).toEqual([STATUS.done])
    const secret = secretOf(1)
    engine.setOpen(key, secret.suiteId, secret.key, nonceOf(secret.iv), 8192)
    expect(open(engine, datagrams, key).status).toEqual([STATUS.done])
  })

  check('it stops where its output is full and goes on where it stopped', () => {
    const { engine, key } = keyed(engineOf())
    const packets = Array.from({ length: 40 }, (_, i) =>
      packetOf({ ...PLAIN, protocol: 'udp', payload: 10 + i * 11, fill: i }),
    )
    const jobs = packets.map((bytes) => ({ bytes, key }))
    const sealed = seal(engine, jobs, 2000)
    expect(sealed.calls).toBeGreaterThan(3)
    const opened = open(engine, sealed.datagrams, key, { slots: 7, alone: true })
    expect(opened.calls).toBe(6)
    expect(opened.packets).toEqual(packets)
  })

  check('runs: datagrams of one row and length are one, the last may be shorter', () => {
    const { engine, key } = keyed(engineOf())
    const { runs } = seal(engine, [
      { bytes: packetOf({ ...PLAIN, payload: 2500 }), gso: 1000, key, row: 1 },
      { bytes: packetOf({ ...PLAIN, payload: 1000 }), key, row: 1 },
      { bytes: packetOf({ ...PLAIN, payload: 1000 }), key, row: 1 },
      { bytes: packetOf({ ...PLAIN, payload: 1000 }), key, row: 2 },
      { bytes: packetOf({ ...PLAIN, payload: 1001 }), key, row: 2 },
    ])
    const [each, short] = [1000 + 72, 500 + 72]
    expect(runs).toEqual([
      [1, 0, 2 * each + short, each],
      [1, 2 * each + short, 2 * each, each],
      [2, 4 * each + short, each, each],
      [2, 5 * each + short, each + 1, each + 1],
    ])
  })
}

const EPOCH = 0x0102
const FOUR = { from: '10.1.0.5', to: '10.2.0.9' }
const SIX = { from: 'fd00:1::5', to: 'fd00:2::9' }
const PLAIN = { ...FOUR, protocol: 'tcp', payload: 60 } as const
const FLAGS = capsulatedFlags(0, false, 1, 0)

type Job = {
  readonly bytes: Uint8Array
  readonly key: number
  readonly gso?: number
  readonly row?: number
  readonly flags?: number
  readonly most?: number
}

function keyed(engine: PacketEngine, window = 8192): { engine: PacketEngine; key: number } {
  const secret = secretOf(1)
  engine.setSeal(3, secret.suiteId, secret.key, nonceOf(secret.iv), 1e6, 1e9)
  engine.setOpen(3, secret.suiteId, secret.key, nonceOf(secret.iv), window)
  return { engine, key: 3 }
}

/** The epoch's share of the nonce is the caller's. */
function nonceOf(iv: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(iv)
  const epoch = be16(EPOCH)
  for (const i of [0, 1]) nonce[4 + i] = (nonce[4 + i] ?? 0) ^ (epoch[i] ?? 0)
  return nonce
}

function header(): Uint8Array {
  const bytes = new Uint8Array(16)
  writeCapsulated(new DataView(bytes.buffer), 0, FLAGS, EPOCH, 0xa1b2c3d4e5f6, 0)
  return bytes
}

function seal(engine: PacketEngine, jobs: readonly Job[], outBytes = 1 << 20) {
  const arena = concat(...jobs.flatMap(({ bytes }) => [new Uint8Array(HEADROOM), bytes, new Uint8Array(HEADROOM)]))
  const words = new Int32Array(jobs.length * SEAL_JOB.words)
  let at = HEADROOM
  for (const [i, job] of jobs.entries()) {
    words.set(
      [job.key, job.row ?? 0, at, job.bytes.length, job.gso ?? 0, job.flags ?? FLAGS, job.most ?? 1500, 0],
      i * SEAL_JOB.words,
    )
    at += job.bytes.length + 2 * HEADROOM
  }
  const out: Runs = { arena: new Uint8Array(outBytes), runs: new Int32Array(64 * RUN.words), count: 0, datagrams: 0 }
  const status = new Int8Array(jobs.length)
  const [datagrams, runs]: [Uint8Array[], number[][]] = [[], []]
  let calls = 0
  for (let first = 0; first < jobs.length; calls++) {
    const done = engine.seal(words, first, jobs.length, concat(header(), header(), header()), arena, out, status)
    expect(done).toBeGreaterThan(0)
    first += done
    for (let r = 0; r < out.count * RUN.words; r += RUN.words) {
      const [row, from, len, each] = [...out.runs.subarray(r, r + RUN.words)] as [number, number, number, number]
      runs.push([row, from, len, each])
      for (let p = from; p < from + len; p += each) datagrams.push(out.arena.slice(p, Math.min(p + each, from + len)))
    }
  }
  return { datagrams, runs, status: [...status], calls }
}

function open(
  engine: PacketEngine,
  datagrams: readonly Uint8Array[],
  key: number,
  { slots = 256, alone = false }: { readonly slots?: number; readonly alone?: boolean } = {},
) {
  const arena = concat(...datagrams)
  const words = new Int32Array(datagrams.length * OPEN_JOB.words)
  let at = 0
  for (const [i, d] of datagrams.entries()) {
    words.set([key, at, d.length, (((d[1] ?? 0) >> 4) & 3) | (alone ? ALONE : 0)], i * OPEN_JOB.words)
    at += d.length
  }
  const out = superBatch(slots)
  const [status, meta] = [new Int8Array(datagrams.length), new Int32Array(slots * META.words)]
  const packets: Uint8Array[] = []
  let calls = 0
  for (let first = 0; first < datagrams.length; calls++) {
    const done = engine.open(words, first, datagrams.length, arena, out, meta, status)
    expect(done).toBeGreaterThan(0)
    let told = 0
    for (let s = 0; s < out.count; s++) {
      const start = s * out.slotBytes + HEADROOM
      packets.push(...plainPackets(out.arena.slice(start, start + (out.lens[s] ?? 0)), out.gso[s] ?? 0))
      told += meta[s * META.words + META.jobs] ?? 0
    }
    expect(told, 'each opened job is told of').toBe(
      [...status.subarray(first, first + done)].filter((n) => n === 0).length,
    )
    first += done
  }
  return { packets, status: [...status], calls }
}
