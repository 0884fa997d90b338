// Runs the bridge's nft scripts on the real kernel inside the namespace it was started in; one JSON line per case.
//
//   h0 ── host0 ─┬─ br0 ─┬─ net0 ── n0      h0, n0: the host's and the LAN's end, a packet socket on each
//                └ ntmx0 ┘                  ntmx0: the TAP that `fwd` feeds
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { LEARN_FILTER } from '#bridge/learn-filter.ts'
import {
  disarmScript,
  divertScript,
  guardScript,
  refreshScript,
  removeGuardScript,
  removeScript,
} from '#bridge/ruleset.ts'
import { applyNft, OwnedTables } from '#io/nft.ts'
import { type InterfacePort, openPacketSocket, openTap } from '#io/packet-native.ts'
import { batch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { frames, pause } from '#test/contract/packet-port.ts'
import { CASES, type FrameCase, PLAN, queryFor } from './bridge-rules-frames.ts'

type Leg = 'host' | 'net'
type Seen = { readonly across: number; readonly tap: number; readonly exact: boolean }

const ip = (line: string): void => void execFileSync('ip', line.split(' '), { stdio: 'pipe' })
for (const line of [
  'link add h0 type veth peer name host0',
  'link add n0 type veth peer name net0',
  'link set net0 address 02:00:00:00:00:bb',
  'link add br0 type bridge stp_state 0 mcast_snooping 0',
  'link set br0 address 02:00:00:00:00:bb',
  'link set host0 master br0',
  'link set net0 master br0',
  'link set host0 type bridge_slave group_fwd_mask 0xfffd',
  'link set net0 type bridge_slave group_fwd_mask 0xfffd',
])
  ip(line)
const tap = openTap('ntmx0')
for (const dev of ['h0', 'host0', 'n0', 'net0', 'br0', 'ntmx0']) {
  writeFileSync(`/proc/sys/net/ipv6/conf/${dev}/disable_ipv6`, '1')
  ip(`link set ${dev} ${dev === 'br0' ? '' : 'mtu 9000 '}up`)
}
const ends: Record<Leg, InterfacePort> = { host: openPacketSocket('h0'), net: openPacketSocket('n0') }
const into = batch(64, 10_000)
let tables = new OwnedTables()
const find = (title: string): FrameCase => CASES.find((c) => c.title === title) ?? assert.fail(title)
const DNS = find('query over IPv4')
const VIRTUAL = find('packet to a virtual IPv4 address')

await report('the guard alone keeps virtual addresses in and lets everything else across', async () => {
  await applyNft(guardScript(PLAN))
  await applyNft(guardScript(PLAN))
  for (const c of CASES) await expectCase(c.title, c.from, c.frame, c.virtual ? 'nowhere' : 'across')
})
await report('loaded but not armed, only packets to virtual addresses are taken', async () => {
  await tables.run(divertScript(PLAN))
  for (const c of CASES) {
    const where = c.taken === 'always' ? 'tap' : c.virtual ? 'nowhere' : 'across'
    await expectCase(c.title, c.from, c.frame, where)
  }
})
for (const c of CASES) {
  const where = c.taken !== 'never' ? 'tap' : c.virtual ? 'nowhere' : 'across'
  await report(`armed: ${c.title}: ${where}`, async () => {
    await tables.run(refreshScript(PLAN))
    await expectCase(c.title, c.from, c.frame, where)
  })
}
await report('kept armed by one refresh each second, without a gap', async () => {
  // Longer than the element lives, so that each refresh must really prolong it.
  const until = performance.now() + 4500
  for (let i = 0; performance.now() < until; i++) {
    if (i % 50 === 0) await tables.run(refreshScript(PLAN))
    const seen = await send(DNS.from, DNS.frame, 5)
    assert.deepEqual([seen.across, seen.tap], [0, 1], `frame ${i}`)
  }
})
await report('a program that hangs is out of the way after 3 s; virtual addresses stay taken', async () => {
  await tables.run(refreshScript(PLAN))
  const armed = performance.now()
  let healed = 0
  while (healed === 0 && performance.now() - armed < 6000) {
    const seen = await send(DNS.from, DNS.frame, 10)
    assert.equal(seen.across + seen.tap, 1, 'exactly once, also at the moment of change')
    if (seen.across === 1) healed = performance.now() - armed
  }
  assert.ok(healed > 2500 && healed < 3500, `healed after ${healed} ms`)
  await expectCase('virtual', 'host', VIRTUAL.frame, 'tap')
})
await report('disarmed at once, armed again at once', async () => {
  await tables.run(refreshScript(PLAN))
  await expectCase('armed', 'host', DNS.frame, 'tap')
  await tables.run(disarmScript())
  await expectCase('disarmed', 'host', DNS.frame, 'across')
  await tables.run(refreshScript(PLAN))
  await expectCase('armed', 'host', DNS.frame, 'tap')
})
await report('removed in order, the guard stays', async () => {
  await tables.run(removeScript())
  await expectCase('dns', 'host', DNS.frame, 'across')
  await expectCase('virtual', 'host', VIRTUAL.frame, 'nowhere')
  await tables.run(divertScript(PLAN))
})
await report('killed: DNS flows within 0.5 s, virtual addresses never go upstream', async () => {
  await tables.run(refreshScript(PLAN))
  await expectCase('dns', 'host', DNS.frame, 'tap')
  process.kill(tables.pid ?? 0, 'SIGKILL')
  const killed = performance.now()
  while ((await send('host', DNS.frame, 10)).across === 0) assert.ok(performance.now() - killed < 500)
  for (let i = 0; i < 20; i++) await expectCase('virtual', 'host', VIRTUAL.frame, 'nowhere')
  tables = new OwnedTables()
  await tables.run(divertScript(PLAN))
  await tables.run(refreshScript(PLAN))
  await expectCase('dns', 'host', DNS.frame, 'tap')
})
await report('fail = "closed": names of the zone stay in, others pass, with the program dead', async () => {
  await tables.run(disarmScript())
  await applyNft(guardScript({ ...PLAN, closed: ['ntm.example', 'a-rather-long-zone-name.example'] }))
  const ask = (name: string): Uint8Array => queryFor(name)
  const shut = ['bob.ntm.example', 'BoB.nTm.ExAmPlE', 'a.b.c.ntm.example', 'x.a-rather-long-zone-name.example']
  for (const name of [...shut, `${'y'.repeat(63)}.${'z'.repeat(63)}.ntm.example`])
    await expectCase(name, 'host', ask(name), 'nowhere')
  for (const name of ['ntm.example', 'bob.evilntm.example', 'ntm.example.org', 'x.b-rather-long-zone-name.example'])
    await expectCase(name, 'host', ask(name), 'across')
  await applyNft(guardScript(PLAN))
  await expectCase('open again', 'host', ask('bob.ntm.example'), 'across')
})
await report('the learning filter takes ARP, DHCP and neighbour discovery, tagged too, and nothing else', async () => {
  const learner = openPacketSocket('host0', { filter: LEARN_FILTER })
  for (const c of CASES.filter((one) => one.from === 'host')) {
    drain(learner)
    await send('host', c.frame, 25)
    const got = drain(learner)
    assert.equal(got.length, c.learnt ? 1 : 0, c.title)
    if (c.learnt) assert.deepEqual(Buffer.from(got[0] ?? []), Buffer.from(c.frame), c.title)
  }
  learner.close()
})
await report('everything goes', async () => {
  await tables.close()
  await applyNft(removeGuardScript())
  assert.equal(execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).trim(), '')
})
for (const port of [tap, ends.host, ends.net]) port.close()

async function expectCase(
  title: string,
  from: Leg,
  frame: Uint8Array,
  where: 'across' | 'tap' | 'nowhere',
): Promise<void> {
  const seen = await send(from, frame, 25)
  const want = { across: where === 'across' ? 1 : 0, tap: where === 'tap' ? 1 : 0, exact: true }
  assert.deepEqual(seen, want, title)
}

/** Sends one frame and looks where it came out; waits at least `ms` for a copy too many. */
async function send(from: Leg, frame: Uint8Array, ms: number): Promise<Seen> {
  const far = ends[from === 'host' ? 'net' : 'host']
  drain(far)
  drain(tap)
  into.arena.set(frame, slotAt(into, 0))
  into.lens[0] = frame.length
  into.count = 1
  assert.equal(ends[from].send(into), 1)
  await pause(ms)
  // The kernel's own chatter has other senders.
  const own = (f: Uint8Array): boolean => Buffer.from(f.subarray(6, 12)).equals(Buffer.from(frame.subarray(6, 12)))
  const [across, taken] = [drain(far).filter(own), drain(tap).filter(own)]
  const exact = [...across, ...taken].every((f) => Buffer.from(f).equals(Buffer.from(frame)))
  return { across: across.length, tap: taken.length, exact }
}

function drain(port: InterfacePort): Uint8Array[] {
  const got: Uint8Array[] = []
  while (port.recv(into) > 0) got.push(...frames(into))
  return got
}

async function report(name: string, run: () => Promise<void>): Promise<void> {
  let fault = ''
  try {
    await run()
  } catch (error) {
    fault = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  process.stdout.write(`${JSON.stringify({ name, fault })}\n`)
}
