import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const CHILD = join(import.meta.dirname, 'machine-child.ts')
let namespace = ''
let serial = 0

beforeEach(() => {
  namespace = `ntm-mc-${process.pid}-${serial++}`
  execFileSync('ip', ['netns', 'add', namespace])
})
afterEach(() => {
  execFileSync('ip', ['netns', 'del', namespace])
})

describe('nftables', () => {
  test('a script is applied whole or not at all, and a refusal carries what nft said', () => {
    const [refused, checked] = act('apply')
    expect(refused).toMatchObject({ code: 'EXIT_1', message: expect.stringContaining('nowhere') })
    expect(checked).toBe('fine')
    expect(ruleset()).toContain('table inet one')
    expect(ruleset()).not.toMatch(/table inet (two|three)/)
  })

  test('owned tables: refusals are told per command, and a kill -9 of the owner removes the tables', async () => {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, CHILD, 'own'])
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await until(() => said.includes('"ready"'))
    const [missing, half, syntax, elements, ready] = lines(said)
    expect(missing).toMatchObject({ code: 'REFUSED', message: expect.stringContaining('No such file or directory') })
    expect(half).toMatchObject({ code: 'REFUSED' })
    expect(syntax).toMatchObject({ code: 'REFUSED', message: expect.stringContaining('this is no command') })
    expect(elements).toBe(true)
    expect(ruleset()).toMatch(/table ip owned \{.*flags owner.*10\.0\.0\.19.*192\.0\.2\.1/s)
    expect(ruleset()).toContain('a # is kept')
    expect(ruleset()).not.toContain('table inet half')
    // `ip netns exec` replaces itself by node, so the child's process id is the owner's.
    child.kill('SIGKILL')
    await until(() => !ruleset().includes('table ip owned'))
    await until(() => !alive((ready as { ready: number }).ready))
  })

  test('the end of the nft child is told, and what waits or comes later is refused', async () => {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, CHILD, 'own'])
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await until(() => said.includes('"ready"'))
    process.kill((lines(said).at(-1) as { ready: number }).ready, 'SIGKILL')
    await until(() => said.includes('{"exit":"SIGKILL"}'))
    expect(ruleset()).not.toContain('table ip owned')
    child.kill('SIGKILL')
  })

  test('close removes the tables without an alarm; a later command is refused', () => {
    const said = act('close')
    expect(said).toEqual([expect.objectContaining({ code: 'EXIT_0' })])
    expect(ruleset()).toBe('')
  })
})

describe('links', () => {
  test('links, addresses and routes are listed', () => {
    const [links, addresses, routes, current, refused] = act('list')
    expect(links).toContainEqual({
      ifindex: expect.any(Number),
      name: 'va',
      linkAddr: 0x02000000000a,
      mtuBytes: 1400,
      up: true,
      carrier: true,
      kind: 'veth',
      master: null,
    })
    expect(links).toContainEqual(expect.objectContaining({ name: 'vb', master: 'br0' }))
    expect(addresses).toContainEqual(
      expect.objectContaining({ ifname: 'va', ip: 0x0a010203, bits: 24, scope: 'global' }),
    )
    expect(addresses).toContainEqual(
      expect.objectContaining({ ip: `fd00${'0'.repeat(27)}3`, bits: 64, tentative: false }),
    )
    expect(routes).toContainEqual({
      to: null,
      family: 4,
      via: 0x0a010209,
      ifname: 'va',
      metric: 7,
      type: 'unicast',
    })
    expect(routes).toContainEqual(expect.objectContaining({ to: { base: 0x0a090000, bits: 16 }, type: 'blackhole' }))
    expect(routes).toContainEqual(
      expect.objectContaining({ family: 6, to: { base: `20010db8${'0'.repeat(24)}`, bits: 32 }, ifname: 'va' }),
    )
    expect(current).toContainEqual(expect.objectContaining({ name: 'va', mtuBytes: 1400, linkAddr: 0x02000000000a }))
    expect(refused).toMatchObject({ code: 'EXIT_1', message: expect.stringContaining('nowhere') })
  })

  test('links, carrier, addresses and routes are told as they change', () => {
    const told = new Map(act('links').map((v) => [(v as Told).line, (v as Told).seen]))
    const seen = (line: string): readonly string[] => told.get(line) ?? []
    expect(seen('link add va type veth peer name vb')).toContain('new va up=false carrier=false')
    expect(seen('link set va up')).toContain('link va up=true carrier=false')
    expect(seen('link set vb up')).toContain('link va up=true carrier=true')
    expect(seen('address add 10.1.2.3/24 dev va')).toContain(
      '{"kind":"address-added","ifindex":0,"ip":167838211,"bits":24,"tentative":false}',
    )
    expect(seen('route add default via 10.1.2.9')).toContain(
      '{"kind":"route-added","family":4,"to":null,"via":167838217,"ifindex":0,"table":254}',
    )
    // Leaving a bridge is not leaving the machine.
    expect(seen('link set vb nomaster').filter((s) => s.startsWith('gone'))).toEqual([])
    expect(seen('link set vb nomaster')).toContain('link vb up=true carrier=true')
    expect(seen('link set vb down')).toContain('link va up=true carrier=false')
    expect(seen('address del 10.1.2.3/24 dev va')).toContain(
      '{"kind":"address-removed","ifindex":0,"ip":167838211,"bits":24,"tentative":false}',
    )
    expect(seen('link del va')).toEqual(expect.arrayContaining(['gone va', 'gone vb']))
  })
})

type Told = { readonly line: string; readonly seen: readonly string[] }

function act(deed: string): unknown[] {
  const done = spawnSync('ip', ['netns', 'exec', namespace, process.execPath, CHILD, deed], { timeout: 60_000 })
  expect(done.status, done.stderr.toString()).toBe(0)
  return lines(done.stdout.toString())
}

const lines = (said: string): unknown[] =>
  said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
const ruleset = (): string => execFileSync('ip', ['netns', 'exec', namespace, 'nft', 'list', 'ruleset']).toString()

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    // Expected: no such process.
    return false
  }
}

/** The bound is for broken code; how fast it is is measured elsewhere. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 25))
  expect(holds()).toBe(true)
}
