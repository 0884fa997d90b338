import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Endpoint, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip16, parseIp } from '#ntm-lib/addr/ip.ts'
import { VIA_BYTES, type Via, writeVia } from '#ntm-lib/addr/via.ts'
import type { MirroredAhead, MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import type { PacketEngine } from '#ntm-lib/plane/engine.ts'
import { LEFT_AT, PlaneEnd, pathPair, RIGHT_AT, ROW } from '#test/support/plane-world.ts'
import { packetOf } from '#test/support/tcp-packets.ts'

/** What a tunnel plane promises of ways: how datagrams leave, and what goes to an address that the peer has not proven. */
export function planeWaysContract(name: string, engineOf: () => PacketEngine): void {
  const check = (title: string, run: () => void): void => test(`${name}: ${title}`, run)
  const sender = (of = 1): PlaneEnd => new PlaneEnd(engineOf(), LEFT_AT, { rows: 256, share: { index: 0, of } })

  check('datagrams of a row name its way, those of others none; without any there are no ways at all', () => {
    const left = sender()
    left.path(path())
    left.path(path({ row: ROW + 1, ids: [7], id: 7 }, 2))
    left.put(TCP)
    expect(left.sent.at(-1)?.via).toBeNull()
    left.path(path({ via: VIA }))
    left.put(TCP)
    left.put(TCP, 0, ROW + 1)
    expect(left.sent.slice(-2).map((d) => d.via)).toEqual([viaBytes(VIA), viaBytes(null)])
    left.path(path({ via: { ...VIA, ifindex: 70_000 } }))
    left.path(path({ via: { ...VIA, ifindex: 70_000 } }))
    left.put(TCP)
    expect(left.sent.at(-1)?.via).toEqual(viaBytes({ ...VIA, ifindex: 70_000 }))
    left.path(path())
    left.put(TCP)
    expect(left.sent.at(-1)?.via).toBeNull()
    left.path(path({ via: VIA }))
    left.plane.apply({ mirror: 'gone', row: ROW }, left.now)
    left.put(TCP, 0, ROW + 1)
    expect(left.sent.at(-1)?.via, 'a path that has gone has no way').toBeNull()
  })

  check('a way out of one family is not taken to an address of the other', () => {
    const left = sender()
    left.path(path({ via: VIA, ahead: { serial: 1, to: NEW4, bytes: DATAGRAM } }))
    left.put(TCP)
    left.put(TCP)
    expect(left.sent.map((d) => d.port)).toEqual([NEW4.port, RIGHT_AT.port])
    expect(left.sent.map((d) => d.via)).toEqual([viaBytes(null), viaBytes(VIA)])
  })

  check('the first bytes go to the address not proven, by the same way; the rest to the proven one', () => {
    const left = sender()
    left.path(path({ via: VIA, ahead: ahead(1, 3 * DATAGRAM + DATAGRAM - 1) }))
    left.put(bulk(10), INNER)
    expect(where(left)).toBe('nnnooooooo')
    expect(left.sent.every((d) => Buffer.compare(d.via ?? Buffer.alloc(0), viaBytes(VIA)) === 0)).toBe(true)
    // What the last run left of it holds a smaller datagram.
    left.put(SMALL)
    left.put(TCP)
    expect(where(left).slice(10)).toBe('no')
  })

  check('of a peer that has proven no address only the allowance is sent', () => {
    const left = sender()
    left.path(path({ to: null }))
    expect(left.put(TCP)).toBe('not-open')
    left.path(path({ to: null, ahead: ahead(1, 3 * DATAGRAM) }))
    left.path(path({ row: ROW + 1, ids: [7], id: 7 }, 2))
    left.queue([{ bytes: bulk(5), gso: INNER }])
    left.plane.flush(left.now)
    left.put(TCP, 0, ROW + 1)
    expect(left.put(TCP)).toBe('not-open')
    expect(where(left)).toBe('nnno')
    expect(left.counters.get('ntm.unsent.not-open')).toBe(1 + 2 + 1)
    left.path(path({ to: null, ahead: ahead(1, 4 * DATAGRAM + 20) }))
    left.putAll([
      { bytes: TCP, gso: 0 },
      { bytes: TCP, gso: 0 },
      { bytes: SMALL, gso: 0 },
    ])
    expect(where(left).slice(4)).toBe('n')
    expect(left.sent.map((d) => d.bytes.length)).toEqual(Array(5).fill(DATAGRAM))
    left.path(path())
    left.put(TCP)
    expect(where(left).slice(5)).toBe('o')
  })

  check(
    'the same allowance told again is not renewed, a larger one adds the difference, another one begins anew',
    () => {
      const left = sender()
      left.path(path({ ahead: ahead(1, 2 * DATAGRAM) }))
      left.put(bulk(3), INNER)
      left.path(path({ ahead: ahead(1, 2 * DATAGRAM) }))
      left.put(bulk(2), INNER)
      left.path(path({ ahead: null }))
      left.put(bulk(2), INNER)
      left.path(path({ ahead: ahead(1, 3 * DATAGRAM) }))
      left.put(bulk(2), INNER)
      left.path(path({ ahead: ahead(2, DATAGRAM) }))
      left.put(bulk(2), INNER)
      expect(where(left)).toBe('nno' + 'oo' + 'oo' + 'no' + 'no')
      left.plane.apply({ mirror: 'gone', row: ROW }, left.now)
      left.path(path({ ahead: ahead(2, DATAGRAM) }, 9))
      left.put(bulk(2), INNER)
      expect(where(left).slice(-2), 'the next path of the row has allowances of its own').toBe('no')
    },
  )

  check(
    'whatever is sent, no more than allowed goes to the address not proven; nothing is lost, doubled or overtaken',
    () => {
      const step = fc.oneof(
        fc.record({ put: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }) }),
        fc.record({ grow: fc.integer({ min: 0, max: 60_000 }) }),
        fc.record({ renew: fc.integer({ min: 0, max: 60_000 }) }),
        fc.constant({ end: true as const }),
      )
      fc.assert(
        fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 3 }), (steps, of) => {
          const left = sender(of)
          const right = new PlaneEnd(engineOf(), RIGHT_AT)
          right.path(pathPair().right)
          left.path(path())
          let [serial, bytes, spent, on] = [1, 0, 0, false]
          for (const s of steps) {
            if ('put' in s) {
              const before = left.sent.length
              left.putAll(s.put.map((n) => ({ bytes: bulk(n), gso: n > 1 ? INNER : 0 })))
              const now = left.sent.slice(before)
              const news = now.filter((d) => d.port === NEW.port)
              if (!on) expect(news).toEqual([])
              spent += news.reduce((n, d) => n + d.bytes.length, 0)
              expect(spent).toBeLessThanOrEqual(Math.floor(bytes / of))
              const olds = now.filter((d) => d.port !== NEW.port)
              // As long as a datagram fits it is not the proven address that gets it.
              if (on && olds.length > 0)
                expect(Math.floor(bytes / of) - spent).toBeLessThan(Math.max(...olds.map((d) => d.bytes.length)))
              continue
            }
            if ('end' in s) on = false
            else if ('grow' in s) [on, bytes] = [true, bytes + s.grow]
            else [on, serial, bytes, spent] = [true, serial + 1, s.renew, 0]
            left.path(path({ ahead: on ? ahead(serial, bytes) : null }))
          }
          const want = steps.flatMap((s) => ('put' in s ? s.put : [])).reduce((n, d) => n + d, 0)
          expect(left.sent.length).toBe(want)
          right.take(left.leaving())
          expect(right.plain().length).toBe(want)
          expect(left.cell('packetsOut')).toBe(want)
        }),
        { numRuns: 40 },
      )
    },
  )

  check('a table that grows keeps ways and allowances', () => {
    const left = sender()
    left.path(path({ via: VIA, ahead: ahead(1, 2 * DATAGRAM) }))
    left.put(TCP)
    left.path(path({ row: 200, ids: [7], id: 7, ahead: ahead(1, DATAGRAM) }, 2))
    left.put(TCP)
    left.put(TCP)
    left.put(TCP, 0, 200)
    expect(where(left)).toBe('nnon')
    expect(left.sent.map((d) => d.via)).toEqual([VIA, VIA, VIA, null].map(viaBytes))
  })

  check('of as many runs as there can be, those that the allowance holds', () => {
    const left = sender()
    left.path(path({ ahead: ahead(1, DATAGRAM + 10) }))
    // Every other packet is of another size: as many runs as packets.
    const many = Array.from({ length: 1024 }, (_, i) => ({ bytes: i % 2 === 0 ? TCP : SMALL, gso: 0 }))
    left.putAll(many)
    expect(left.sent.length).toBe(1024)
    expect(where(left)).toBe(`n${'o'.repeat(1023)}`)
  })
}

/** Of the same family as where the other end is. */
const NEW: Endpoint = parseEndpoint('[2001:db8::77]:5555') ?? fail()
const VIA: Via = { ifindex: 3, ip: parseIp('2001:db8::4') ?? fail() }
const NEW4: Endpoint = parseEndpoint('203.0.113.77:5555') ?? fail()
const INNER = 960
const TCP = packetOf({ from: '10.1.0.5', to: '10.2.0.9', protocol: 'tcp', payload: INNER })
const SMALL = packetOf({ from: '10.1.0.5', to: '10.2.0.9', protocol: 'tcp', payload: 100 })
/** Of a full one: 16 of header, 16 of tag. */
const DATAGRAM = TCP.length + 32

const bulk = (segments: number): Uint8Array =>
  packetOf({ from: '10.1.0.5', to: '10.2.0.9', protocol: 'tcp', payload: segments * INNER })
const ahead = (serial: number, bytes: number): MirroredAhead => ({ serial, to: NEW, bytes })
const path = (changes: Partial<MirroredPath> = {}, serial = 1): MirroredPath =>
  pathPair(changes, [{ epoch: 1, serial }]).left

/** Of each datagram sent: to the new address or the old one. */
const where = (end: PlaneEnd): string =>
  end.sent
    .map(({ to, port }) => {
      const isNew = port === NEW.port && Buffer.compare(to, ip16(NEW.ip)) === 0
      const isOld = port === RIGHT_AT.port && Buffer.compare(to, ip16(RIGHT_AT.ip)) === 0
      return isNew ? 'n' : isOld ? 'o' : '?'
    })
    .join('')

function viaBytes(via: Via | null): Uint8Array {
  const bytes = new Uint8Array(VIA_BYTES)
  writeVia(bytes, 0, via)
  return bytes
}

function fail(): never {
  throw new Error('a wrong address in the test')
}
