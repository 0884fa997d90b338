import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { network } from '#cli/commands/network.ts'
import { token } from '#cli/commands/token.ts'
import { databaseFile, loadNetwork } from '#cli/compose/network-dir.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { parseToken } from '#ntm-lib/crypto/token.ts'
import { BoxMedia } from '#test/support/box-media.ts'

const CONFIG = 'role = "coordinator"\n[network]\ndir = "/var/lib/ntm/network"\n'

function media(): BoxMedia {
  const made = new BoxMedia()
  onTestFinished(() => made.destroy())
  return made
}

/** What an operator makes on his desk; `dir` below the box's own directory. */
async function makeNetwork(box: BoxMedia, dir: string, zone = 'ntm.example'): Promise<void> {
  const args = ['--name', 'x', '--zone', zone, '--endpoint', '192.0.2.1:4330']
  expect(await quietly(() => network(['init', '--dir', join(box.dir, dir), ...args]))).toMatch(/^network x/)
}
async function makeToken(box: BoxMedia, dir: string, name: string): Promise<string> {
  const said = await quietly(() => token(['create', '--dir', join(box.dir, dir), '--name', name, '--role', 'bridge']))
  return said.trim()
}
/** What a command prints. */
async function quietly(command: () => Promise<number>): Promise<string> {
  const write = process.stdout.write
  let said = ''
  process.stdout.write = ((text: string) => {
    said += text
    return true
  }) as typeof write
  try {
    await command()
  } finally {
    process.stdout.write = write
  }
  return said
}
const knows = (box: BoxMedia, dir: string, text: string): boolean => {
  const read = parseToken(nodeCrypto, text)
  if (!read.ok) throw new Error(read.text)
  const store = new SqliteStore(databaseFile(join(box.dir, dir)))
  try {
    return store.token(read.value.id) !== null
  } finally {
    store.close()
  }
}

test('a coordinator’s network is taken over, its keys leave the stick, the root’s stay', async () => {
  const box = media()
  await makeNetwork(box, 'desk')
  const made = await makeToken(box, 'desk', 'b1')
  cpSync(join(box.dir, 'desk'), join(box.dir, 'stick/network'), { recursive: true })
  box.write('stick/ntm.toml', CONFIG)
  expect(box.take()).toBe('changed')
  expect(loadNetwork(join(box.dir, 'data/ntm/network')).zone).toBe('ntm.example')
  expect(knows(box, 'data/ntm/network', made)).toBe(true)
  expect(box.list('stick/network')).toEqual(['root.json'])
  expect(existsSync(join(box.dir, 'data/ntm/network/root.json'))).toBe(false)
  expect(box.read('stick/ntm-report.txt')).toContain("removed from here: the network's keys in network/.")
  expect(box.read('stick/ntm-report.txt')?.replaceAll(/\s+/g, ' ')).toMatch(
    /root\.json was neither taken nor removed.*move it/,
  )
  expect(box.take()).toBe('same')
})

test('the same network again brings the tokens made since, and takes nothing away', async () => {
  const box = media()
  await makeNetwork(box, 'desk')
  cpSync(join(box.dir, 'desk'), join(box.dir, 'stick/network'), { recursive: true })
  box.write('stick/ntm.toml', CONFIG)
  box.take()
  const inside = await makeToken(box, 'data/ntm/network', 'b1')
  const outside = await makeToken(box, 'desk', 'b2')
  cpSync(join(box.dir, 'desk'), join(box.dir, 'stick/network'), { recursive: true })
  expect(box.take()).toBe('same')
  expect(box.said['why']).toContain('1 new enrolment tokens taken over')
  expect([inside, outside].map((text) => knows(box, 'data/ntm/network', text))).toEqual([true, true])
})

test('another network makes room for itself: the one before is kept aside', async () => {
  const box = media()
  for (const zone of ['one.example', 'two.example']) {
    await makeNetwork(box, zone, zone)
    cpSync(join(box.dir, zone), join(box.dir, 'stick/network'), { recursive: true })
    box.write('stick/ntm.toml', CONFIG)
    expect(box.take()).toBe('changed')
    expect(loadNetwork(join(box.dir, 'data/ntm/network')).zone).toBe(zone)
  }
  expect(loadNetwork(join(box.dir, 'data/ntm.before-1/network')).zone).toBe('one.example')
})

test('a damaged network is not taken, and nothing is removed; a coordinator without one is told', async () => {
  const box = media()
  await makeNetwork(box, 'stick/network')
  box.write('stick/network/network.json', '{"version": 1, ')
  box.write('stick/ntm.toml', CONFIG)
  expect(box.take()).toBe('same')
  expect(box.said).toMatchObject({
    state: 'refused',
    why: expect.stringContaining('the directory "network" is damaged'),
  })
  expect(box.list('data/ntm')).toEqual([])
  expect(existsSync(join(box.dir, 'data/config/ntm.toml'))).toBe(false)
  expect(box.list('stick/network')).toContain('network.json')
  box.remove('stick/network')
  expect(box.take()).toBe('changed')
  expect(box.said['why']).toContain('the coordinator has no network yet')
})
