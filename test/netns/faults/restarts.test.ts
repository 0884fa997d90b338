import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_SHA256, sha256 } from '#lab/content.ts'
import { until } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { datagramsOf } from './pcap.ts'
import { pause, Rig } from './rig.ts'

// Programs killed as a power cut would and started again, on the real system, with a download under way and a capture of
// everything on UDP 4330.

const RECORDS = Array.from({ length: 20 }, (_, i) => `name${i} AAAA ${PLACE.web6.ip6}`)
const NTM_PORT = 4330

describeLab('restarts', () => {
  let rig: Rig
  let capture: string
  let stopCapture: () => Promise<void>
  beforeAll(async () => {
    rig = await Rig.up({ records: RECORDS })
    // One frame per datagram: the devices cut runs of them, as plain network cards would.
    for (const [room, link] of [
      ['tt', PLACE.tt.link],
      ['inet', 'tt'],
    ] as const)
      await rig.scene.lab.must(room, 'ethtool', ['-K', link, 'gso', 'off', 'tx-udp-segmentation', 'off'])
    capture = join(rig.scene.lab.dir, 'all.pcap')
    const tcpdump = rig.scene.lab.spawn('tt', 'tcpdump', 'tcpdump', [
      '-i',
      PLACE.tt.link,
      '-U',
      '--immediate-mode',
      '-s',
      '128',
      '-w',
      capture,
      `udp port ${NTM_PORT}`,
    ])
    await tcpdump.line(/listening on/)
    stopCapture = () => tcpdump.stop()
    await rig.warm()
  })
  afterAll(() => rig?.dispose())

  test('the coordinator is killed and started again during a download: its checksum is right, and names work on', async () => {
    const [machine, rows] = [await rig.machine(), rig.rows()]
    const file = join(rig.scene.lab.dir, 'download')
    // Slow enough to be under way all the time.
    const download = rig.scene.lab.run(
      'host',
      'curl',
      ['-sS', '--fail', '--max-time', '60', '--limit-rate', '25M', '-o', file, `http://${PLACE.web6.name}/100m.bin`],
      { limitMs: 70_000 },
    )
    await pause(700)
    await rig.kill('coordinator')
    await pause(1000)
    await rig.again('coordinator')
    const done = await download
    expect([done.code, done.stderr]).toEqual([0, ''])
    expect(await sha256(file)).toBe(BIG_SHA256)
    await works(rig, 'name0.example', 10_000)
    expect(rig.lines('tt').filter((l) => l.event === 'tunnel.closed')).toEqual([])
    expect(rig.rows(['member', 'pin', 'host', 'token'])).toBe(only(rows, ['member', 'pin', 'host', 'token']))
    expect(await rig.machine()).toBe(machine)
  })

  test('the terminator is killed and started again: the next request works within 10 s, and nothing is there twice', async () => {
    const [machine, members] = [await rig.machine(), rig.rows(['member', 'pin', 'host', 'token'])]
    await rig.kill('tt')
    await rig.again('tt')
    const began = performance.now()
    await until('the page comes again', async () => ((await rig.page(1)) ? true : null), 10_000)
    await works(rig, 'name1.example', 10_000 - (performance.now() - began))
    expect(await rig.machine()).toBe(machine)
    expect(rig.rows(['member', 'pin', 'host', 'token'])).toBe(members)
    await drained(rig)
  })

  test('the bridge is killed and started again: the same, with the same virtual addresses', async () => {
    const [machine, members] = [await rig.machine(), rig.rows(['member', 'pin', 'host', 'token'])]
    const before = await rig.ask('name1.example')
    await rig.kill('bridge')
    await rig.again('bridge')
    await until('the page comes again', async () => ((await rig.page(1)) ? true : null), 10_000)
    await works(rig, 'name1.example', 5000)
    expect(addressOf(await rig.ask('name1.example'))).toBe(addressOf(before))
    expect(await rig.machine()).toBe(machine)
    expect(rig.rows(['member', 'pin', 'host', 'token'])).toBe(members)
    await drained(rig)
  })

  test('attack 1: in everything captured over these restarts no (Path ID, epoch, lane, counter, D) is there twice', async () => {
    for (let i = 0; i < 3; i++) {
      await rig.kill(i === 1 ? 'tt' : 'bridge')
      await rig.again(i === 1 ? 'tt' : 'bridge')
      await until('the page comes again', async () => ((await rig.page(1)) ? true : null), 10_000)
    }
    await stopCapture()
    const seen = new Map<string, string>()
    const twice: string[] = []
    const epochs = new Set<string>()
    for (const bytes of datagramsOf(readFileSync(capture))) {
      // Class 4, and only whole headers: D is bit 7, the lane bits 5 and 4 of the flags.
      if (bytes[0] !== 0x14 || bytes.length < 32) continue
      const [d, lane] = [(bytes[1] ?? 0) >> 7, ((bytes[1] ?? 0) >> 4) & 3]
      const [epoch, path, counter] = [bytes.subarray(2, 4), bytes.subarray(4, 10), bytes.subarray(10, 16)].map((b) =>
        Buffer.from(b).toString('hex'),
      )
      const key = `${path} ${epoch} ${lane} ${counter} ${d}`
      const digest = createHash('sha256').update(bytes).digest('hex')
      if (seen.has(key)) twice.push(key)
      seen.set(key, digest)
      epochs.add(`${path} ${epoch} ${d}`)
    }
    expect(seen.size).toBeGreaterThan(10_000)
    expect(epochs.size).toBeGreaterThan(6)
    expect(twice).toEqual([])
  })
})

/** Asks for a name until the host gets a virtual address, at most `limitMs`. */
async function works(rig: Rig, name: string, limitMs: number): Promise<void> {
  await until(
    `${name} works`,
    async () => (addressOf(await rig.ask(name)).startsWith('198.19.') ? true : null),
    limitMs,
  )
}

/** The path of before is kept for 10 s (make before break), and not longer. */
async function drained(rig: Rig): Promise<void> {
  await until(
    'one path at both ends',
    async () => {
      const [tt, bridge] = [await rig.counters('tt'), await rig.counters('bridge')]
      const all = [tt['table.paths'], tt['table.customers'], bridge['table.paths']]
      return all.every((n) => n === 1) ? true : null
    },
    15_000,
    500,
  )
}

const addressOf = (got: { readonly answers: string }): string => got.answers.split(/\s+/).at(-1) ?? ''
const only = (rows: string, tables: readonly string[]): string =>
  rows
    .split('\n')
    .filter((l) => tables.some((t) => l.startsWith(`${t}:`)))
    .join('\n')
