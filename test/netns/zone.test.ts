import { afterAll, beforeAll, expect, test } from 'vitest'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'

// resolver ── Internet ── coordinator, authoritative for ntm.example on port 53, UDP and TCP; dig asks it directly and
// through a real unbound that was told where the zone is.

/** A DNS question over UDP with source port 0, which no ordinary socket can have: ntm.example NS. */
const FROM_PORT_0 = `
import socket, struct, sys
question = bytes.fromhex('000100000001000000000000036e746d076578616d706c650000020001')
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack('!HHHH', 0, 53, 8 + len(question), 0) + question, (sys.argv[1], 53))
print('sent')
`

describeLab('the coordinator is the authoritative server of its zone', () => {
  let scene: Scene
  let product: Product
  beforeAll(async () => {
    scene = await v4HostToV6Server()
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    await product.tt()
    await product.bridge()
  })
  afterAll(() => scene?.dispose())

  const dig = (...args: string[]): Promise<string> =>
    scene.lab.must('resolver', 'dig', [`@${PLACE.coordinator.ip4}`, '+norecurse', '+time=2', '+tries=1', ...args])

  test('SOA and NS, with authority, over UDP and TCP', async () => {
    for (const transport of ['+notcp', '+tcp']) {
      const soa = await dig(transport, 'ntm.example', 'SOA')
      expect(soa).toMatch(/flags: qr aa/)
      expect(soa).toMatch(/ntm\.example\.\s+\d+\s+IN\s+SOA\s+coordinator\.ntm\.example\./)
      expect(await dig(transport, '+short', 'ntm.example', 'NS')).toBe('coordinator.ntm.example.\n')
    }
  })

  test('a node has NTMv4, NTMv6 and a service record, and by default no address', async () => {
    expect(await dig('+short', 'bridge1.ntm.example', 'TYPE65280')).toMatch(/^\\# 36 /)
    expect(await dig('+short', 'bridge1.ntm.example', 'TYPE65281')).toMatch(/^\\# /)
    const service = await dig('_ntm._udp.bridge1.ntm.example', 'SVCB')
    expect(service).toMatch(/port=4330/)
    expect(service).toMatch(/key65280=/)
    for (const type of ['A', 'AAAA']) {
      const answer = await dig('bridge1.ntm.example', type)
      expect(answer).toMatch(/status: NOERROR/)
      expect(answer).toMatch(/ANSWER: 0, AUTHORITY: 1/)
    }
  })

  test('unknown names do not exist, other zones are refused, nothing is transferred', async () => {
    expect(await dig('nobody.ntm.example', 'A')).toMatch(/status: NXDOMAIN/)
    expect(await dig('v6only.example', 'AAAA')).toMatch(/status: REFUSED/)
    const transfer = await scene.lab.run('resolver', 'dig', [
      `@${PLACE.coordinator.ip4}`,
      '+tcp',
      'ntm.example',
      'AXFR',
    ])
    expect(transfer.stdout).toMatch(/Transfer failed/)
  })

  test('a question that comes from port 0 is answered by nobody, and harms nobody', async () => {
    expect(await scene.lab.must('resolver', 'python3', ['-c', FROM_PORT_0, PLACE.coordinator.ip4])).toBe('sent\n')
    expect(await dig('+short', 'ntm.example', 'NS')).toBe('coordinator.ntm.example.\n')
  })

  test('publish = "seed": real addresses as the seeds publish them', async () => {
    await product.programs.coordinator?.stop()
    await product.coordinator({ 'dns.publish': 'seed' })
    // The nodes come back by themselves; then the bridge's address is in the zone as the Internet sees it.
    await expect
      .poll(() => dig('+short', 'bridge1.ntm.example', 'A'), { timeout: 40_000 })
      .toBe(`${PLACE.router.ip4}\n`)
    expect(await dig('+short', 'bridge1.ntm.example', 'TYPE65280')).toMatch(/^\\# 44 /)
  })
})
