import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { ConfigError } from './fault.ts'
import { checkConfig, loadConfig, loadRole } from './load.ts'

const complaint = (text: string): string => {
  try {
    checkConfig('box.toml', text)
  } catch (e) {
    if (e instanceof ConfigError) return e.message
    throw e
  }
  return 'no complaint'
}

test('defaults fill a minimal file', () => {
  const config = checkConfig('box.toml', 'role = "bridge"\n')
  expect(config).toMatchObject({ role: 'bridge', udp: { port: 4330 }, bridge: { host: 'host0', fail: 'open' } })
})

test('a wrong value is named with its line and what would be right', () => {
  expect(complaint('role = "bridge"\n\n[bridge]\nfail = "opne"\n')).toBe(
    'box.toml:4: bridge.fail: expected "open" or "closed", got "opne"',
  )
})

test('an unknown key is named with its line', () => {
  expect(complaint('role = "bridge"\n[bridge]\nhost = "eth0"\nhots = "eth1"\n')).toBe(
    'box.toml:4: bridge.hots: unknown key. Check the spelling against examples/',
  )
})

test('an unknown role lists the roles', () => {
  expect(complaint('role = "bride"\n')).toMatch(
    /^box\.toml:1: role: expected ("[a-z]+", )+"[a-z]+" or "[a-z]+", got "bride"\. For example role = "bridge"$/,
  )
})

test('a missing key says so and points at its table', () => {
  expect(complaint('role = "tt"\n[tt]\nresolvers = ["192.0.2.53"]\n')).toBe(
    'box.toml:2: tt.uplink: is missing. Add a string',
  )
})

test('a bad prefix says what a prefix looks like', () => {
  expect(complaint('role = "tt"\n[tt]\nuplink = "eth0"\nresolvers = ["::1"]\nallow = ["10.0.0.1/8"]\n')).toContain(
    'box.toml:5: tt.allow.0: expected a prefix ADDRESS/BITS whose host bits are zero, got "10.0.0.1/8". For example "10.0.0.0/8"',
  )
})

test('broken TOML points at its line', () => {
  expect(complaint('role = "bridge"\n[bridge\n')).toMatch(/^box\.toml:2: not valid TOML/)
})

test('all mistakes come at once', () => {
  expect(complaint('role = "bridge"\nstat = 1\n[udp]\nport = 70000\n').split('\n')).toHaveLength(2)
})

test('every example is a good file of its role', () => {
  const dir = join(import.meta.dirname, '../../../examples')
  const files = readdirSync(dir).filter((f) => f.endsWith('.toml'))
  expect(files.sort()).toEqual([
    'appliance.toml',
    'bridge.toml',
    'coordinator.toml',
    'node.toml',
    'relay.toml',
    'tt.toml',
  ])
  for (const file of files) {
    const role = file === 'appliance.toml' ? 'bridge' : file.replace('.toml', '')
    expect(loadConfig(join(dir, file)).role).toBe(role)
    // What is commented out for the appliance is good as well.
    const text = readFileSync(join(dir, file), 'utf8')
    const box = text.replaceAll(/^# (?=\[appliance|(hostname|address6?|resolvers|ntp|ssh_keys|log|host|net) = )/gm, '')
    if (role !== 'node') expect(box).toMatch(/^\[appliance\]$/m)
    expect(checkConfig(file, box).appliance.address6).toBe('auto')
  }
})

test('a file that is not there, and one of another role, say so', () => {
  expect(() => loadConfig('/nowhere/box.toml')).toThrow('/nowhere/box.toml: cannot be read (ENOENT)')
  const tt = join(import.meta.dirname, '../../../examples/tt.toml')
  expect(() => loadRole(tt, 'bridge')).toThrow(/this file is for role "tt". Start it with: ntm tt --config/)
})

test('source addresses of a terminator: single or FIRST-LAST, one entry of each family', () => {
  const tt = (addresses: string): string =>
    `role = "tt"\n[tt]\nuplink = "eth0"\nresolvers = ["192.0.2.53"]\naddresses = ${addresses}\n`
  const good = checkConfig('tt.toml', tt('["192.0.2.10-192.0.2.13", "2001:db8::10"]'))
  expect(good.role === 'tt' && good.tt.addresses.map((range) => range.map(ipText))).toEqual([
    ['192.0.2.10', '192.0.2.13'],
    ['2001:db8::10', '2001:db8::10'],
  ])
  expect(good).toMatchObject({ tt: { flow_log: false, port: 'tun' } })
  for (const bad of ['["192.0.2.13-192.0.2.10"]', '["192.0.2.1-2001:db8::1"]', '["192.0.2.1-2-3"]', '["x"]'])
    expect(complaint(tt(bad)), bad).toContain(
      'box.toml:5: tt.addresses.0: expected an address, or FIRST-LAST of one family',
    )
  expect(complaint(tt('["192.0.2.1", "192.0.2.2"]'))).toContain('one entry of each family at most')
})

test('other zones of a coordinator: endpoints and key, or the zone alone', () => {
  const federation = (lines: string): string =>
    `role = "coordinator"\n[network]\ndir = "/x"\n[[federation]]\nzone = "B.example."\n${lines}`
  const key = `key = "${'0a'.repeat(32)}"\n`
  const good = checkConfig('dc.toml', federation(`endpoints = ["192.0.2.2:4330"]\n${key}`))
  expect(good.role === 'coordinator' && good.federation).toMatchObject([
    { zone: 'b.example', key: new Uint8Array(32).fill(10) },
  ])
  const alone = checkConfig('dc.toml', federation(''))
  expect(alone.role === 'coordinator' && alone.federation).toEqual([{ zone: 'b.example', endpoints: [] }])
  for (const half of [key, 'endpoints = ["192.0.2.2:4330"]\n'])
    expect(complaint(federation(half)), half).toContain('federation.0: expected endpoints and key, or neither')
  expect(complaint(federation('endpoints = ["192.0.2.2:4330"]\nkey = "0a"\n'))).toContain(
    'federation.0.key: expected a public key of 64 hex digits, got "0a"',
  )
  expect(complaint('role = "coordinator"\n[network]\ndir = "/x"\n[[federation]]\nzone = "b"\n')).toContain(
    'federation.0.zone: expected a DNS zone, got "b"',
  )
})
