import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ntm, scratch } from './ntm.ts'

const place = scratch()
afterAll(() => place.remove())

/** Each start of the command takes a fraction of a second; a busy machine may need more. */
const LONG = { timeout: 60_000 }

const file = (name: string, text: string): string => {
  const path = join(place.dir, name)
  writeFileSync(path, text)
  return path
}
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)

/** Text of a file, and what the one line on standard error must say. FILE stands for the file's path. */
const FILES: readonly (readonly [name: string, text: string, says: string])[] = [
  ['syntax', 'role = "bridge"\n[bridge\n', 'FILE:2: not valid TOML'],
  [
    'value',
    'role = "bridge"\n\n[bridge]\nfail = "opne"\n',
    'FILE:4: bridge.fail: expected "open" or "closed", got "opne"',
  ],
  [
    'key',
    'role = "bridge"\n[bridge]\nhots = "eth1"\n',
    'FILE:3: bridge.hots: unknown key. Check the spelling against examples/',
  ],
  [
    'prefix',
    'role = "tt"\n[tt]\nuplink = "eth0"\nresolvers = ["192.0.2.1"]\nallow = ["10.0.0.1/8"]\n',
    'FILE:5: tt.allow.0: expected a prefix ADDRESS/BITS whose host bits are zero, got "10.0.0.1/8". For example "10.0.0.0/8"',
  ],
]

test.each(FILES)(
  'ntm check: mistake of kind %s is told with file, line, what is wrong and what would be right',
  LONG,
  async (name, text, says) => {
    const path = file(`${name}.toml`, text)
    const { code, stderr, stdout } = await ntm('check', path)
    expect(stderr).toContain(says.replace('FILE', path))
    expect(stderr.trim().split('\n').length).toBe(1)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  },
)

test('every role refuses a mistake with the same words before it touches anything', LONG, async () => {
  for (const role of ['bridge', 'tt', 'coordinator']) {
    const path = file(
      `${role}-wrong.toml`,
      `role = "${role}"\nstate = "${place.dir}/never-${role}"\n[log]\nlevel = "loud"\n`,
    )
    const start = await ntm(role, '--config', path)
    expect(start.stderr).toContain(`${path}:4: log.level: expected "debug" or "info" or "warn" or "error", got "loud"`)
    expect(start.code).toBe(2)
    expect(existsSync(join(place.dir, `never-${role}`))).toBe(false)
  }
})

test('a file for another role, a missing file, a directory: said, with what to do', LONG, async () => {
  const path = file('bridge.toml', 'role = "bridge"\n')
  const [other, missing, directory, none] = await Promise.all([
    ntm('tt', '--config', path),
    ntm('bridge', '--config', join(place.dir, 'nowhere.toml')),
    ntm('check', place.dir),
    ntm('bridge'),
  ])
  expect([other.code, other.stderr.trim()]).toEqual([
    2,
    `${path}:1: role: this file is for role "bridge". Start it with: ntm bridge --config ${path}`,
  ])
  expect([missing.code, missing.stderr]).toEqual([
    2,
    expect.stringContaining('nowhere.toml: cannot be read (ENOENT). Give the path of a TOML file'),
  ])
  expect([directory.code, directory.stderr]).toEqual([2, expect.stringContaining('cannot be read (EISDIR)')])
  expect([none.code, none.stderr.trim()]).toEqual([2, 'ntm bridge: --config is missing'])
})

test('a garbled, a cut and an absent token: exit 2, the key, and what to paste; no key is made', LONG, async () => {
  const dir = join(place.dir, 'garbled')
  await ntm('network', 'init', '--dir', dir, '--name', 'x', '--zone', 'ntm.example', '--endpoint', '192.0.2.1:4330')
  const token = (await ntm('token', 'create', '--dir', dir, '--name', 'b1', '--role', 'bridge')).stdout.trim()
  const middle = token.length >> 1
  // Tokens are read in either case: another letter, not the other case of the same.
  const flipped = token.slice(0, middle) + (token[middle] === 'a' ? 'b' : 'a') + token.slice(middle + 1)
  for (const [i, text] of [flipped, token.slice(0, -5)].entries()) {
    const state = join(place.dir, `state-${i}`)
    const secret = file(`token-${i}`, text)
    const path = file(`garbled-${i}.toml`, `role = "bridge"\nstate = "${state}"\n[network]\ntoken_file = "${secret}"\n`)
    const { code, stderr } = await ntm('bridge', '--config', path)
    expect(stderr).toContain(`${path}: network.token_file: `)
    expect(stderr).toContain('Paste the whole token printed by ntm token create')
    expect(stderr.split('\n').filter((l) => /\bat .*\.ts:/.test(l))).toEqual([])
    expect(code).toBe(2)
    expect(existsSync(join(state, 'box.json'))).toBe(false)
  }
  const path = file('tokenless.toml', `role = "bridge"\nstate = "${place.dir}/state-none"\n`)
  const { code, stderr } = await ntm('bridge', '--config', path)
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('network.token: is missing, and this box is not a member yet'),
  ])
  expect(stderr).toContain('ntm token create --dir DIR --name NAME --role')
})

test('ntm member revoke: by name, and only somebody who is a member', LONG, async () => {
  const dir = join(place.dir, 'revoking')
  await ntm('network', 'init', '--dir', dir, '--name', 'plant', '--zone', 'ntm.example', '--endpoint', '192.0.2.1:4330')
  const { code, stderr } = await ntm('member', 'revoke', '--dir', dir, '--name', 'nobody')
  expect([code, stderr]).toEqual([2, expect.stringContaining('--name nobody: no member of that name')])
  expect((await ntm('member', 'invite', '--dir', dir, '--name', 'x')).stderr).toContain('the only action is "revoke"')
})

test('ntm network extend: another zone under the same root, a slice of its own, mistakes said', LONG, async () => {
  const [dir, to] = [join(place.dir, 'first'), join(place.dir, 'second')]
  const at = ['--endpoint', '192.0.2.1:4330']
  await ntm('network', 'init', '--dir', dir, '--name', 'x', '--zone', 'a.example', ...at)
  const extend = (zone: string, nodes4: string, into = to) =>
    ntm('network', 'extend', '--dir', dir, '--to', into, '--zone', zone, ...at, '--nodes4', nodes4)
  for (const [zone, nodes4, says] of [
    ['sub.a.example', '198.18.128.0/17', 'overlaps the zone a.example'],
    ['b.example', '10.0.0.0/16', 'expected a part of 198.18.0.0/16'],
    ['b.example', '198.18.0.0/16', 'expected a part of 198.18.0.0/16'],
  ] as const) {
    const refused = await extend(zone, nodes4)
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(says)])
  }
  const made = await extend('b.example', '198.18.128.0/17')
  expect([made.code, made.stderr]).toEqual([0, ''])
  const finger = (text: string): string | undefined => /"root":"?([0-9a-f]+)/.exec(text)?.[1]
  const [one, two] = [dir, to].map((d) => readFileSync(join(d, 'network.json'), 'utf8'))
  expect(finger(two ?? '')).toBe(finger(one ?? ''))
  expect(existsSync(join(to, 'root.json'))).toBe(false)
  const shown = await ntm('network', 'show', '--dir', to)
  expect(shown.stdout).toMatch(
    /^\[\[federation\]\]\nzone = "b\.example"\nendpoints = \["192\.0\.2\.1:4330"\]\nkey = "[0-9a-f]{64}"\n$/,
  )
  const again = await extend('c.example', '198.18.192.0/18', join(place.dir, 'third'))
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('198.18.128.0/17 is given away')])
  // The root of the first zone signs for the other one too.
  const tt = ['token', 'create', '--dir', to, '--name', 'tt1', '--role', 'tt']
  expect((await ntm(...tt)).stderr).toContain('--root')
  expect((await ntm(...tt, '--root', dir)).code).toBe(0)
})

test('ntm network init: keys 0600 in a directory 0700, never overwritten; tokens are one line', LONG, async () => {
  const dir = join(place.dir, 'network')
  const args = ['network', 'init', '--dir', dir, '--name', 'x', '--zone', 'ntm.example', '--endpoint', '192.0.2.1:4330']
  expect((await ntm(...args)).code).toBe(0)
  expect(mode(dir)).toBe('700')
  expect(
    readdirSync(dir)
      .toSorted()
      .map((f) => [f, mode(join(dir, f))]),
  ).toEqual([
    ['network.json', '600'],
    ['root.json', '600'],
  ])
  const before = readFileSync(join(dir, 'network.json'), 'utf8')
  const again = await ntm(...args)
  expect([again.code, again.stderr]).toEqual([
    2,
    expect.stringContaining('holds a network already; it is not overwritten'),
  ])
  expect(readFileSync(join(dir, 'network.json'), 'utf8')).toBe(before)
  const token = await ntm('token', 'create', '--dir', dir, '--name', 'b1', '--role', 'bridge')
  expect([token.code, token.stdout.trim().split('\n').length]).toEqual([0, 1])
  const nowhere = await ntm('token', 'create', '--dir', join(place.dir, 'empty'), '--name', 'b1', '--role', 'bridge')
  expect([nowhere.code, nowhere.stderr]).toEqual([
    1,
    expect.stringContaining('no network here; make one with ntm network init'),
  ])
  expect(nowhere.stderr).not.toContain('    at ')
})
