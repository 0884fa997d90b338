import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { type InterfacePort, openPacketSocket, openTap, openTun } from '#io/packet-native.ts'
import { datagramRuns, openUdpRuns, type UdpRuns } from '#io/udp-runs.ts'
import { frameFault } from '#lab/frame-fault.ts'
import { type Ip, ip16, parseIp } from '#ntm-lib/addr/ip.ts'
import {
  CSUM_MISSING,
  HEADROOM,
  type Outgoing,
  type SuperBatch,
  slotAt,
  superBatch,
} from '#ntm-lib/ports/packet-port.ts'
import { pause, until } from '#test/contract/packet-port.ts'
import { etherFrame, ip, sysctl } from '../packet-rigs.ts'

/** Runs every case in the namespace it was started in; one JSON line per case. */
const CASES: readonly { readonly name: string; run(): Promise<void> }[] = [
  {
    name: 'offloads: all that the kernel knows, also on a device that was there before, and less when asked',
    run: async () => {
      const ALL = 0x6f
      const first = openTun('po', { offloads: true, persist: true })
      assert.equal(first.offloads, ALL)
      first.close()
      assert.match(features('po'), /tcp-segmentation-offload: on/)
      const none = openTun('po', { persist: true })
      assert.equal(none.offloads, 0)
      assert.match(features('po'), /tcp-segmentation-offload: off/)
      none.close()
      assert.equal(openTun('po', { offloads: 0x07 }).offloads, 0x07)
    },
  },
  {
    name: 'headroom and the space around packets stay as they were, in receiving and in sending',
    run: async () => {
      const { port, far } = tunWithPeer('ph')
      const b = superBatch(8, 2048)
      b.arena.fill(0xa5)
      for (let n = 0; n < 8; n++) far.sendOne(to('10.83.0.2'), new Uint8Array(100 + n))
      await recvAll(port, b, 8)
      for (let i = 0; i < 8; i++) {
        const end = slotAt(b, i) + (b.lens[i] ?? 0)
        const around = Buffer.concat([b.arena.subarray(i * 2048, slotAt(b, i)), b.arena.subarray(end, (i + 1) * 2048)])
        assert.ok(around.every((v) => v === 0xa5))
        assert.equal(b.lens[i], 128 + i)
        assert.equal(b.gso[i], CSUM_MISSING)
      }
      const before = b.arena.slice()
      const jobs = [3, 4, 5].flatMap((i) => [slotAt(b, i), b.lens[i] ?? 0, 0])
      assert.equal(port.sendSuper(b.arena, outgoing(jobs)), 3)
      // At the very start of the arena there is nothing in front to borrow.
      assert.equal(port.sendSuper(b.arena.subarray(HEADROOM), outgoing([0, b.lens[0] ?? 0, 0])), 1)
      assert.deepEqual(b.arena, before)
      port.close()
      far.close()
    },
  },
  {
    name: 'a packet longer than its slot is dropped and counted, in every slot',
    run: async () => {
      const { port, far } = tunWithPeer('pl')
      const b = superBatch(2, HEADROOM + 300)
      for (const bytes of [272, 273, 100, 900, 101]) far.sendOne(to('10.83.0.2'), new Uint8Array(bytes))
      const got: number[] = []
      for (let i = 0; i < 100 && got.length < 3; i++) {
        if (port.recvSuper(b) === 0) await pause(5)
        for (let k = 0; k < b.count; k++) got.push(b.lens[k] ?? 0)
      }
      assert.deepEqual(got, [300, 128, 129])
      assert.equal(port.counters.oversizedIn, 2)
      port.close()
      far.close()
    },
  },
  {
    name: 'what claims to be a super-packet and is none is refused and counted, its neighbours go',
    run: async () => {
      const { port } = tunWithPeer('pr')
      const arena = new Uint8Array(4096)
      const packet = udpPacket(500)
      arena.set(packet, 64)
      arena.fill(0x11, 2000, 2100)
      const good = [64, packet.length, 100]
      const bad = [
        [2000, 100, 100],
        [64, packet.length - 1, 100],
        [64, 20, CSUM_MISSING],
      ]
      assert.equal(port.sendSuper(arena, outgoing([...good, ...bad.flat(), ...good])), 5)
      assert.deepEqual(pick(port, 'out', 'superOut', 'refusedOut'), [2, 2, 3])
      for (const wrong of [
        [-1, 10, 0],
        [4090, 10, 0],
        [0, -5, 0],
        [0, 10, -1],
        [0, 10, 65_536],
      ])
        assert.throws(() => port.sendSuper(arena, outgoing([...good, ...wrong])), RangeError)
      assert.deepEqual(pick(port, 'out'), [2])
      port.close()
    },
  },
  {
    name: 'a header that lies about its frame, sent over a real link, is dropped at the other end and counted; truth passes',
    run: async () => {
      veth('qa', 'qb')
      const [a, b] = [openPacketSocket('qa'), openPacketSocket('qb')]
      const frame = framed(udpPacket(2000))
      const lying = Buffer.from(frame)
      lying.writeUInt16BE(2000 + 28 + 500, 16)
      sendRaw(a, lying, 1000)
      sendRaw(a, frame, 1000)
      const into = superBatch(4)
      await recvAll(b, into, 1)
      assert.deepEqual([into.gso[0], into.lens[0]], [1000, frame.length])
      assert.deepEqual(pick(b, 'in', 'superIn', 'badIn'), [1, 1, 1])
      for (const port of [a, b]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'an interface that goes away under load is told once; sending and receiving stay calm, in every kind',
    run: async () => {
      veth('qa', 'qb')
      const kinds: readonly (readonly [string, InterfacePort])[] = [
        ['qa', openPacketSocket('qa')],
        ['ga', openTun('ga', { offloads: true })],
        ['ta', openTap('ta', { offloads: true })],
      ]
      for (const [name, port] of kinds) {
        ip('link', 'set', name, 'up')
        let told = 0
        const b = superBatch(16)
        port.onGone(() => told++)
        port.onReadable(() => {
          while (port.recvSuper(b) > 0);
        })
        const packet = udpPacket(3000)
        const arena = name === 'ga' ? packet : Uint8Array.from(framed(packet))
        let sending = true
        const load = (async () => {
          while (sending) {
            for (let i = 0; i < 20; i++)
              port.sendSuper(arena, outgoing(Array.from({ length: 32 }, () => [0, arena.length, 1000]).flat()))
            await new Promise((resolve) => setImmediate(resolve))
          }
        })()
        await pause(20)
        assert.ok(port.counters.superOut > 0)
        ip('link', 'del', name)
        await until(() => told === 1)
        await pause(30)
        sending = false
        await load
        assert.equal(told, 1)
        assert.equal(port.gone, true)
        assert.equal(port.recvSuper(b), 0)
        const c = port.counters
        assert.equal(port.sendSuper(arena, outgoing([0, arena.length, 1000])), 0)
        assert.deepEqual(port.counters, c)
        port.close()
      }
    },
  },
  {
    name: 'an MTU that shrinks under load: what no longer fits is refused and counted, what fits goes, and all goes again after',
    run: async () => {
      veth('qa', 'qb')
      const [a, b] = [openPacketSocket('qa'), openPacketSocket('qb')]
      const [small, large, super_] = [400, 1400, 3000].map((n) => framed(udpPacket(n)))
      const arena = Uint8Array.from(Buffer.concat([small, large, super_] as Buffer[]))
      const [s = 0, l = 0, u = 0] = [small?.length, large?.length, super_?.length]
      // The segments of the super-packet fit both MTUs.
      const all = [0, s, 0, s, l, 0, s + l, u, 300, 0, s, CSUM_MISSING]
      assert.equal(a.sendSuper(arena, outgoing(all)), 4)
      ip('link', 'set', 'qa', 'mtu', '1000')
      for (let n = 0; n < 50; n++) assert.equal(a.sendSuper(arena, outgoing(all)), 4)
      assert.deepEqual(pick(a, 'out', 'superOut', 'refusedOut'), [4 + 150, 51, 50])
      ip('link', 'set', 'qa', 'mtu', '1500')
      assert.equal(a.sendSuper(arena, outgoing(all)), 4)
      assert.deepEqual(pick(a, 'out', 'refusedOut'), [158, 50])
      const into = superBatch(64)
      await recvAll(b, into, 64)
      for (const port of [a, b]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'a full port: sending neither waits nor keeps memory, and every packet is counted out or full',
    run: async () => {
      veth('qa', 'qb')
      // A slow link: what leaves the qdisc is a trickle, so the socket's send buffer fills.
      tc('qdisc', 'add', 'dev', 'qa', 'root', 'tbf', 'rate', '64kbit', 'burst', '20000', 'limit', '100000000')
      const a = openPacketSocket('qa', { bufferBytes: 1 << 18 })
      const frame = framed(udpPacket(1400))
      const jobs = outgoing(Array.from({ length: 64 }, () => [0, frame.length, 0]).flat())
      const before = process.memoryUsage().external
      let refusedSome = false
      for (let n = 0; n < 200; n++) if (a.sendSuper(frame, jobs) < 64) refusedSome = true
      assert.ok(refusedSome)
      const [out = 0, full = 0] = pick(a, 'out', 'fullOut')
      assert.equal(out + full, 200 * 64)
      assert.ok(full > 10_000)
      assert.ok(process.memoryUsage().external - before < 1 << 20)
      a.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'a slow reader: what the kernel drops for it is counted, and reading goes on',
    run: async () => {
      veth('qa', 'qb')
      const [a, b] = [openPacketSocket('qa'), openPacketSocket('qb', { bufferBytes: 1 << 16 })]
      const frame = etherFrame(0, 1000)
      const jobs = outgoing(Array.from({ length: 64 }, () => [0, frame.length, 0]).flat())
      for (let n = 0; n < 40; n++) a.sendSuper(frame, jobs)
      const into = superBatch(64, 2048)
      await until(() => b.counters.lostIn > 1000)
      while (b.recvSuper(into) > 0);
      const [got = 0, lost = 0] = pick(b, 'in', 'lostIn')
      assert.equal(got + lost, 40 * 64)
      assert.equal(a.sendSuper(frame, jobs), 64)
      await recvAll(b, into, 1)
      for (const port of [a, b]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'a TUN whose reader sleeps holds as many packets as it was told, and no more',
    run: async () => {
      const { port, far } = tunWithPeer('pq', 50)
      for (let n = 0; n < 500; n++) far.sendOne(to('10.83.0.2'), new Uint8Array(100))
      await pause(20)
      const b = superBatch(64, 2048)
      let got = 0
      while (port.recvSuper(b) > 0) got += b.count
      // A few may have been taken by the device's queue beside the ring.
      assert.ok(got >= 50 && got <= 60, `${got}`)
      port.close()
      far.close()
    },
  },
  {
    name: 'several queues of one TUN: a flow stays on one, flows use more than one',
    run: async () => {
      const queues = Array.from({ length: 4 }, () => openTun('pm', { offloads: true, multiQueue: true }))
      assert.equal(new Set(queues.map((q) => q.ifindex)).size, 1)
      ip('address', 'add', '10.83.0.1/24', 'dev', 'pm')
      ip('link', 'set', 'pm', 'up')
      const seen = await queuesOf(queues, () => {
        const flows = Array.from({ length: 32 }, () => createSocket('udp4').bind(0))
        for (let n = 0; n < 20; n++) for (const flow of flows) flow.send(new Uint8Array(64), 9, '10.83.0.2')
        return flows
      })
      assert.equal(seen.size, 32)
      for (const [flow, at] of seen) assert.equal(at.size, 1, `flow ${flow} came from queues ${[...at]}`)
      assert.ok(new Set([...seen.values()].flatMap((at) => [...at])).size > 1)
      for (const q of queues) q.close()
    },
  },
  {
    name: 'a fanout group shares what arrives: a flow and its answers at one socket, flows at more than one',
    run: async () => {
      veth('qa', 'qb')
      const sockets = Array.from({ length: 4 }, () => openPacketSocket('qb', { fanout: 4330, vnet: true }))
      const sender = openPacketSocket('qa')
      const seen = await queuesOf(sockets, () => {
        for (let n = 0; n < 10; n++)
          for (let flow = 0; flow < 32; flow++)
            for (const back of [false, true]) {
              const frame = framed(udpPacket(40, 1000 + flow, back))
              sender.sendSuper(frame, outgoing([0, frame.length, 0]))
            }
        return []
      })
      assert.equal(seen.size, 32)
      for (const [flow, at] of seen) assert.equal(at.size, 1, `flow ${flow} came to sockets ${[...at]}`)
      assert.ok(new Set([...seen.values()].flatMap((at) => [...at])).size > 1)
      assert.equal(
        sockets.reduce((n, s) => n + s.counters.in, 0),
        640,
      )
      assert.throws(() => openPacketSocket('qb', { fanout: 4330, receive: false }), RangeError)
      for (const port of [sender, ...sockets]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'past the queue discipline: frames arrive the same',
    run: async () => {
      veth('qa', 'qb')
      tc('qdisc', 'add', 'dev', 'qa', 'root', 'tbf', 'rate', '8bit', 'burst', '1600', 'limit', '3000')
      const [a, b] = [openPacketSocket('qa', { bypassQueue: true }), openPacketSocket('qb')]
      const frame = framed(udpPacket(3000))
      a.sendSuper(frame, outgoing(Array.from({ length: 20 }, () => [0, frame.length, 1000]).flat()))
      await recvAll(b, superBatch(32), 20)
      for (const port of [a, b]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'a socket without headers makes checksums itself, and cuts super-packets itself',
    run: async () => {
      veth('qa', 'qb')
      const [a, b] = [openPacketSocket('qa', { vnet: false }), openPacketSocket('qb', { vnet: false })]
      const frame = framed(udpPacket(333))
      const arena = Buffer.concat([frame, frame])
      a.sendSuper(arena, outgoing([0, frame.length, CSUM_MISSING, frame.length, frame.length, 100]))
      const into = superBatch(8)
      const got: Uint8Array[] = []
      for (let i = 0; i < 500 && got.length < 5; i++) {
        if (b.recvSuper(into) === 0) await pause(5)
        for (let k = 0; k < into.count; k++)
          got.push(into.arena.slice(slotAt(into, k), slotAt(into, k) + (into.lens[k] ?? 0)))
      }
      assert.deepEqual(
        got.map((f) => [f.length - 42, frameFault(f, 1500)]),
        [333, 100, 100, 100, 33].map((n) => [n, null]),
      )
      assert.ok(got.every((f) => (f[40] ?? 0) + (f[41] ?? 0) !== 0))
      assert.deepEqual(pick(a, 'out', 'superOut', 'gsoRefused', 'refusedOut'), [5, 0, 1, 0])
      for (const port of [a, b]) port.close()
      ip('link', 'del', 'qa')
    },
  },
  {
    name: 'a run too long for a path is refused whole, told with the path MTU, and other runs still travel whole',
    run: async () => {
      ip('route', 'add', 'local', '10.84.0.0/24', 'dev', 'lo', 'mtu', 'lock', '1000')
      const [far, near, out] = [openUdpRuns({ port: 0 }), openUdpRuns({ port: 0 }), openUdpRuns({ port: 0 })]
      const mtus: (number | null)[] = []
      out.onError((e) => mtus.push(e.pathMtuBytes))
      out.onReadable(() => out.recv(datagramRuns(1)))
      const addrs = Buffer.concat([ip16(addr('10.84.0.1')), ip16(addr('127.0.0.1'))])
      const arena = new Uint8Array(28_000)
      const runs = {
        arena,
        runs: Int32Array.of(0, 0, 28_000, 1400, 1, 0, 28_000, 1400, 0, 0, 9000, 900),
        count: 3,
        datagrams: 0,
      }
      out.send(runs, addrs, Uint16Array.of(far.port, near.port))
      const { out: sent, refusedOut, superOut, gsoRefused } = out.counters
      assert.deepEqual(
        { sent, refusedOut, superOut, gsoRefused },
        { sent: 30, refusedOut: 20, superOut: 2, gsoRefused: 0 },
      )
      await until(() => mtus.includes(1000))
      for (const port of [far, near, out]) port.close()
    },
  },
]

function tunWithPeer(name: string, queuePackets = 1000): { port: InterfacePort; far: UdpRuns } {
  const port = openTun(name, { offloads: true, queuePackets })
  ip('address', 'add', '10.83.0.1/24', 'dev', name)
  ip('link', 'set', name, 'up')
  return { port, far: openUdpRuns({ port: 0, bufferBytes: 16 << 20 }) }
}

/** An Ethernet frame of it. */
const framed = (packet: Uint8Array): Buffer =>
  Buffer.concat([etherFrame(0, 14).subarray(0, 12), Uint8Array.of(8, 0), packet])

function veth(a: string, b: string): void {
  ip('link', 'add', a, 'type', 'veth', 'peer', 'name', b)
  for (const name of [a, b]) ip('link', 'set', name, 'up')
  for (const name of [a, b]) while (!ip('link', 'show', name).includes('state UP')) Atomics.wait(NEVER, 0, 0, 5)
}

/** UDP 10.83.0.2 → 10.83.1.2 (or back) with a right IPv4 header; the checksum field holds nothing. */
function udpPacket(payload: number, port = 1000, back = false): Uint8Array {
  const p = new Uint8Array(28 + payload).fill(0x42)
  const [from, dest] = back
    ? [
        [10, 83, 1, 2],
        [10, 83, 0, 2],
      ]
    : [
        [10, 83, 0, 2],
        [10, 83, 1, 2],
      ]
  const ports = [port >> 8, port & 255, 0x10, 0xea]
  p.set([0x45, 0, p.length >> 8, p.length & 255, 0, 1, 0x40, 0, 64, 17, 0, 0, ...(from ?? []), ...(dest ?? [])])
  p.set(
    [...(back ? [...ports.slice(2), ...ports.slice(0, 2)] : ports), (payload + 8) >> 8, (payload + 8) & 255, 0, 0],
    20,
  )
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += ((p[i] ?? 0) << 8) | (p[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  p.set([(~sum >> 8) & 255, ~sum & 255], 10)
  return p
}

/** One frame with a virtio-net header of our own: UDP segments of `size`. */
function sendRaw(port: InterfacePort, frame: Uint8Array, size: number): void {
  const slotBytes = HEADROOM + frame.length
  const arena = new Uint8Array(slotBytes)
  arena.set(frame, HEADROOM)
  const virtio = new Uint16Array(new Uint8Array([1, 5, 42, 0, size & 255, size >> 8, 34, 0, 6, 0]).buffer)
  const lens = Uint32Array.of(frame.length)
  assert.equal(port.send({ arena, view: new DataView(arena.buffer), lens, slotBytes, count: 1, virtio } as never), 1)
}

/** By UDP port in 1000–1031, or any when there is only one side: at which ports its packets came. */
async function queuesOf(
  ports: readonly InterfacePort[],
  send: () => readonly { close(): void }[],
): Promise<Map<number, Set<number>>> {
  const seen = new Map<number, Set<number>>()
  for (const [q, port] of ports.entries()) {
    const b = superBatch(16)
    port.onReadable(() => {
      while (port.recvSuper(b) > 0)
        for (let i = 0; i < b.count; i++) {
          const at = slotAt(b, i) + (b.arena[slotAt(b, i)] === 0x45 ? 0 : 14)
          if (b.arena[at] !== 0x45 || b.arena[at + 9] !== 17) continue
          const [from, dest] = [b.view.getUint16(at + 20), b.view.getUint16(at + 22)]
          const flow = from === 0x10ea ? dest : from
          seen.set(flow, (seen.get(flow) ?? new Set()).add(q))
        }
    })
  }
  const senders = send()
  await pause(300)
  for (const s of senders) s.close()
  return seen
}

async function recvAll(port: InterfacePort, b: SuperBatch, count: number): Promise<void> {
  let got = 0
  for (let i = 0; i < 500 && got < count; i++) {
    got += port.recvSuper(b)
    if (got < count) await pause(10)
  }
  assert.ok(got >= count, `${got} of ${count} packets`)
}

const outgoing = (jobs: readonly number[]): Outgoing => ({ jobs: Int32Array.from(jobs), count: jobs.length / 3 })
const pick = (port: InterfacePort, ...names: (keyof InterfacePort['counters'])[]): number[] =>
  names.map((n) => port.counters[n])
const to = (text: string): { ip: Ip; port: number } => ({ ip: addr(text), port: 9 })
const features = (link: string): string => run('ethtool', '-k', link)
const tc = (...args: readonly string[]): string => run('tc', ...args)
const NEVER = new Int32Array(new SharedArrayBuffer(4))

function addr(text: string): Ip {
  const parsed = parseIp(text)
  if (parsed === null) throw new Error(text)
  return parsed
}

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { stdio: 'pipe' }).toString()
}

sysctl('net.ipv6.conf.all.disable_ipv6', '1')
sysctl('net.ipv6.conf.default.disable_ipv6', '1')
ip('link', 'set', 'lo', 'up')
for (const { name, run: attempt } of CASES) {
  let fault = ''
  try {
    await attempt()
  } catch (error) {
    fault = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  process.stdout.write(`${JSON.stringify({ name, fault })}\n`)
}
process.exit(0)
