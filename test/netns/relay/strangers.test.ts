import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Seat } from '#lab/internet.ts'
import { ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'
import { datagramsOf } from '../faults/pcap.ts'

// alice ── symmetric NAT ──┐
// bob ──── symmetric NAT ──┤
// eve ─────────────────────┼── inet ── relay1: all that alice and bob say to each other goes through it
// victim ──────────────────┘
//
// eve has everything that ever came to the relay, and sends it again: as herself and as the victim.

describeLab('attack 8: strangers at a relay', () => {
  let scene: NodesScene
  let failed = false
  const capture = async (room: string, name: string, filter: string): Promise<[string, Program]> => {
    const file = join(scene.lab.dir, `${name}.pcap`)
    const options = ['-i', 'eth0', '-U', '--immediate-mode', '-Z', 'root', '-w', file]
    const program = scene.lab.spawn(room, name, 'tcpdump', [...options, filter])
    await program.line(/listening on/)
    return [file, program]
  }
  const lengths = (file: string): number[] => [...datagramsOf(readFileSync(file))].map((d) => d.length)
  const seats = new Map<string, Seat>()
  let record = ''

  beforeAll(async () => {
    scene = await nodes({ coordinator: { 'route.optimise': 'seed' } })
    for (const [room, kind] of [
      ['alice', 'symmetric'],
      ['bob', 'symmetric'],
      ['eve', 'v4-only'],
      ['victim', 'v4-only'],
    ] as const)
      seats.set(room, scene.machine(room, await scene.site(`s${room}`, kind)))
    const [file, program] = await capture('relay1', 'record', 'udp dst port 4330')
    await Promise.all([scene.node('alice'), scene.node('bob')])
    expect(await scene.reaches('alice', 'bob')).toBe(true)
    await scene.lab.run('alice', 'ping', ['-c', '20', '-i', '0.05', `bob.${scene.zone}`])
    expect(await scene.way('alice', 'bob')).toBe('relay')
    await program.stop()
    record = file
    const classes = new Set([...datagramsOf(readFileSync(record))].map((d) => d[0]))
    expect([...classes]).toEqual(expect.arrayContaining([0x13, 0x14, 0x15]))
  }, 90_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-relay')}\n`)
    scene?.dispose()
  })

  const attack = async (source: string): Promise<{ sent: number; sentBytes: number; answeredBytes: number }> => {
    const relay = scene.at['relay1']?.ip4 ?? ''
    const program = join(ROOT, 'test/netns/relay/attacker.ts')
    return JSON.parse(await scene.lab.must('eve', process.execPath, [program, source, relay, '4330', record]))
  }
  test('from a third address: nothing is forwarded, and less comes back than was sent', async () => {
    const relay = scene.at['relay1']?.ip4 ?? ''
    const [came, first] = await capture('relay1', 'came', `udp[4:2] = ${MARKED + 8} and dst host ${relay}`)
    const [went, second] = await capture('relay1', 'went', `udp[4:2] = ${MARKED + 8} and not dst host ${relay}`)
    const told = await attack('0.0.0.0')
    await Promise.all([first.stop(), second.stop()])
    expect(told.sent).toBeGreaterThan(100)
    expect(told.answeredBytes).toBeLessThan(told.sentBytes)
    // The filter saw what came, so it would have seen what went.
    expect(lengths(came).length).toBeGreaterThan(100)
    expect(lengths(went)).toEqual([])
    expect(await scene.reaches('alice', 'bob')).toBe(true)
  })

  test('with the source of a victim: nothing is forwarded, the victim gets no more than came in its name', async () => {
    const ip = seats.get('victim')?.ip4 ?? ''
    scene.lab.ip('eve', `addr add ${ip}/32 dev lo`)
    const [went, first] = await capture('relay1', 'marked', `udp[4:2] = ${MARKED + 8} and not src host ${ip}`)
    const [inward, second] = await capture('relay1', 'inward', `udp and src host ${ip}`)
    const [outward, third] = await capture('relay1', 'outward', `udp and dst host ${ip}`)
    const told = await attack(ip)
    await Promise.all([first.stop(), second.stop(), third.stop()])
    expect(told.answeredBytes).toBe(0)
    expect(sum(lengths(inward))).toBeGreaterThan(10_000)
    expect(sum(lengths(outward))).toBeLessThan(told.sentBytes)
    expect(lengths(went)).toEqual([])
    expect(await scene.reaches('alice', 'bob')).toBe(true)
    expect(await scene.way('alice', 'bob')).toBe('relay')
  })
})

/** Of what the attacker makes up, in bytes: nobody else's datagrams are that long. */
const MARKED = 777
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0)
