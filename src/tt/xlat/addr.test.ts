import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ip4FromWord, ip4Text, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes, ip6Text, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { icmp, packet4, packet6, udp } from '#ntm-lib/packet/build.ts'
import { ICMP4, ICMP6, UDP } from '#ntm-lib/packet/protocol.ts'
import { HOST4, HOST6, ROUTER4, ROUTER6, SERVER4, XlatBench } from '#test/support/xlat-bench.ts'
import { embed, extract } from './addr.ts'

test('rfc7915 §6: addresses are embedded and extracted as in the table of RFC 6052', () => {
  // RFC 6052 §2.4, text representation of 192.0.2.33.
  const table = [
    ['2001:db8::', 32, '2001:db8:c000:221::'],
    ['2001:db8:100::', 40, '2001:db8:1c0:2:21::'],
    ['2001:db8:122::', 48, '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::', 56, '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::', 64, '2001:db8:122:344:c0:2:2100::'],
    ['2001:db8:122:344::', 96, '2001:db8:122:344::c000:221'],
    ['64:ff9b::', 96, '64:ff9b::c000:221'],
  ] as const
  for (const [prefix, bits, want] of table) {
    const made = embed(parseIp6(prefix)!, bits, parseIp4('192.0.2.33')!)
    expect(ip6Text(made)).toBe(ip6Text(parseIp6(want)!))
    expect(ip4Text(extract(parseIp6(prefix)!, bits, made)!)).toBe('192.0.2.33')
  }
})

test('embedding and extracting are inverse for every prefix length, elsewhere there is nothing', () => {
  const bits = fc.constantFrom(32, 40, 48, 56, 64, 96)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), bits, fc.nat(0xffffffff), (p, n, word) => {
      p[8] = 0
      const prefix = ip6FromBytes(p)
      expect(extract(prefix, n, embed(prefix, n, ip4FromWord(word)))).toBe(word)
      const other = ip6FromBytes(p.map((x, i) => (i === 0 ? x ^ 1 : x)))
      expect(extract(other, n, embed(prefix, n, ip4FromWord(word)))).toBe(null)
    }),
  )
})

test('rfc7915 §8: an error about a packet that is not the host’s is dropped', () => {
  const bench = new XlatBench()
  const other4 = packet4({
    source: parseIp4('198.18.0.66')!,
    destination: SERVER4,
    protocol: UDP,
    payload: udp(1, 2, new Uint8Array(8)),
  })
  const p = packet4({ source: ROUTER4, destination: HOST4, protocol: ICMP4, payload: icmp(3, 1, 0, other4) })
  expect(bench.run(p).reason).toBe('no-address')
  const other6 = packet6({
    source: HOST6,
    destination: parseIp6('2001:db8::66')!,
    protocol: UDP,
    payload: udp(1, 2, new Uint8Array(8)),
  })
  const q = packet6({ source: ROUTER6, destination: HOST6, protocol: ICMP6, payload: icmp(1, 0, 0, other6) })
  expect(bench.run(q).reason).toBe('no-address')
  // Only an error's sender may be a stranger.
  const stranger = packet6({
    source: ROUTER6,
    destination: HOST6,
    protocol: UDP,
    payload: udp(1, 2, new Uint8Array(8)),
  })
  expect(bench.run(stranger).reason).toBe('no-address')
})
