import { expect, test } from 'vitest'
import { ratios } from './ratios.ts'
import { type Row, row } from './row.ts'

const tcp = (direction: string, figures: Record<string, number>): Row[] =>
  Object.entries(figures).map(([peer, value]) => row('tcp', `TCP 1 stream ${direction}`, peer, 'Mbit/s', [value]))

const rows: Row[] = [
  ...tcp('to server', { ntm: 600, plain: 1000, 'wireguard-go': 200, openvpn: 100 }),
  ...tcp('to host', { ntm: 400, plain: 1000, 'wireguard-go': 200, openvpn: 50 }),
  row('udp', 'UDP 128 B to server, at most 1 % lost', 'ntm', 'kpps', [80]),
  row('udp', 'UDP 128 B to server, at most 1 % lost', 'wireguard-go', 'kpps', [40]),
  row('latency', 'round trip idle, p50', 'plain', 'µs', [50]),
  row('latency', 'round trip idle, p50', 'ntm', 'µs', [150]),
  row('latency', 'round trip idle, p50', 'wireguard-go', 'µs', [250]),
  row('link', 'TCP 1 stream to server, link of 1000 Mbit/s: of the possible', 'ntm', 'ratio', [0.97]),
  row('link', 'TCP 1 stream to host, link of 1000 Mbit/s: of the possible', 'ntm', 'ratio', [0.96]),
  row('translate', 'translation alone, TCP 1 stream to server', 'ntm', 'Mbit/s', [900]),
  row('translate', 'translation alone, TCP 1 stream to server', 'tayga', 'Mbit/s', [300]),
  row('translate', 'translation alone, TCP 1 stream to host', 'ntm', 'Mbit/s', [800]),
  row('translate', 'translation alone, TCP 1 stream to host', 'tayga', 'Mbit/s', [200]),
  ...[1400, 128].flatMap((bytes) => [
    row('relay', `relayed ${bytes} B, at most 1 % lost`, 'ntm', 'kpps', [bytes]),
    row('relay', `relayed ${bytes} B, at most 1 % lost`, 'coturn', 'kpps', [20]),
    row('relay', `relayed ${bytes} B, at most 1 % lost`, 'coturn-batched', 'kpps', [32]),
  ]),
]

test('of two directions the worse one counts', () => {
  const r = ratios(rows)
  expect(r).toMatchObject({
    tcp1_over_wireguard_go: 2,
    tcp1_over_plain: 0.4,
    tcp1_over_openvpn: 6,
    tcp1_to_server_over_plain: 0.6,
    tcp1_to_host_over_plain: 0.4,
    udp128_over_wireguard_go: 2,
    rtt_added_over_wireguard_go: 0.5,
    link1g_payload: 0.96,
    translate_over_tayga: 3,
    relay_over_coturn: 4,
    relay_one_by_one_over_coturn: null,
  })
})

test('what was not measured is null, also when one direction is missing', () => {
  const r = ratios(rows.filter((one) => one.name !== 'TCP 1 stream to host'))
  expect(r).toMatchObject({ tcp1_over_wireguard_go: null, tcp1_over_nebula: null, tcp1_tun_over_plain: null })
  expect(r['tcp1_to_server_over_plain']).toBe(0.6)
  // A row without a value is no figure either.
  expect(ratios([row('udp', 'UDP 128 B to server, at most 1 % lost', 'ntm', 'kpps', [])])).toMatchObject({
    udp128_over_wireguard_go: null,
  })
})
