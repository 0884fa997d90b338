import { chmodSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'
import { withSettings } from '#lab/programs.ts'
import { describeLab } from '#test/support/lab.ts'
import { Place } from './place.ts'

describeLab('a terminal with systemd-resolved', () => {
  let place: Place
  let terminal: Program
  let said: string
  const words = (): string[] => readFileSync(said, 'utf8').trim().split('\n')

  beforeAll(async () => {
    place = await Place.up()
    const { lab, programs } = place
    // Stands in for systemd's own: writes down what it is told.
    said = lab.file('resolvectl.log', '')
    const resolvectl = lab.file('bin/resolvectl', `#!/bin/sh\necho "$@" >>${said}\n`)
    chmodSync(resolvectl, 0o755)
    const file = lab.file(
      'alice/ntm.toml',
      withSettings(readFileSync(join(ROOT, 'examples/node.toml'), 'utf8'), {
        state: join(lab.dir, 'alice/state'),
        'log.format': 'json',
        'network.token_file': await programs.token('coordinator', 'alice', 'node'),
        'control.socket': place.socket('alice'),
        'dns.mode': 'resolved',
        'dns.resolvers': [place.resolver],
      }),
    )
    const env = { ...process.env, PATH: `${dirname(resolvectl)}:${process.env['PATH']}` }
    const ntm = join(ROOT, 'src/cli/ntm.ts')
    terminal = lab.spawn('alice', 'alice', process.execPath, [ntm, 'up', '--config', file], { env })
    await terminal.line(/"event":"role\.ready"/, 20_000)
    await place.up('bob')
  })
  afterAll(() => place?.dispose())

  test('it is told of our zones and the reverse zones of the virtual ranges, for the device, and of nothing else', async () => {
    const plan =
      /fd[0-9a-f:]+/.exec(await place.lab.must('alice', 'ip', ['-6', 'addr', 'show', 'dev', 'ntm0']))?.[0] ?? ''
    expect(plan).not.toBe('')
    const [dns, domain, route, ...more] = words()
    expect(dns).toBe('dns ntm0 127.0.0.43')
    expect(domain).toMatch(
      /^domain ntm0 ~ntm\.example ~18\.198\.in-addr\.arpa ~19\.198\.in-addr\.arpa(?: ~[0-9a-f.]+\.d\.f\.ip6\.arpa){2}$/,
    )
    expect(route).toBe('default-route ntm0 no')
    expect(more).toEqual(['dnssec ntm0 no', 'llmnr ntm0 no', 'mdns ntm0 no'])
    expect(place.resolvConfOf('alice')).toBe(place.resolvConf)
  })

  test('what it sends us is answered: names, and names of addresses', async () => {
    const dig = async (...args: string[]): Promise<string> =>
      (await place.lab.must('alice', 'dig', ['+short', '+tries=1', '@127.0.0.43', ...args])).trim()
    const vip = await dig('bob.ntm.example', 'A')
    expect(vip).toMatch(/^198\.18\./)
    expect(await dig('-x', vip)).toBe('bob.ntm.example.')
    // The zone's own name is the business of its servers.
    expect(await dig('web.other.example', 'A')).toBe('20.9.9.9')
  })

  test('at the end it is told to forget the device', async () => {
    await terminal.stop()
    expect(words().at(-1)).toBe('revert ntm0')
  })
})
