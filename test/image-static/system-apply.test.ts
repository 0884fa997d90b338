import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'

const OVERLAY = join(ROOT, 'board/common/overlay/usr/lib')
const TOOLS = join(OVERLAY, 'ntm')
const top = mkdtempSync(join(tmpdir(), 'ntm-apply-'))
afterAll(() => rmSync(top, { recursive: true }))

describe('system-apply', () => {
  test('a box that was told nothing: br0 as the image has it, net0 is nobody’s, a name, no keys, no log on disk', () => {
    const box = new Box()
    box.apply()
    expect(box.read('etc/hostname')).toMatch(/^ntm-[0-9a-f]{6}\n$/)
    expect(box.has('systemd/network/10-net0.network')).toBe(false)
    expect(box.has('data/ssh/authorized_keys')).toBe(false)
    expect(box.has('systemd/journald.conf.d/50-data.conf')).toBe(false)
  })

  test('takes over what is configured, readable for networkd, keys for root alone', () => {
    const box = new Box({
      role: 'bridge\n',
      hostname: 'plc-7\n',
      '10-br0.network': '[Match]\nName=br0\n',
      'timesyncd.conf': '[Time]\nNTP=192.0.2.123\n',
      authorized_keys: 'ssh-ed25519 AAAA you@desk\n',
      log: 'data\n',
    })
    box.apply()
    expect(box.read('etc/hostname')).toBe('plc-7\n')
    expect(box.read('etc/hosts')).toContain('127.0.1.1 plc-7')
    expect(box.read('systemd/network/10-br0.network')).toContain('Name=br0')
    expect(statSync(box.path('systemd/network/10-br0.network')).mode & 0o777).toBe(0o644)
    expect(box.read('systemd/timesyncd.conf.d/50-box.conf')).toContain('192.0.2.123')
    expect(statSync(box.path('data/ssh/authorized_keys')).mode & 0o777).toBe(0o600)
    expect(box.read('systemd/journald.conf.d/50-data.conf')).toContain('Storage=persistent')
  })

  test('what is configured counts for more than what the image says: systemd reads drop-ins by name, the last one counts, one of a name', () => {
    const box = new Box({ log: 'data\n', 'timesyncd.conf': '[Time]\nNTP=192.0.2.123\n' })
    box.apply()
    for (const dir of ['timesyncd.conf.d', 'journald.conf.d']) {
      const [ours, own] = [readdirSync(join(OVERLAY, 'systemd', dir)), readdirSync(box.path(`systemd/${dir}`))]
      expect(ours.concat(own).toSorted()).toEqual([...ours, ...own])
      expect(ours.filter((name) => own.includes(name))).toEqual([])
    }
  })

  test('net0 belongs to networkd in every role but the bridge’s, and what is no longer configured goes', () => {
    const box = new Box({ role: 'tt\n', '10-net0.network': '[Network]\nAddress=192.0.2.7/24\n', log: 'data\n' })
    box.apply()
    expect(box.read('systemd/network/10-net0.network')).toContain('192.0.2.7')
    box.drop('10-net0.network')
    box.put('log', 'ram\n')
    box.apply()
    expect(box.read('systemd/network/10-net0.network')).toContain('DHCP=ipv4')
    expect(box.has('systemd/journald.conf.d/50-data.conf')).toBe(false)
    box.put('role', 'bridge\n')
    box.apply()
    expect(box.has('systemd/network/10-net0.network')).toBe(false)
  })

  test('keys that were taken out of the configuration open no door any more', () => {
    const box = new Box({ role: 'bridge\n', authorized_keys: 'ssh-ed25519 AAAA you@desk\n' })
    writeFileSync(box.path('data/config/ntm.toml'), 'role = "bridge"\n')
    box.apply()
    expect(box.has('data/ssh/authorized_keys')).toBe(true)
    box.drop('authorized_keys')
    box.apply()
    expect(box.has('data/ssh/authorized_keys')).toBe(false)
  })

  test.each([
    ['over the bus', 0, ['networkctl reload']],
    [
      'in a first start, when the bus is not there yet',
      1,
      ['networkctl reload', 'systemctl --no-block try-restart systemd-networkd.service'],
    ],
  ])('networkd, which runs, hears of new addresses: %s', (_, fails, told) => {
    const box = new Box({ '10-br0.network': '[Match]\nName=br0\n' })
    expect(box.take(fails)).toEqual([...told, 'systemctl --no-block restart ntm-wire.service'])
    expect(box.take(fails)).toEqual(['systemctl --no-block restart ntm-wire.service'])
  })

  test('an unknown role is no role: the box bridges', () => {
    const box = new Box({ role: 'toaster\n' })
    box.apply()
    expect(box.has('systemd/network/10-net0.network')).toBe(false)
  })
})

describe('resolv', () => {
  test('writes at most three of the servers that networkd has learnt, without their TLS names', () => {
    const box = new Box()
    const state = box.path('state')
    writeFileSync(
      state,
      'OPER_STATE=routable\nDNS=192.0.2.53#dns.example 2001:db8::53 192.0.2.54 192.0.2.55\nDOMAINS=plant.example\n',
    )
    const run = box.path('run')
    mkdirSync(run)
    const done = spawnSync('busybox', ['sh', join(TOOLS, 'resolv')], {
      env: { ...process.env, NTM_NETIF: state, NTM_RUN: run },
    })
    expect(done.status).toBe(0)
    expect(box.read('run/resolv.conf')).toBe(
      'nameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver 192.0.2.54\nsearch plant.example\noptions timeout:2 attempts:2\n',
    )
  })

  test('without networkd there is a file all the same', () => {
    const box = new Box()
    const run = box.path('run')
    mkdirSync(run)
    spawnSync('busybox', ['sh', join(TOOLS, 'resolv')], {
      env: { ...process.env, NTM_NETIF: box.path('none'), NTM_RUN: run },
    })
    expect(box.read('run/resolv.conf')).toBe('options timeout:2 attempts:2\n')
  })
})

let boxes = 0

/** The directories that the tool reads and writes, in place of a box's. */
class Box {
  readonly #dir = join(top, String(++boxes))

  constructor(configured: Readonly<Record<string, string>> = {}) {
    mkdirSync(this.path('data/config/system'), { recursive: true })
    for (const [name, text] of Object.entries(configured)) this.put(name, text)
  }

  path = (name: string): string => join(this.#dir, name)
  read = (name: string): string => readFileSync(this.path(name), 'utf8')
  has = (name: string): boolean => existsSync(this.path(name))

  put(name: string, text: string): void {
    const file = this.path(join('data/config/system', name))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }

  drop = (name: string): void => rmSync(this.path(join('data/config/system', name)))

  apply(): void {
    this.#run(['early'])
  }

  /** As while everything runs, with a `networkctl` that ends so. What was told to whom, in order. */
  take(networkctl: number): string[] {
    const tools = this.path('tools')
    const told = this.path('told')
    mkdirSync(tools, { recursive: true })
    writeFileSync(told, '')
    for (const [name, code] of Object.entries({ networkctl, systemctl: 0 }))
      writeFileSync(join(tools, name), `#!/bin/sh\necho ${name} "$@" >>${told}\nexit ${code}\n`, { mode: 0o755 })
    this.#run([], { PATH: `${tools}:${process.env['PATH']}` })
    return readFileSync(told, 'utf8').trimEnd().split('\n')
  }

  #run(args: readonly string[], more: Readonly<Record<string, string>> = {}): void {
    const env = {
      ...process.env,
      ...more,
      NTM_LIB: TOOLS,
      NTM_DATA: this.path('data'),
      NTM_RUN: this.path('run'),
      NTM_ETC: this.path('etc'),
      NTM_SYSTEMD: this.path('systemd'),
    }
    const done = spawnSync('busybox', ['sh', join(TOOLS, 'system-apply'), ...args], { env, encoding: 'utf8' })
    expect(done.stderr).toBe('')
    expect(done.status).toBe(0)
  }
}
