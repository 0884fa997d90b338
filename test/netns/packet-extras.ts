import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { openPacketSocket, openTap, openTun } from '#io/packet-native.ts'
import { filled, pause, receive, until } from '#test/contract/packet-port.ts'
import { etherFrame, internetSum, ip, ip4Frame } from './packet-rigs.ts'

type Extra = { readonly name: string; run(): Promise<void> }

/** What only one kind of port has to show. Run after the contract, in the same namespace. */
export const packetExtras: Readonly<Record<string, readonly Extra[]>> = {
  tun: [
    {
      name: 'a removed device is told once and the port stays calm',
      run: async () => {
        const port = openTun('tun9')
        ip('link', 'set', 'tun9', 'up')
        let told = 0
        port.onGone(() => told++)
        port.onReadable(() => {})
        assert.ok(port.ifindex > 0 && port.name === 'tun9')
        ip('link', 'del', 'tun9')
        await until(() => told === 1)
        await pause(50)
        assert.equal(told, 1)
        assert.ok(port.gone)
        assert.equal(port.send(filled([ip4Frame(0, 100)])), 0)
        port.close()
      },
    },
    {
      name: 'packets for a device that is down are lost and counted, not stuck',
      run: async () => {
        const port = openTun('tun9')
        assert.equal(port.send(filled([ip4Frame(0, 100), ip4Frame(1, 100)])), 2)
        assert.equal(port.counters.downOut, 2)
        port.close()
      },
    },
    {
      name: 'offloads that the kernel does not know are done without',
      run: async () => {
        const [CSUM, TSO4, TSO6, USO4, USO6] = [1, 2, 4, 0x20, 0x40]
        const port = openTun('tun9', { offloads: CSUM | TSO4 | TSO6 | USO4 | USO6 })
        port.close()
        assert.throws(() => openTun('tun9', { offloads: 0x80 }), { name: 'IoFault', code: 'EINVAL' })
      },
    },
  ],
  tap: [
    {
      name: 'a name that cannot be a device is an IoFault',
      run: async () => {
        assert.throws(() => openTap('a/b'), { name: 'IoFault' })
      },
    },
  ],
  packet: [
    {
      name: 'a VLAN tag that the kernel took off is put back',
      run: async () => {
        const [a, b] = [openPacketSocket('va'), openPacketSocket('vb')]
        const tagged = Uint8Array.from(etherFrame(3, 104))
        tagged.set([0x81, 0x00, 0x60, 0x07, 0x88, 0xb5], 12)
        a.send(filled([tagged]))
        const [got] = await receive(b, 1)
        assert.deepEqual(Buffer.from(got ?? []), Buffer.from(tagged))
        a.close()
        b.close()
      },
    },
    {
      name: 'a checksum left to the hardware arrives complete',
      run: async () => {
        const b = openPacketSocket('vb', { filter: UDP_ONLY })
        ip('address', 'add', '10.82.0.1/24', 'dev', 'va')
        ip('neighbour', 'add', '10.82.0.2', 'lladdr', '02:00:00:00:00:0b', 'dev', 'va')
        const socket = createSocket('udp4')
        const payload = Buffer.from('checksum of an odd number of bytes.')
        socket.send(payload, 4330, '10.82.0.2')
        const [got] = await receive(b, 1)
        socket.close()
        assert.ok(got !== undefined)
        const udp = got.subarray(34, 42 + payload.length)
        const pseudo = Uint8Array.of(...got.subarray(26, 34), 0, 17, udp.length >> 8, udp.length & 255)
        assert.notEqual((udp[6] ?? 0) + (udp[7] ?? 0), 0)
        assert.equal(internetSum(Uint8Array.of(...pseudo, ...udp)), 0)
        b.close()
        ip('address', 'flush', 'dev', 'va')
      },
    },
    {
      name: 'only what the filter lets through is received',
      run: async () => {
        const [a, b] = [openPacketSocket('va'), openPacketSocket('vb', { filter: FIRST_PAYLOAD_BYTE_EVEN })]
        const sent = Array.from({ length: 8 }, (_, n) => {
          const f = etherFrame(0, 100)
          f[14] = n
          return f
        })
        a.send(filled(sent))
        assert.deepEqual(
          (await receive(b, 4)).map((f) => f[14]),
          [0, 2, 4, 6],
        )
        a.close()
        b.close()
      },
    },
    {
      name: 'a send-only socket sends and receives nothing',
      run: async () => {
        const [a, b] = [openPacketSocket('va', { receive: false }), openPacketSocket('vb')]
        let woken = false
        a.onReadable(() => {
          woken = true
        })
        b.send(filled([etherFrame(1, 100)]))
        a.send(filled([etherFrame(2, 100)]))
        assert.equal((await receive(b, 1)).length, 1)
        assert.equal(woken, false)
        a.close()
        b.close()
      },
    },
    {
      name: 'link down is weathered, removal is told',
      run: async () => {
        ip('link', 'add', 'wa', 'type', 'veth', 'peer', 'name', 'wb')
        for (const name of ['wa', 'wb']) ip('link', 'set', name, 'up')
        const [a, b] = [openPacketSocket('wa'), openPacketSocket('wb')]
        const silent = openPacketSocket('wa', { receive: false })
        let told = 0
        a.onGone(() => told++)
        a.onReadable(() => {})
        ip('link', 'set', 'wa', 'down')
        assert.equal(a.send(filled([etherFrame(1, 100), etherFrame(2, 100)])), 2)
        await pause(30)
        assert.equal(told, 0)
        assert.ok(a.counters.downOut >= 1)
        ip('link', 'set', 'wa', 'up')
        a.send(filled([etherFrame(3, 100)]))
        assert.equal((await receive(b, 1)).length, 1)
        ip('link', 'del', 'wa')
        await until(() => told === 1)
        assert.equal(a.gone, true)
        // Nothing wakes a socket that only sends: it notices when it sends.
        assert.equal(silent.send(filled([etherFrame(4, 100)])), 0)
        assert.equal(silent.gone, true)
        for (const port of [a, b, silent]) port.close()
      },
    },
    {
      name: 'no such interface is an IoFault that says so',
      run: async () => {
        assert.throws(() => openPacketSocket('nowhere'), { name: 'IoFault', code: 'ENODEV' })
      },
    },
  ],
}

/** `ldh [12]; jeq 0x0800; ldb [23]; jeq 17; accept; drop` */
const UDP_ONLY = [
  [0x28, 0, 0, 12],
  [0x15, 0, 3, 0x0800],
  [0x30, 0, 0, 23],
  [0x15, 0, 1, 17],
  [0x06, 0, 0, 0xffff],
  [0x06, 0, 0, 0],
] as const

/** `ldb [14]; jset 1; accept; drop` */
const FIRST_PAYLOAD_BYTE_EVEN = [
  [0x30, 0, 0, 14],
  [0x45, 1, 0, 1],
  [0x06, 0, 0, 0xffff],
  [0x06, 0, 0, 0],
] as const
