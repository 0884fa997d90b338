import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_SHA256, bigFile, sha256 } from '#lab/content.ts'
import { ROOT } from '#lab/netns.ts'
import type { TwoBridgesOptions } from '#lab/scenes/two-bridges.ts'
import { ZONE } from '#lab/scenes/two-bridges.ts'
import { pageOf } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'
import { KEYS_PORT, nameOf, Rig, UDP_PORT } from './rig.ts'

// An unmodified host behind one bridge speaks to another behind another bridge, which never asked anybody for anything. Where both sites are
// behind NATs they have the same private prefix, and the hosts the very same address.

const WORLDS: readonly (TwoBridgesOptions & { readonly title: string; readonly workers?: number })[] = [
  { title: 'from the open Internet to a NAT', kinds: { a: 'none', b: 'port-restricted' }, hosts: { b: 'off' } },
  {
    title: 'two NATs with one private prefix, hosts with one address, two packet workers',
    workers: 2,
    kinds: { a: 'full-cone', b: 'symmetric' },
    hosts: { a: 'static', b: 'static' },
  },
  {
    title: 'no gateway, behind a full cone',
    kinds: { a: 'port-restricted', b: 'full-cone' },
    hosts: { b: 'static-no-gateway' },
  },
  {
    title: 'through a relay, between a symmetric NAT and a restricted one',
    kinds: { a: 'symmetric', b: 'port-restricted' },
    hosts: { b: 'off' },
    relays: 1,
  },
]
const B = nameOf('b')

for (const { title, workers = 0, ...options } of WORLDS) {
  describeLab(title, () => {
    let rig: Rig
    beforeAll(async () => {
      rig = await Rig.up(options, { 'packets.workers': workers })
      if (options.hosts?.b === 'off') await rig.scene.boot('b')
      // A host set by hand that was there before the bridge: one packet of each family, of whatever kind, and it is known.
      else for (const to of ['fd77:7:7::1', rig.scene.sites.b.gateway]) await rig.on('hostb', 'ping', '-c1', '-W1', to)
      // Else it would be answered with one family for a minute.
      await rig.remembered('b', 'fd77:')
      await rig.serve('b')
      await rig.warm('a', B)
    })
    afterAll(() => rig?.dispose())

    test('its name leads to virtual addresses, and they lead back to its name', async () => {
      const four = await rig.ask('hosta', B)
      expect(four.answers).toMatch(/^198\.18\.\d+\.\d+$/)
      expect((await rig.ask('hosta', four.answers, 'PTR')).answers).toBe(`${B}.`)
      expect(await rig.ask('hosta', B, 'TXT')).toMatchObject({ status: 'NOERROR', answers: '' })
      if (options.hosts?.b === 'off') expect((await rig.ask('hosta', `hostb.${B}`)).answers).toBe(four.answers)
    })

    test('ping, also in fragments', async () => {
      expect(await rig.ping('hosta', B, '-4')).toBe(3)
      expect(await rig.ping('hosta', B, '-4', '-s', '4000')).toBe(3)
      // What does not fit is said, with the size that does.
      expect(await rig.on('hosta', 'ping', '-4', '-c1', '-W2', '-M', 'do', '-s', '1472', B)).toMatch(/mtu ?= ?1\d\d\d/)
    })

    test('ping over IPv6, also in fragments', async () => {
      expect((await rig.ask('hosta', B, 'AAAA')).answers).toMatch(/^fd/)
      expect(await rig.ping('hosta', B, '-6')).toBe(3)
      // Only ends make fragments of IPv6, and each must hear first what fits.
      await rig.ping('hosta', B, '-6', '-s', '4000')
      expect(await rig.ping('hosta', B, '-6', '-s', '4000')).toBe(3)
    })

    test.each(['-4', '-6'])('a page, and a hundred megabytes each way, whole (%s)', async (family) => {
      const curl = (...args: string[]): Promise<string> =>
        rig.on('hosta', 'curl', '-sS', '--fail', family, '--max-time', '80', ...args)
      expect(await curl(`http://${B}/`)).toBe(pageOf(B).trim())
      const got = join(rig.scene.lab.dir, `got${family}`)
      expect(await curl('-o', got, `http://${B}/100m.bin`)).toBe('')
      expect(await sha256(got)).toBe(BIG_SHA256)
      expect(await curl('-T', bigFile(), `http://${B}/upload/put${family}`)).toBe('')
      expect(await sha256(join(rig.uploads, `put${family}`))).toBe(BIG_SHA256)
    })

    test('a terminal, key by key', async () => {
      const typed = rig.program('hosta', 'type', 'tcp-keys.ts', 'type', B, `${KEYS_PORT}`, '40')
      expect(await typed.line(/^keys\.done/, 20_000)).toContain('keys.done 40')
    })

    test('UDP', async () => {
      const script = join(ROOT, 'lab/udp.ts')
      expect(await rig.on('hosta', process.execPath, script, 'ask', B, `${UDP_PORT}`, 'hello')).toBe('hello')
    })

    test('the other way round: the host that was asked asks', async () => {
      expect(await rig.ping('hostb', nameOf('a'), '-4')).toBe(3)
    })

    test('the bridge says who reached whom', () => {
      const [asked] = rig.lines('b').filter((l) => l.event === 'inbound.asked')
      expect(asked).toMatchObject({ level: 'info', peer: nameOf('a') })
      expect(asked?.['host']).toMatch(options.hosts?.b === 'off' ? /^hostb$/ : /^host-[0-9a-f]{12}$/)
      expect(rig.lines('b').some((l) => l.event === 'inbound.open')).toBe(true)
    })

    test('a name that nobody has does not exist, and hosts of other bridges are not there', async () => {
      expect((await rig.ask('hosta', `nobody.${ZONE}`)).status).toBe('NXDOMAIN')
      expect((await rig.ask('hosta', `nobody.${B}`)).status).toBe('NXDOMAIN')
    })
  })
}
