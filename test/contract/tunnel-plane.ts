import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { OpenKey, SealKey } from '#ntm-lib/crypto/seal.ts'
import { CELLS, type MirroredEpoch, type MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import { ALONE, OPEN_JOB, type PacketEngine } from '#ntm-lib/plane/engine.ts'
import { CSUM_MISSING } from '#ntm-lib/ports/packet-port.ts'
import { capsulatedFlags, counter, epoch, frag, lane, pathId, writeCapsulated } from '#ntm-lib/wire/capsulated.ts'
import { icmpError, innerPacket } from '#test/support/inner.ts'
import {
  type Datagram,
  type EndOptions,
  LEFT_AT,
  PlaneEnd,
  pathPair,
  prefixes,
  RIGHT_AT,
  ROW,
} from '#test/support/plane-world.ts'
import { checksumsHold, type PacketOf, packetOf, plainPackets } from '#test/support/tcp-packets.ts'

/** What a tunnel plane promises over any engine. */
export function tunnelPlaneContract(name: string, engineOf: () => PacketEngine): void {
  const end = (at = LEFT_AT, options: EndOptions = {}): PlaneEnd => new PlaneEnd(engineOf(), at, options)
  const joined = (
    changes: Partial<MirroredPath> = {},
    options: EndOptions = {},
  ): { left: PlaneEnd; right: PlaneEnd } => {
    const [left, right, paths] = [end(LEFT_AT, options), end(RIGHT_AT, options), pathPair(changes)]
    left.path(paths.left)
    right.path(paths.right)
    return { left, right }
  }
  const check = (title: string, run: () => void): void => test(`${name}: ${title}`, run)

  check(
    'what is put comes out: both families, plain, super-packets and halves, over loss, reordering and copies',
    () => {
      fc.assert(
        fc.property(traffic, fc.array(fc.nat(), { maxLength: 60 }), ({ packets, whole, inner }, shuffle) => {
          const { left, right } = joined({ wholeBytes: whole, innerBytes: inner })
          const queued = packets.filter((p) => fits(p, whole, inner))
          const verdicts = left.putAll(queued)
          expect(verdicts).toEqual(queued.map(() => 'queued'))
          const way = left.leaving()
          for (const { bytes } of way) expect(bytes.length).toBeLessThanOrEqual(whole + 32)
          const { arriving, lost } = disturb(way, shuffle)
          right.take(arriving)
          const sent = queued.flatMap((p) => asSent(p, whole)).map(text)
          const got = right.plain().map(text)
          const left1 = [...sent]
          for (const packet of got) {
            const i = left1.indexOf(packet)
            expect(i, 'nothing comes out that was not put, and nothing twice').toBeGreaterThanOrEqual(0)
            left1.splice(i, 1)
          }
          if (shuffle.length === 0) expect(byFlow(got), 'in order').toEqual(byFlow(sent))
          expect(left1.length).toBeLessThanOrEqual(lost)
          expect(right.counters.get('ntm.drop.bad-tag')).toBe(0)
        }),
        { numRuns: 30 },
      )
    },
  )

  check('every packet that comes out has right checksums', () => {
    const { left, right } = joined()
    const bulk = packetOf({
      from: '10.1.0.5',
      to: '10.2.0.9',
      protocol: 'tcp',
      payload: 30_000,
      flags: 0x19,
      options: 12,
    })
    const wrong = new Uint8Array(bulk)
    wrong.set([0xde, 0xad], 36)
    const datagram = packetOf({ from: 'fd00:1::5', to: 'fd00:2::9', protocol: 'udp', payload: 700 })
    const missing = new Uint8Array(datagram)
    missing.set([0, 0], 46)
    expect(
      left.putAll([
        { bytes: wrong, gso: 1300 },
        { bytes: missing, gso: CSUM_MISSING },
      ]),
    ).toEqual(['queued', 'queued'])
    right.take(left.leaving())
    const got = right.plain()
    expect(got).toHaveLength(25)
    for (const packet of got) expect(checksumsHold(packet)).toBe(true)
    expect(got.at(-1)).toEqual(datagram)
  })

  check('headers carry epoch, path, direction and lane, and each counter once', () => {
    const { left } = joined({}, { lane: 2 })
    left.put(packetOf({ ...PLAIN, payload: 5000 }), 1000)
    const headers = left.sent.map(({ bytes }) => new DataView(bytes.buffer))
    expect(headers.map((v) => counter(v, 0))).toEqual([0, 1, 2, 3, 4])
    expect(headers.map((v) => [lane(v, 0), epoch(v, 0), pathId(v, 0), v.getUint8(1) >> 7])).toEqual(
      headers.map(() => [2, 1, 0xa1b2c3d4e5f6, 0]),
    )
    expect(left.sent[0]?.port).toBe(4330)
  })

  check(
    'sizes: up to T whole, up to M in halves, then too big; what cannot be halved unseen is completed first',
    () => {
      const { left, right } = joined({ wholeBytes: 700, innerBytes: 1280 })
      const [whole, half, big] = [700, 1280, 1281].map((n) => packetOf({ ...PLAIN, protocol: 'udp', payload: n - 28 }))
      expect(left.put(whole as Uint8Array)).toBe('queued')
      expect(left.put(half as Uint8Array)).toBe('queued')
      expect(left.put(big as Uint8Array)).toBe('too-big')
      const missing = new Uint8Array(half as Uint8Array)
      missing.set([0, 0], 26)
      expect(left.put(missing, CSUM_MISSING)).toBe('queued')
      expect(left.put(packetOf({ ...PLAIN, protocol: 'udp', payload: 4000 }), 1000)).toBe('cut-first')
      expect(left.put(packetOf({ ...PLAIN, payload: 4000 }), 1200)).toBe('queued')
      expect(left.sent.map(({ bytes }) => frag(new DataView(bytes.buffer), 0)).slice(0, 5)).toEqual([0, 1, 2, 1, 2])
      for (const { bytes } of left.sent) expect(bytes.length).toBeLessThanOrEqual(700 + 32)
      right.take(left.leaving())
      const got = right.plain()
      expect(got.slice(0, 3)).toEqual([whole, half, half])
      expect(concat(...got.slice(3).map((p) => p.subarray(40)))).toEqual(
        packetOf({ ...PLAIN, payload: 4000 }).subarray(40),
      )
      expect(left.counters.get('ntm.too-big')).toBe(1)
      expect(left.counters.get('ntm.halved')).toBe(2)
      expect([left.plane.wholeMtu(ROW), left.plane.innerMtu(ROW), left.plane.innerMtu(9)]).toEqual([700, 1280, 1280])
    },
  )

  check('the clockwork: what was sent and received, in packets and bytes of inner packets', () => {
    const { left, right } = joined({ wholeBytes: 1000, innerBytes: 1400 })
    left.now = instant(2000)
    left.put(packetOf({ ...PLAIN, payload: 2500 }), 900)
    left.put(packetOf({ ...PLAIN, payload: 1300 }))
    expect([left.cell('packetsOut'), left.cell('bytesOut')]).toEqual([4, 2500 + 3 * 40 + 1340])
    expect([left.cell('lastSent'), left.cell('lastInner'), left.cell('unansweredSince')]).toEqual([2000, 2000, 2000])
    right.now = instant(2010)
    right.take(left.leaving())
    expect([right.cell('packetsIn'), right.cell('bytesIn')]).toEqual([4, 2500 + 3 * 40 + 1340])
    expect([right.cell('lastInner'), right.cell('owedSince')]).toEqual([2010, 2010])
    left.now = instant(2011)
    left.put(packetOf(PLAIN))
    expect([left.cell('lastSent'), left.cell('unansweredSince')], 'since the first of them').toEqual([2011, 2000])
    right.now = instant(2015)
    right.take(left.leaving())
    expect([right.cell('lastInner'), right.cell('owedSince')]).toEqual([2015, 2010])
    right.now = instant(2020)
    right.put(BACK)
    expect([right.cell('owedSince'), right.cell('lastSent')]).toEqual([Number.NaN, 2020])
    left.take(right.leaving())
    expect(left.cell('unansweredSince')).toBeNaN()
  })

  check(
    'an inner packet leaves only from an allowed source to an allowed destination, super-packets and halves too',
    () => {
      const { left } = joined({ wholeBytes: 700, innerBytes: 1400 })
      const from = (source: string, to = '10.2.0.9'): Uint8Array =>
        packetOf({ ...PLAIN, from: source, to, payload: 1200 })
      expect(left.put(from('10.9.0.5'))).toBe('source-not-allowed')
      expect(left.put(from('10.1.0.5', '10.2.0.8'))).toBe('destination-not-allowed')
      expect(left.put(from('10.9.0.5'), 500)).toBe('source-not-allowed')
      expect(left.put(packetOf({ ...PLAIN, from: 'fd00:9::5', to: 'fd00:2::9' }))).toBe('source-not-allowed')
      expect(left.put(new Uint8Array(19))).toBe('inner-malformed')
      const lying = from('10.1.0.5')
      lying[9] = 50
      expect(left.put(lying, 500), 'a super-packet is TCP or UDP').toBe('inner-malformed')
      expect(left.sent).toEqual([])
      expect(left.counters.get('ntm.unsent.source-not-allowed')).toBe(3)
    },
  )

  check('an inner packet comes in only from an allowed source, joined and in halves too', () => {
    const { left, right } = joined({ wholeBytes: 700, innerBytes: 1400 })
    // The sender's own filter is the liar here: it lets everything out.
    left.path({ ...pathPair({ wholeBytes: 700, innerBytes: 1400 }).left, ownAllowed: prefixes('0.0.0.0/0', '::/0') })
    for (const payload of [100, 1200]) left.put(packetOf({ ...PLAIN, from: '10.9.9.9', payload }))
    left.put(packetOf({ ...PLAIN, from: '10.9.9.9', payload: 6000 }), 600)
    left.put(icmpError('10.1.0.5', '10.2.0.9', 3, innerPacket('10.2.0.9', '10.1.0.5', 60)))
    left.put(packetOf({ ...PLAIN, payload: 3 }))
    right.take(left.leaving())
    expect(right.plain()).toEqual([
      icmpError('10.1.0.5', '10.2.0.9', 3, innerPacket('10.2.0.9', '10.1.0.5', 60)),
      packetOf({ ...PLAIN, payload: 3 }),
    ])
    expect(right.counters.get('ntm.drop.source-not-allowed')).toBe(1 + 1 + 10)
    expect(right.cell('packetsIn'), 'only what was let in counts').toBe(2)
  })

  check('an ICMP error about somebody else is not let in', () => {
    const { left, right } = joined()
    left.path({ ...pathPair().left, ownAllowed: prefixes('0.0.0.0/0'), peerAllowed: prefixes('0.0.0.0/0') })
    left.put(icmpError('10.1.0.5', '10.2.0.9', 3, innerPacket('10.2.0.9', '10.77.0.5', 60)))
    right.take(left.leaving())
    expect(right.inner).toEqual([])
    expect(right.counters.get('ntm.drop.embedded-not-allowed')).toBe(1)
  })

  check("what comes before the path's first key waits a moment for it, a few packets of it, in order", () => {
    const { left, right } = joined()
    const paths = pathPair()
    const late = end(RIGHT_AT)
    late.path({ ...paths.right, epochs: [], seals: null })
    for (let payload = 1; payload <= 10; payload++) left.put(packetOf({ ...PLAIN, payload }))
    const sent = left.leaving()
    expect(sent).toHaveLength(10)
    for (const one of sent) {
      late.take([one])
      right.take([one])
    }
    late.plane.takeKept(late.now)
    expect(late.inner).toEqual([])
    expect(late.counters.get('ntm.drop.old-epoch')).toBe(2)
    late.path(paths.right)
    late.plane.takeKept(late.now)
    expect(late.plain()).toEqual(right.plain().slice(0, 8))
    late.plane.takeKept(late.now)
    expect(late.inner).toEqual([])
    // Too long: nobody waits for them any more.
    const slow = end(RIGHT_AT)
    slow.path({ ...paths.right, epochs: [], seals: null })
    slow.take(sent.slice(0, 1))
    slow.now = instant(slow.now + 300)
    slow.path(paths.right)
    slow.plane.takeKept(slow.now)
    expect(slow.inner).toEqual([])
  })

  check(
    'datagrams: copies, changed bits, other directions, unknown epochs and cut ones are dropped and counted',
    () => {
      const { left, right } = joined()
      left.put(packetOf(PLAIN))
      const [good] = left.leaving() as [Datagram]
      const changed = (at: number, to: number): Datagram => {
        const bytes = new Uint8Array(good.bytes)
        bytes[at] = to
        return { ...good, bytes }
      }
      right.take([changed(20, 0xff)])
      right.take([changed(15, 9)])
      right.take([changed(1, 0x90)])
      right.take([changed(3, 7)])
      right.take([changed(1, 0x13), { ...good, bytes: good.bytes.slice(0, 31) }])
      expect(right.inner).toEqual([])
      right.take([good, good])
      right.take([good])
      expect(right.inner).toHaveLength(1)
      expect([...right.counters.values].sort()).toEqual([
        ['ntm.drop.bad-tag', 2],
        ['ntm.drop.malformed', 2],
        ['ntm.drop.old-epoch', 1],
        ['ntm.drop.replay', 2],
        ['ntm.drop.wrong-direction', 1],
      ])
    },
  )

  check('of several workers one opens a path: a replayed copy is opened by no other, whoever brings it', () => {
    const ids = [0xa1b2c3d4e5f6, 0xa1b2c3d4e5f7]
    const left = end(LEFT_AT)
    const workers = [0, 1].map((index) => end(RIGHT_AT, { share: { index, of: 2 }, lane: index + 1 }))
    const [even, odd] = workers as [PlaneEnd, PlaneEnd]
    const paths = ids.map((id, i) => pathPair({ row: ROW + i, ids: [id], id }, [{ epoch: 1, serial: 1 + i }]))
    for (const { left: ours, right: theirs } of paths) {
      left.path(ours)
      for (const worker of workers) worker.path(theirs)
    }
    const sent = (row: number): Datagram => {
      left.put(packetOf(PLAIN), 0, row)
      return left.leaving()[0] as Datagram
    }
    const [first, own] = [sent(ROW), sent(ROW + 1)]
    even.take([first])
    expect(even.plain()).toHaveLength(1)
    // From another address; and in one run behind a datagram that is the other worker's, as the kernel joins them.
    odd.take([{ ...first, from: RIGHT_AT }])
    odd.take([own, first, { ...first, bytes: new Uint8Array(first.bytes) }])
    expect(odd.plain()).toHaveLength(1)
    expect(odd.counters.get('ntm.drop.other-worker')).toBe(3)
    expect(odd.events.every((e) => e.event === 'heard' && e.row === ROW + 1)).toBe(true)
    even.take([first])
    expect(even.counters.get('ntm.drop.replay')).toBe(1)
    // Of no known path, but not this worker's either: told by the one whose it would be.
    const stranger = new Uint8Array(first.bytes)
    stranger[4] = 0
    for (const worker of workers) worker.take([{ ...first, bytes: stranger }])
    expect(workers.map((w) => w.events.filter((e) => e.event === 'datagram').length)).toEqual([1, 0])
  })

  check('what is no Capsulated Packet of a known path goes to the negotiation, whole', () => {
    const { left, right } = joined()
    left.put(packetOf(PLAIN))
    const [good] = left.leaving() as [Datagram]
    const stranger = new Uint8Array(good.bytes)
    stranger[9] = 1
    const hello = Uint8Array.from({ length: 40 }, (_, i) => (i === 0 ? 0x11 : i))
    right.take([{ ...good, bytes: stranger }, { bytes: hello, from: RIGHT_AT }, good])
    expect(right.events.filter((e) => e.event === 'datagram')).toEqual([
      { event: 'datagram', from: LEFT_AT, bytes: stranger },
      { event: 'datagram', from: RIGHT_AT, bytes: hello },
    ])
    expect(right.inner).toHaveLength(1)
  })

  check(
    'the negotiation hears the first packet of a key, then nothing of a quiet path, then a moved peer once a turn',
    () => {
      const { left, right } = joined()
      const burst = (n: number): Datagram[] => {
        for (let i = 0; i < n; i++) left.put(packetOf({ ...PLAIN, payload: 100, sequence: i * 100 }))
        return left.leaving()
      }
      const size = 32 + 140
      const said = { event: 'heard', row: ROW, epoch: 1, serial: 1, frames: null }
      right.take(burst(20))
      expect(right.events.splice(0)).toEqual([{ ...said, from: LEFT_AT, bytes: size, newest: false }])
      right.take(burst(20))
      expect(right.events.splice(0)).toEqual([])
      right.take(burst(20).map(({ bytes }) => ({ bytes, from: RIGHT_AT })))
      expect(right.events.splice(0)).toEqual([{ ...said, from: RIGHT_AT, bytes: 20 * size, newest: true }])
      right.path({ ...pathPair({ tell: true }).right })
      right.take(burst(3))
      expect(right.events.splice(0)).toEqual([{ ...said, from: LEFT_AT, bytes: 3 * size, newest: true }])
      right.path({ ...pathPair({ to: null }).right })
      right.take(burst(1))
      expect(right.events.splice(0)).toEqual([{ ...said, from: LEFT_AT, bytes: size, newest: true }])
      expect(right.plain()).toHaveLength(64)
    },
  )

  check('a snapshot that is applied again keeps counters and windows: no nonce is used twice', () => {
    const { left, right } = joined()
    left.put(packetOf(PLAIN))
    const before = left.leaving()
    right.take(before)
    left.path(pathPair().left)
    right.path(pathPair().right)
    left.put(packetOf(PLAIN))
    const after = left.leaving()
    const counterOf = ([d]: Datagram[]): number => counter(new DataView((d as Datagram).bytes.buffer), 0)
    expect([counterOf(before), counterOf(after)]).toEqual([0, 1])
    right.take([...before, ...after])
    expect(right.inner).toHaveLength(2)
    expect(right.counters.get('ntm.drop.replay')).toBe(1)
  })

  check('keys that were erased are never taken up again', () => {
    const { left } = joined()
    left.put(packetOf(PLAIN))
    left.path({ ...pathPair().left, epochs: [], seals: null })
    expect(left.put(packetOf(PLAIN))).toBe('not-open')
    expect(() => left.path(pathPair().left)).toThrow('counters anew')
    left.plane.apply({ mirror: 'gone', row: ROW }, left.now)
    expect(() => left.path(pathPair().left)).toThrow('counters anew')
  })

  check('epochs pass: the old one still opens, only the named one seals', () => {
    const { left, right } = joined()
    left.put(packetOf({ ...PLAIN, payload: 1 }))
    const late = left.leaving()
    const next = pathPair({}, [
      { epoch: 1, serial: 1 },
      { epoch: 2, serial: 2 },
    ])
    right.path({ ...next.right, seals: { epoch: 1, until: instant(1e9) } })
    left.path(next.left)
    left.put(packetOf({ ...PLAIN, payload: 2 }))
    right.take([...late, ...left.leaving()])
    expect(right.plain()).toHaveLength(2)
    expect(right.events.map((e) => (e.event === 'heard' ? e.serial : e.event))).toEqual([1, 2])
    right.path(pathPair({}, [{ epoch: 2, serial: 2 }]).right)
    right.take(late)
    expect(right.counters.get('ntm.drop.old-epoch')).toBe(1)
    left.now = instant(1e9)
    expect(left.put(packetOf(PLAIN)), 'too old to seal').toBe('not-open')
  })

  check('a row that is used again knows nothing of its last path', () => {
    const { left, right } = joined()
    left.put(packetOf(PLAIN))
    const late = left.leaving()
    right.take(late)
    right.events.length = 0
    right.inner.length = 0
    for (const e of [left, right]) e.plane.apply({ mirror: 'gone', row: ROW }, e.now)
    expect(left.put(packetOf(PLAIN))).toBe('not-open')
    expect([
      left.plane.rows.size,
      left.plane.rows.keys.size,
      left.plane.rows.byId.size,
      left.plane.rows.sets.size,
    ]).toEqual([0, 0, 0, 0])
    const other = pathPair({ ids: [77], id: 77, ...OTHER_HOSTS }, [{ epoch: 1, serial: 9 }])
    left.path({ ...other.left, ownAllowed: OTHER_HOSTS.ownAllowed, peerAllowed: OTHER_HOSTS.peerAllowed })
    right.path({ ...other.right, ownAllowed: OTHER_HOSTS.peerAllowed, peerAllowed: OTHER_HOSTS.ownAllowed })
    right.take(late)
    expect(right.events.map((e) => e.event)).toEqual(['datagram'])
    expect(left.put(packetOf(PLAIN))).toBe('source-not-allowed')
    expect(left.put(packetOf({ ...PLAIN, from: '10.3.0.1', to: '10.4.0.1' }))).toBe('queued')
    right.take(left.leaving())
    expect(right.plain()).toHaveLength(1)
  })

  check('what was put before its path went is sent as things were then', () => {
    const { left, right } = joined()
    left.queue([{ bytes: packetOf(PLAIN), gso: 0 }])
    left.plane.apply({ mirror: 'gone', row: ROW }, left.now)
    left.plane.flush(left.now)
    right.take(left.leaving())
    expect(right.plain()).toEqual([packetOf(PLAIN)])
  })

  check('a path without an address sends nothing', () => {
    const { left } = joined({ to: null })
    expect(left.put(packetOf(PLAIN))).toBe('not-open')
    expect(left.counters.get('ntm.unsent.not-open')).toBe(1)
  })

  check('a worn key is told once, and a key that has done all it may seals nothing', () => {
    const limits = { rekeyPackets: 16, rekeyBytes: 1e9, stopPackets: 32, stopBytes: 1e9 }
    const { left } = joined({}, { limits })
    const verdicts = Array.from({ length: 12 }, () => left.put(packetOf(PLAIN)))
    expect(left.sent, 'a lane has a quarter of it').toHaveLength(8)
    expect(left.events).toEqual([{ event: 'worn', row: ROW, epoch: 1, serial: 1 }])
    expect(verdicts.slice(9)).toEqual(['key-used-up', 'key-used-up', 'key-used-up'])
    expect(left.counters.get('ntm.unsent.key-used-up')).toBe(4)
    left.path(
      pathPair({}, [
        { epoch: 1, serial: 1 },
        { epoch: 2, serial: 2 },
      ]).left,
    )
    expect(left.put(packetOf(PLAIN)), 'a new one seals').toBe('queued')
  })

  check('many packets in one flush keep their order over several calls of the engine', () => {
    const { left, right } = joined()
    const packets = Array.from({ length: 2500 }, (_, i) =>
      packetOf({ ...PLAIN, protocol: 'udp', payload: 4 + (i % 90), fill: i }),
    )
    left.putAll(packets.map((bytes) => ({ bytes, gso: 0 })))
    right.take(left.leaving())
    expect(right.plain().map(text)).toEqual(packets.map(text))
  })

  check(
    'the keys are those of the protocol: what a plane seals opens with them, and frames of theirs are heard',
    () => {
      const epochs = [{ epoch: 0x0102, serial: 3 }]
      const [left, right, paths] = [end(LEFT_AT), end(RIGHT_AT), pathPair({}, epochs)]
      left.path(paths.left)
      right.path(paths.right)
      left.put(packetOf(PLAIN))
      const [mirrored] = paths.right.epochs as [MirroredEpoch]
      const [sealed] = left.leaving() as [Datagram]
      expect(new OpenKey(nodeCrypto, mirrored.open, 0x0102).open(sealed.bytes)).toEqual(packetOf(PLAIN))
      const header = new Uint8Array(16)
      writeCapsulated(new DataView(header.buffer), 0, capsulatedFlags(1, true, 0, 0), 0x0102, paths.right.id, 0)
      const theirs = new SealKey(nodeCrypto, mirrored.seal, 0x0102)
      const frames = Uint8Array.of(1, 2, 3)
      const sent = [frames, frames].map((f) => ({ bytes: theirs.seal(header, f) as Uint8Array, from: RIGHT_AT }))
      left.cells[ROW * CELLS.words + CELLS.unansweredSince] = 5
      left.take(sent)
      const said = { event: 'heard', row: ROW, epoch: 0x0102, serial: 3, from: RIGHT_AT, bytes: 35, frames }
      expect(left.events).toEqual([
        { ...said, newest: true },
        { ...said, newest: true },
      ])
      expect(left.inner, 'frames are never packets').toEqual([])
      expect([left.cell('unansweredSince'), left.cell('packetsIn'), left.cell('owedSince')]).toEqual([
        Number.NaN,
        0,
        Number.NaN,
      ])
    },
  )

  check('frames and halves are never joined with anything, packets may be', () => {
    const flags: number[] = []
    const engine = engineOf()
    const spy: PacketEngine = {
      ...methodsOf(engine),
      open: (...args: Parameters<PacketEngine['open']>) => {
        const [jobs, first, count] = args
        for (let i = first; i < count; i++) flags.push(jobs[i * OPEN_JOB.words + OPEN_JOB.flags] as number)
        return engine.open(...args)
      },
    }
    const [left, right, paths] = [end(), new PlaneEnd(spy, RIGHT_AT), pathPair({ wholeBytes: 700, innerBytes: 1280 })]
    left.path(paths.left)
    right.path(paths.right)
    left.put(packetOf({ ...PLAIN, payload: 20 }))
    left.put(packetOf({ ...PLAIN, payload: 1200 }))
    const header = new Uint8Array(16)
    writeCapsulated(new DataView(header.buffer), 0, capsulatedFlags(0, true, 0, 0), 1, paths.left.id, 0)
    const theirs = new SealKey(nodeCrypto, (paths.left.epochs[0] as MirroredEpoch).seal, 1)
    right.take([...left.leaving(), { bytes: theirs.seal(header, Uint8Array.of(0)) as Uint8Array, from: LEFT_AT }])
    expect(flags).toEqual([1, 1 | ALONE, 1 | ALONE, 0 | ALONE])
  })

  check('keys that a path no longer has are gone from the engine', () => {
    const held = new Set<string>()
    const engine = engineOf()
    const spy: PacketEngine = {
      ...methodsOf(engine),
      setSeal: (...args) => {
        held.add(`seal ${args[0]}`)
        engine.setSeal(...args)
      },
      setOpen: (...args) => {
        held.add(`open ${args[0]}`)
        engine.setOpen(...args)
      },
      clearSeal: (i) => {
        held.delete(`seal ${i}`)
        engine.clearSeal(i)
      },
      clearOpen: (i) => {
        held.delete(`open ${i}`)
        engine.clearOpen(i)
      },
    }
    const left = new PlaneEnd(spy, LEFT_AT)
    left.path(pathPair({}, [{ epoch: 1, serial: 1 }]).left)
    left.path(
      pathPair(
        {},
        [1, 2].map((n) => ({ epoch: n, serial: n })),
      ).left,
    )
    expect(held.size).toBe(4)
    left.path(
      pathPair(
        {},
        [2, 3].map((n) => ({ epoch: n, serial: n })),
      ).left,
    )
    expect(held.size).toBe(4)
    left.plane.apply({ mirror: 'gone', row: ROW }, left.now)
    expect(held.size).toBe(0)
  })

  check('halves of a path that is gone never meet those of the next in its row', () => {
    const sizes = { wholeBytes: 700, innerBytes: 1280 }
    const { left, right } = joined(sizes)
    left.put(packetOf({ ...PLAIN, payload: 1200, fill: 1 }))
    const [first] = left.leaving() as [Datagram]
    right.take([first])
    for (const e of [left, right]) e.plane.apply({ mirror: 'gone', row: ROW }, e.now)
    const next = pathPair({ ...sizes, ids: [9], id: 9 }, [{ epoch: 1, serial: 2 }])
    left.path(next.left)
    right.path(next.right)
    left.put(packetOf({ ...PLAIN, payload: 1200, fill: 2 }))
    const [again, second] = left.leaving() as [Datagram, Datagram]
    right.take([second])
    expect(right.inner).toEqual([])
    right.take([again])
    expect(right.plain()).toEqual([packetOf({ ...PLAIN, payload: 1200, fill: 2 })])
  })

  check('bytes behind the end of a packet are not given on', () => {
    const { left, right } = joined()
    for (const packet of [packetOf(PLAIN), packetOf({ ...PLAIN, from: 'fd00:1::5', to: 'fd00:2::9' })]) {
      expect(left.put(concat(packet, new Uint8Array(9)))).toBe('queued')
      right.take(left.leaving())
      expect(right.plain()).toEqual([packet])
    }
  })

  check('datagrams of several paths and epochs may share a slot, and each finds its own', () => {
    const { left, right } = joined()
    // Ids that differ in one word only.
    const ids = [0xa1b200000001, 0xa1b200000002, 0x000200000001]
    for (const [i, id] of ids.entries()) {
      const p = pathPair({ row: 2 + i, ids: [id], id }, [{ epoch: 1, serial: 5 + i }])
      left.path(p.left)
      right.path(p.right)
    }
    const put = (row: number): Datagram[] => {
      left.put(packetOf({ ...PLAIN, fill: row }), 0, row)
      return left.leaving()
    }
    const early = put(ROW)
    const both = pathPair(
      {},
      [1, 2].map((n) => ({ epoch: n, serial: n })),
    )
    left.path(both.left)
    right.path(both.right)
    const order = [ROW, 2, 3, 2, 4, 2, ROW, 4, 3]
    right.take([...early, ...order.flatMap(put)])
    expect(right.inner.map(({ row }) => row)).toEqual([ROW, ...order])
    expect([...right.counters.values]).toEqual([])
  })

  check('two senders of one path in one turn are two events; another port is another sender', () => {
    const { left, right } = joined()
    const put = (from: Datagram['from']): Datagram[] => {
      left.put(packetOf(PLAIN))
      return left.leaving().map(({ bytes }) => ({ bytes, from }))
    }
    right.take(put(LEFT_AT))
    right.events.length = 0
    const [moved, again] = [4331, 4332].map((port) => ({ ...LEFT_AT, port })) as [Endpoint, Endpoint]
    right.take([LEFT_AT, moved, RIGHT_AT, LEFT_AT, moved, LEFT_AT, again].flatMap(put))
    expect(right.events.splice(0).map((e) => e.event === 'heard' && [e.from, e.bytes, e.newest])).toEqual([
      [moved, 264, false],
      [RIGHT_AT, 132, false],
      [again, 132, true],
    ])
    right.take(Array.from({ length: 60 }, (_, i) => put({ ...LEFT_AT, port: 5000 + i })).flat())
    expect(right.events.length, 'a scatterer does not get an event for each').toBeLessThan(10)
  })

  check('whatever arrives and whatever is put, nothing throws, nothing forged comes out', () => {
    const { left, right } = joined({ wholeBytes: 700, innerBytes: 1280 })
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 120 })
    // Near enough to be looked at: our class, our path, our epoch; or an IP version and one of our addresses.
    const near = bytes.map((b) => concat(Uint8Array.of(0x14, b[0] ?? 0, 0, 1, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6), b))
    const inner = fc.tuple(bytes, fc.nat({ max: 200 }), fc.nat({ max: 255 })).map(([b, at, to]) => {
      const packet = concat(packetOf({ ...PLAIN, from: (b[0] ?? 0) % 2 === 0 ? '10.1.0.5' : '10.1.0.7' }), b)
      packet[at % packet.length] = to
      return packet
    })
    fc.assert(
      fc.property(
        fc.array(fc.oneof(bytes, near), { maxLength: 8 }),
        fc.array(fc.tuple(inner, fc.constantFrom(0, 1, 7, 40, 1400, CSUM_MISSING)), { maxLength: 6 }),
        (datagrams, packets) => {
          right.take(datagrams.map((b) => ({ bytes: b, from: LEFT_AT })))
          expect(right.inner).toEqual([])
          left.putAll(packets.map(([b, gso]) => ({ bytes: b, gso })))
          right.take(left.leaving())
          right.inner.length = 0
          right.events.length = 0
        },
      ),
      { numRuns: 150 },
    )
  })

  check('packets of another arena send what was put before on its way first', () => {
    const { left, right } = joined()
    const [one, two] = [packetOf(PLAIN), packetOf({ ...PLAIN, fill: 9 })]
    left.queue([{ bytes: one, gso: 0 }])
    left.queue([{ bytes: two, gso: 0 }])
    expect(left.sent).toHaveLength(1)
    left.plane.flush(left.now)
    right.take(left.leaving())
    expect(right.plain()).toEqual([one, two])
  })
}

/** Joining may let one flow's packet overtake another's, never its own. */
function byFlow(texts: readonly string[]): string[] {
  const flow = (t: string): string => {
    const bytes = t.split(' ')[1] ?? ''
    return bytes[0] === '4' ? bytes.slice(18, 20) : `6 ${bytes.slice(12, 14)}`
  }
  return texts.toSorted((a, b) => (flow(a) < flow(b) ? -1 : flow(a) > flow(b) ? 1 : 0))
}

const PLAIN: PacketOf = { from: '10.1.0.5', to: '10.2.0.9', protocol: 'tcp', payload: 60 }
const BACK = packetOf({ from: '10.2.0.9', to: '10.1.0.5', protocol: 'tcp', payload: 60 })
const OTHER_HOSTS = { ownAllowed: prefixes('10.3.0.1/32'), peerAllowed: prefixes('10.4.0.1/32') }

/** An engine's methods, to put others in their place. */
function methodsOf(e: PacketEngine): PacketEngine {
  return {
    setSeal: (...args) => e.setSeal(...args),
    setOpen: (...args) => e.setOpen(...args),
    clearSeal: (i) => e.clearSeal(i),
    clearOpen: (i) => e.clearOpen(i),
    newestCounter: (i, lane) => e.newestCounter(i, lane),
    seal: (...args) => e.seal(...args),
    open: (...args) => e.open(...args),
  }
}

type Put = { readonly bytes: Uint8Array; readonly gso: number; readonly udp: boolean; readonly headers: number }

const packet: fc.Arbitrary<Put> = fc
  .record({
    six: fc.boolean(),
    udp: fc.boolean(),
    payload: fc.oneof(fc.integer({ min: 0, max: 1500 }), fc.integer({ min: 0, max: 60_000 })),
    gso: fc.oneof(fc.constant(0), fc.constant(CSUM_MISSING), fc.integer({ min: 100, max: 1500 })),
    sequence: fc.nat({ max: 0xffffffff }),
    id: fc.nat({ max: 0xffff }),
    flags: fc.constantFrom(0x10, 0x18, 0x11, 0x90),
    options: fc.constantFrom(0, 12),
    fill: fc.nat({ max: 255 }),
  })
  .map(({ six, udp, gso, ...rest }) => {
    const ends = six ? { from: 'fd00:1::5', to: 'fd00:2::9' } : { from: '10.1.0.5', to: '10.2.0.9' }
    const headers = (six ? 40 : 20) + (udp ? 8 : 20 + rest.options)
    return { bytes: packetOf({ ...ends, protocol: udp ? 'udp' : 'tcp', ...rest }), gso, udp, headers }
  })

/** T and M as the MTU rule makes them. */
const traffic = fc
  .record({ packets: fc.array(packet, { minLength: 1, maxLength: 12 }), whole: fc.integer({ min: 640, max: 1440 }) })
  .map((t) => ({ ...t, inner: Math.max(1280, t.whole) }))

function fits({ bytes, gso, udp, headers }: Put, whole: number, inner: number): boolean {
  if (gso === 0 || gso === CSUM_MISSING) return bytes.length <= Math.max(whole, inner)
  return bytes.length > headers && (!udp || Math.min(headers + gso, bytes.length) <= whole)
}

function asSent({ bytes, gso, headers }: Put, whole: number): Uint8Array[] {
  return plainPackets(bytes, gso === 0 || gso === CSUM_MISSING ? gso : Math.min(gso, whole - headers))
}

/** Loses, copies and swaps as `chance` says. `lost`: how many inner packets at most cannot come out. */
function disturb(way: readonly Datagram[], chance: readonly number[]): { arriving: Datagram[]; lost: number } {
  const arriving = [...way]
  let lost = 0
  for (const n of chance) {
    const i = n % Math.max(1, arriving.length)
    const j = (n >> 8) % Math.max(1, arriving.length)
    const [a, b] = [arriving[i], arriving[j]]
    if (a === undefined || b === undefined) continue
    if (n % 3 === 0) {
      arriving.splice(i, 1)
      if (!arriving.includes(a)) lost++
    } else if (n % 3 === 1) arriving.splice(j, 0, a)
    else [arriving[i], arriving[j]] = [b, a]
  }
  return { arriving, lost }
}

/**
 * For comparing: assertions on thousands of arrays of bytes are slow, and their failures long. The identification of a packet that
 * must not be fragmented means nothing (RFC 6864 §4.1) and may change where packets are joined.
 */
function text(bytes: Uint8Array): string {
  const copy = Buffer.from(bytes)
  if (copy.readUInt8(0) >> 4 === 4 && (copy.readUInt8(6) & 0x40) !== 0) {
    copy.writeUInt16BE(0, 4)
    copy.writeUInt16BE(0, 10)
  }
  return `${copy.length} ${copy.toString('hex', 0, 60)} ${copy.reduce((n, b) => (Math.imul(n, 31) + b) | 0, 7)}`
}
