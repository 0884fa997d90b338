import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { BoxMedia, BRIDGE, newRoot, tokenOf } from '#test/support/box-media.ts'

const root = newRoot()
const TOKEN = tokenOf(root, BRIDGE)

function media(): BoxMedia {
  const made = new BoxMedia()
  onTestFinished(() => made.destroy())
  return made
}

const bridge = (token: string | null, rest = ''): string =>
  `# mine\r\nrole = "bridge"\r\n${rest}[network]\r\n${token === null ? '' : `token = "${token}"\r\n`}`

test('a box with nothing on its media has no configuration, and says so', () => {
  const box = media()
  expect(box.take()).toBe('same')
  expect(box.said).toEqual({ state: 'none', why: 'no configuration yet: the box bridges' })
  expect(box.list('stick')).toEqual([])
})

test('what a stick offers is in force as a whole; the token is the box’s alone; a report lies beside it', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  expect(box.take()).toBe('changed')
  expect(box.read('data/config/ntm.toml')).toBe(
    '# mine\r\nrole = "bridge"\r\n[network]\r\n# token: taken into the box and removed from here\r\n',
  )
  expect(box.read('data/config/token')).toBe(`${TOKEN}\n`)
  expect(box.read('data/config/system/role')).toBe('bridge\n')
  expect(box.read('stick/ntm.toml')).toBe(box.read('data/config/ntm.toml'))
  expect(box.said).toMatchObject({ state: 'ok', role: 'bridge', file: 'stick:ntm.toml', report: 'ntm-report.txt' })
  const report = box.read('stick/ntm-report.txt') ?? ''
  expect(report).toMatch(/\r\nGOOD: in force since 20\d\d-\d\d-\d\d \d\d:\d\d UTC, role bridge\.\r\n/)
  expect(report).toContain('removed from here: the token in ntm.toml.')
  expect(report.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
  expect(report).not.toContain(TOKEN)
})

test('the same again changes nothing: as rewritten, as it was, without a stick, and from the boot partition', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  const before = [box.read('stick/ntm-report.txt'), box.list('data/config')]
  expect(box.take()).toBe('same')
  expect([box.read('stick/ntm-report.txt'), box.list('data/config')]).toEqual(before)
  box.write('stick/ntm.toml', bridge(TOKEN))
  expect(box.take()).toBe('same')
  expect(box.read('stick/ntm.toml')).not.toContain(TOKEN)
  expect(box.take({ stick: null })).toBe('same')
  box.write('boot/ntm.toml', bridge(null))
  expect(box.take({ stick: null })).toBe('changed')
  expect(box.take({ stick: null })).toBe('same')
})

test('a stick goes before the boot partition, whose older configuration does not come back when it is gone', () => {
  const box = media()
  box.write('boot/ntm.toml', bridge(TOKEN, '[appliance]\r\nhostname = "old"\r\n'))
  expect(box.take()).toBe('changed')
  box.write('stick/ntm.toml', bridge(null, '[appliance]\r\nhostname = "new"\r\n'))
  expect(box.take()).toBe('changed')
  expect(box.take({ stick: null })).toBe('same')
  expect(box.read('data/config/system/hostname')).toBe('new\n')
  expect(box.read('data/config/ntm.toml.before')).toContain('"old"')
  expect(box.read('data/config/token')).toBe(`${TOKEN}\n`)
  // Somebody changes it: now it is news.
  box.write('boot/ntm.toml', bridge(null, '[appliance]\r\nhostname = "newer"\r\n'))
  expect(box.take({ stick: null })).toBe('changed')
  expect(box.read('data/config/system/hostname')).toBe('newer\n')
})

test('a mistake: the last good one stays, and the report says where, what and what to do', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  const good = box.read('data/config/ntm.toml')
  const token = tokenOf(root, BRIDGE, 2)
  box.write('stick/ntm.toml', `role = "bridge"\n[bridge]\nfail = "opne"\n[network]\ntoken = "${token}"\n`)
  expect(box.take()).toBe('same')
  expect(box.read('data/config/ntm.toml')).toBe(good)
  expect(box.said).toMatchObject({ state: 'refused', role: 'bridge' })
  expect(box.said['why']).toContain('ntm.toml, line 3: bridge.fail: expected "open" or "closed", got "opne"')
  expect(box.read('stick/ntm-report.txt')).toContain('REFUSED: nothing was changed. The configuration in force stays')
  // It is still the operator's: he corrects it there.
  expect(box.read('stick/ntm.toml')).toContain(token)
  expect(box.read('stick/ntm-report.txt')).not.toContain(token)
  box.write('stick/ntm.toml', `role = "bridge"\n[bridge]\nfail = "closed"\n[network]\ntoken = "${token}"\n`)
  expect(box.take()).toBe('changed')
  expect(box.said['state']).toBe('ok')
})

test.each([
  ['role = "bridge\n', 'not valid TOML'],
  ['role = "node"\n', 'this image is not made for role "node"'],
  ['role = "bridge"\nstate = "/tmp/x"\n', 'ntm.toml, line 2: state: "/tmp/x" does not exist on this box'],
  ['role = "bridge"\n[bridge]\nhost = "eth1"\n', 'ntm.toml, line 3: bridge.host: "eth1" does not exist on this box'],
  ['role = "tt"\n[tt]\nuplink = "eth0"\nresolvers = ["192.0.2.53"]\n', 'Use "net0", or leave it out'],
  ['role = "coordinator"\n[network]\ndir = "/etc/ntm"\n', 'Use "/var/lib/ntm/network"'],
  ['role = "bridge"\n[network]\ntoken = "ntm1-abcd"\n', 'ntm.toml, line 3: network.token: the token is not complete'],
  [`role = "relay"\n[network]\ntoken = "${TOKEN}"\n`, 'the token is not for role "relay"'],
  [
    'role = "bridge"\n[appliance.ports]\nnet = "52:54:00:00:00:09"\n',
    'this configuration is for another box: this one has 52:54:00:00:00:01 and 52:54:00:00:00:02',
  ],
])('refused on this box: %j', (text, says) => {
  const box = media()
  box.write('boot/ntm.toml', text)
  expect(box.take()).toBe('same')
  expect(box.said['state']).toBe('refused')
  expect(box.read('boot/ntm-report.txt')).toContain(says)
  expect(existsSync(join(box.dir, 'data/config/ntm.toml'))).toBe(false)
})

test('a token in a file of its own, with or without an ending; alone it makes a bridge', () => {
  for (const name of ['token', 'token.txt']) {
    const box = media()
    box.write(`stick/${name}`, `${TOKEN}\r\n`)
    expect(box.take()).toBe('changed')
    expect(box.list('stick')).toEqual(['ntm-report.txt'])
    expect(box.read('data/config/token')).toBe(`${TOKEN}\n`)
    expect(box.read('data/config/system/role')).toBe('bridge\n')
    expect(box.take()).toBe('same')
  }
})

test('two tokens that differ, and a token that says nothing of a terminator’s settings', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.write('stick/token', tokenOf(root, BRIDGE, 2))
  box.take()
  expect(box.said['why']).toContain('two different tokens')
  const tt = media()
  tt.write('stick/token', tokenOf(root, ROLE_TT))
  tt.take()
  expect(tt.said['why']).toContain('ntm.toml is missing')
})

test('without a token the rest is in force, and what is missing is said; the token may follow alone', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(null, '[appliance]\r\naddress = "192.0.2.7/24"\r\n'))
  expect(box.take()).toBe('changed')
  expect(box.said['why']).toContain('not a member of a network yet: put a file "token" here')
  box.remove('stick/ntm.toml')
  box.write('stick/token', TOKEN)
  expect(box.take()).toBe('changed')
  expect(box.read('data/config/token')).toBe(`${TOKEN}\n`)
  expect(box.read('data/config/system/10-br0.network')).toContain('Address=192.0.2.7/24')
  expect(box.said['why']).toBe('')
})

test('a member keeps its membership, whatever token of its network comes; the token is nobody else’s all the same', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  box.enrol(root, BRIDGE, 'plc-7.ntm.example')
  const kept = box.read('data/ntm/box.json')
  const other = tokenOf(root, BRIDGE, 2)
  box.write('stick/ntm.toml', bridge(other, '[appliance]\r\nhostname = "plc-8"\r\n'))
  expect(box.take()).toBe('changed')
  expect(box.read('data/ntm/box.json')).toBe(kept)
  expect(box.read('stick/ntm.toml')).not.toContain(other)
  expect(box.said['why']).toContain('the box is a member already, plc-7.ntm.example, and stays it')
  expect(box.said['why']).toContain('is this the right stick?')
  expect(box.take()).toBe('same')
})

test('a token of another network: the box leaves, what it was stays aside, and it enrols anew', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  box.enrol(root, BRIDGE, 'plc-7.ntm.example')
  box.write('data/ntm/plan.json', '{}')
  const kept = box.read('data/ntm/box.json')
  const other = tokenOf(newRoot(), BRIDGE, 3)
  box.write('stick/token', other)
  box.remove('stick/ntm.toml')
  expect(box.take()).toBe('changed')
  expect(box.list('data/ntm')).toEqual([])
  expect(box.read('data/ntm.before-1/box.json')).toBe(kept)
  expect(box.read('data/ntm.before-1/plan.json')).toBe('{}')
  expect(box.read('data/config/token')).toBe(`${other}\n`)
  expect(box.said['why']).toContain('the box leaves the network in which it was plc-7.ntm.example')
  expect(box.take()).toBe('same')
})

test('another role needs a token for it', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  box.enrol(root, BRIDGE, 'plc-7.ntm.example')
  box.write('stick/ntm.toml', 'role = "relay"\n')
  expect(box.take()).toBe('same')
  expect(box.said['why']).toContain('may not be a relay')
  box.write('stick/token', tokenOf(root, ROLE_RELAY, 4))
  expect(box.take()).toBe('changed')
  expect(box.read('data/config/system/role')).toBe('relay\n')
  expect(existsSync(join(box.dir, 'data/ntm.before-1/box.json'))).toBe(true)
  expect(box.read('data/config/system/10-net0.network')).toContain('Name=net0')
})

test('no data partition: in force until the next start, and nothing is taken off the medium', () => {
  const box = media()
  box.write('run/data', 'medium=ram\nwhy=no partition\n')
  box.write('stick/ntm.toml', bridge(TOKEN))
  expect(box.take()).toBe('changed')
  expect(box.read('stick/ntm.toml')).toContain(TOKEN)
  expect(box.read('stick/ntm-report.txt')).toContain('until the next start')
  expect(box.read('data/config/token')).toBe(`${TOKEN}\n`)
})

test('what Windows editors make of a text is read all the same', () => {
  const box = media()
  box.write('stick/ntm.toml', `\uFEFF${bridge(null)}`)
  expect(box.take()).toBe('changed')
  const wide = media()
  wide.write('stick/ntm.toml.txt', bridge(null))
  expect(wide.take()).toBe('same')
  expect(wide.said['why']).toContain('its name must be "ntm.toml"')
})

test('a disk that takes nothing: what is in force stays, and the exit code tells', () => {
  const box = media()
  box.write('stick/ntm.toml', bridge(TOKEN))
  box.take()
  box.write('data/blocked', '')
  box.write('stick/ntm.toml', bridge(null, '[appliance]\r\nhostname = "x"\r\n'))
  const blocked = box.take({ data: join(box.dir, 'data/blocked') })
  expect([blocked, box.said['state']]).toEqual(['trouble', 'kept'])
  expect(box.read('data/config/ntm.toml')).not.toContain('hostname')
})
