import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Outcome, type Program, pause, until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { pageOf } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'

// lab/scenes/v4-host-to-v6-server.ts, with a second resolver beside the honest one that only the terminator asks: it says
// what the test wants. The host's own resolver knows every name with the real IPv6 server's address. Source addresses
// come from a pool, and flows are logged.

const GOOD = PLACE.web6.ip6
const DEAD = { silent: '2001:db8:6:5::', unreachable: '2001:db8:6:6::' } as const
/** The same server by other addresses: an order is one draw per address, so each try needs its own. */
const good = (i: number): string => `${GOOD}${i + 1}`
const POOL6 = '2001:db8:20::99'
/** Attack test 13: what a name may say, and why not. The last is a neighbour on the terminator's own network. */
const BAD = {
  'loopback.example': '::1',
  'mapped.example': '::ffff:10.0.0.1',
  'nat64.example': '64:ff9b::7f00:1',
  'metadata.example': 'fd00:ec2::254',
  'metadata4.example': '169.254.169.254',
  'private.example': '10.0.0.1',
  'neighbour.example': '2001:db8:20::77',
} as const
const TRIES = 14
const NAMES = [
  ...Object.keys(BAD),
  ...['flip.example', 'tcp.example', 'gone.example', 'never.example'],
  ...Array.from({ length: TRIES }, (_, i) => [`silent${i}.example`, `unreachable${i}.example`]).flat(),
]

describeLab('where a terminator sends packets', () => {
  let scene: Scene
  let tt: Program
  let lies: Program
  let ear: Program
  const truth: Record<string, { addresses: string[]; overTcpOnly?: boolean }> = {}
  const say = (name: string, addresses: string[], overTcpOnly = false): void => {
    truth[name] = { addresses, overTcpOnly }
    writeFileSync(join(scene.lab.dir, 'lies.json'), JSON.stringify(truth))
  }

  beforeAll(async () => {
    const records = NAMES.map((name) => `${name.replace('.example', '')} AAAA ${GOOD}`)
    scene = await v4HostToV6Server({ records })
    const { lab } = scene
    for (const [name, address] of Object.entries(BAD)) say(name, [address])
    lab.ip('inet', `route add blackhole ${DEAD.silent}/64`, `route add unreachable ${DEAD.unreachable}/64`)
    lab.ip('inet', 'addr add 2001:db8:20::77/64 dev tt')
    lab.ip('web6', ...Array.from({ length: TRIES }, (_, i) => `addr add ${good(i)}/64 dev ${PLACE.web6.link} nodad`))
    lab.ip('tt', `addr add ${POOL6}/64 dev ${PLACE.tt.link}`)
    lies = lab.spawn('resolver', 'lies', process.execPath, [
      join(ROOT, 'test/netns/programs/dns-lies.ts'),
      ...['5300', join(lab.dir, 'lies.json')],
    ])
    await lies.line(/dns\.ready/)
    const product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    tt = await product.tt({
      'tt.resolvers': [`${PLACE.resolver.ip4}:5300`],
      'tt.allow': ['2001:db8:6::/48'],
      'tt.addresses': [POOL6],
      'tt.flow_log': true,
    })
    await product.bridge()
    // Wherever a bad address could be reached by: every interface, loopback too.
    const bad = ['::1', 'fd00:ec2::254', '2001:db8:20::77', '169.254.169.254', '10.0.0.1', '127.0.0.1']
    const nets = ['::ffff:0:0/96', '64:ff9b::/96']
    const filter = [...bad.map((a) => `dst host ${a}`), ...nets.map((n) => `dst net ${n}`)].join(' or ')
    ear = lab.spawn('tt', 'ear', 'tcpdump', ['-n', '-l', '-i', 'any', `(${filter}) and not (icmp6 and ip6[40] >= 133)`])
    await ear.line(/listening on/)
  })
  afterAll(() => scene?.dispose())

  const curl = (name: string, seconds = 4): Promise<Outcome> =>
    scene.lab.run('host', 'curl', ['-sS', '--max-time', `${seconds}`, `http://${name}/`])
  const flows = (event: string, name: string): string[] =>
    tt
      .text()
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`) && line.includes(`"${name}"`))
      .map((line) => (JSON.parse(line) as { server: string }).server)
  const heard = (): string[] =>
    ear
      .text()
      .split('\n')
      .filter((line) => line.includes(' > '))

  test.each(Object.keys(BAD))('attack 13: %s gets a refusal within 2 s, and no packet', async (name) => {
    const done = await curl(name)
    expect(done.code).not.toBe(0)
    expect(done.ms).toBeLessThan(3500)
    await tt.line(/"code":"bad-address"/)
  })

  test('attack 13: an address that changes to a bad one when its TTL ends; what is open stays open', async () => {
    say('flip.example', [GOOD])
    expect((await curl('flip.example')).stdout).toBe(pageOf(PLACE.web6.name))
    const slow = ['-sS', '--fail', '--max-time', '30', '--limit-rate', '2M', '-r', '0-24999999', '-o', '/dev/null']
    const open = scene.lab.run('host', 'curl', [...slow, 'http://flip.example/100m.bin'])
    const asked = (): number => lies.text().split('dns.asked flip.example 28').length - 1
    for (const bad of ['::1', '2001:db8:20::77']) {
      await pause(100)
      say('flip.example', [bad])
      const before = asked()
      await until('the next resolution', () => (asked() > before ? true : null), 8000)
      await pause(300)
      // Refused, or with the address that was good when it was told; never with the new one.
      await curl('flip.example')
    }
    expect((await open).code).toBe(0)
    expect(new Set(flows('flow.opened', 'flip.example'))).toEqual(new Set([GOOD]))
  })

  test('no packet went to any of them, and the ear was open', async () => {
    expect(heard()).toEqual([])
    await scene.lab.run('tt', 'ping', ['-c', '1', '-W', '1', '::1'])
    await until('the canary', () => (heard().length > 0 ? true : null))
  })

  describe('several addresses, the first one dead', () => {
    test.each(['silent', 'unreachable'] as const)(
      '%s: the page comes all the same, from the other one',
      async (how) => {
        let failedOver = 0
        for (let i = 0; i < TRIES && failedOver === 0; i++) {
          const name = `${how}${i}.example`
          // The order is the terminator's own choice per node and address: one name in two begins with the dead one.
          say(name, [`${DEAD[how]}${i + 1}`, good(i)])
          // Silence is believed after three SYNs; the host's kernel decides when it sends the fourth (3 to 7 s).
          const page = await curl(name, 12)
          expect(page.stdout, page.stderr).toBe(pageOf(PLACE.web6.name))
          // The page may be quicker than the log.
          const tried = await until('the flow in the log', () => {
            const opened = flows('flow.opened', name)
            return opened.includes(good(i)) ? opened : null
          })
          expect(tried.at(-1)).toBe(good(i))
          if (tried[0] !== good(i)) failedOver++
        }
        expect(failedOver).toBe(1)
      },
    )
  })

  test('an answer that does not fit is asked for over TCP', async () => {
    say('tcp.example', [GOOD], true)
    expect((await curl('tcp.example')).stdout).toBe(pageOf(PLACE.web6.name))
    expect(lies.text()).toContain('dns.asked tcp.example 28 tcp')
  })

  test('servers see the configured source address', async () => {
    const seen = await scene.lab.run('host', 'curl', ['-sS', '--max-time', '4', 'http://tcp.example/ip'])
    expect(seen.stdout.trim()).toBe(POOL6)
  })

  test('an uplink without IPv6 refuses at once and says why; with IPv6 again it goes on', async () => {
    const { lab } = scene
    const seen = (pattern: RegExp) => tt.line(pattern, 5000)
    await lab.must('tt', 'ip', ['-6', 'addr', 'flush', 'dev', PLACE.tt.link, 'scope', 'global'])
    await seen(/"families":"4".*"uplink.families"/)
    say('gone.example', [GOOD])
    const done = await curl('gone.example')
    expect(done.code).not.toBe(0)
    expect(done.ms).toBeLessThan(3500)
    await seen(/"code":"no-route"/)
    expect(await lab.must('tt', 'nft', ['list', 'table', 'inet', 'ntm_tt'])).not.toContain('ip6 saddr')
    lab.ip('tt', `addr add ${PLACE.tt.ip6}/64 dev ${PLACE.tt.link}`, `addr add ${POOL6}/64 dev ${PLACE.tt.link}`)
    lab.ip('tt', 'route replace default via 2001:db8:20::1')
    await seen(/"families":"4,6".*"uplink.families"/)
    say('never.example', [GOOD])
    expect((await curl('never.example')).stdout).toBe(pageOf(PLACE.web6.name))
  })
})
