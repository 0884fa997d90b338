import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { pause, until } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { Rig } from './box.ts'

// A USB NIC that leaves and returns: the program waits for it, and its rules and sockets are made anew. Joining the port to the
// bridge again is the system's part, here as there by bridge-up.sh.

describeLab('a port of the box leaves and returns', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await Rig.build({ records: [`late AAAA ${PLACE.web6.ip6}`] })
    await rig.start()
    await rig.page()
  })
  afterAll(() => rig?.scene.dispose())

  test('the port towards the LAN, with the same interface index', async () => {
    const { lab } = rig.scene
    lab.ip('bridge', `link set net0 netns ${lab.netns('neighbour')} name away`)
    await logged('bridge.port-gone', 1)
    expect(await tables()).not.toContain('ntm_divert')
    lab.ip('neighbour', `link set away netns ${lab.netns('bridge')} name net0`)
    await bridgeUp()
    await logged('bridge.port-back', 1)
    await works()
  })

  test('the port towards the host, as another interface, with another host behind it', async () => {
    const { lab } = rig.scene
    lab.ip('bridge', 'link del host0')
    await logged('bridge.port-gone', 2)
    lab.cable(['host', PLACE.host.link], ['bridge', 'host0'], { leaveDown: ['bridge'] })
    await bridgeUp()
    await logged('bridge.port-back', 2)
    await rig.scene.hostDhcp()
    await works()
  })

  test('the TAP, removed by somebody', async () => {
    rig.scene.lab.ip('bridge', 'link del ntmx0')
    await logged('bridge.diverting', 4)
    await works()
  })

  test('a port that is merely down and up again is not worth a word', async () => {
    rig.scene.lab.ip('bridge', 'link set host0 down', 'link set net0 down', 'link set net0 up', 'link set host0 up')
    await forwarding()
    await works()
    expect(events('bridge.port-gone')).toBe(2)
    expect(events('bridge.diverting')).toBe(4)
  })

  test('started while its port towards the host is not there: a member of its network, and the wire is made when it comes', async () => {
    const { lab } = rig.scene
    await rig.kill()
    lab.ip('bridge', 'link del host0')
    await rig.start()
    await logged('bridge.port-gone', 1)
    expect(rig.program?.text()).toMatch(/"port":"host0".*"there":"[^"]*net0/)
    await logged('box.registered', 1)
    lab.cable(['host', PLACE.host.link], ['bridge', 'host0'], { leaveDown: ['bridge'] })
    await bridgeUp()
    await logged('bridge.port-back', 1)
    await rig.scene.hostDhcp()
    await works()
  })

  test('the TAP follows the MTU of the ports', async () => {
    const mtu = async (): Promise<string> =>
      (await rig.scene.lab.must('bridge', 'cat', ['/sys/class/net/ntmx0/mtu'])).trim()
    for (const wanted of ['4000', '9000']) {
      rig.scene.lab.ip('bridge', `link set net0 mtu ${wanted}`)
      await until(`TAP at ${wanted}`, async () => ((await mtu()) === wanted ? true : null))
    }
    await works()
  })

  test('it stops in order: whose name is held gets an answer, the rules go, the guard stays', async () => {
    // A terminator that does not answer keeps the name waiting for longer than this takes.
    rig.product.programs.tt?.kill('SIGSTOP')
    const held = rig.scene.lab.run('host', 'dig', ['+tries=1', '+time=5', 'late.example', 'A'])
    await pause(500)
    const begun = performance.now()
    await rig.program?.stop(10_000)
    const answer = await held
    rig.product.programs.tt?.kill('SIGCONT')
    expect(answer.stdout).toMatch(/status: (SERVFAIL|NOERROR)/)
    // It was held until then, and answered by the stop rather than by its time.
    expect(answer.ms).toBeGreaterThan(500)
    expect(performance.now() - begun).toBeLessThan(1500)
    expect(await rig.program?.exited).toBe(0)
    expect(await tables()).not.toContain('ntm_divert')
    expect(await tables()).toContain('ntm_guard')
  })

  /** Names, tunnel and ordinary traffic; each rule stands once. */
  async function works(): Promise<void> {
    await until('the page', () => rig.page().catch(() => null), 15_000, 200)
    expect(await rig.page(PLACE.web4.name)).toContain(PLACE.web4.name)
    const rules = await rig.scene.lab.must('bridge', 'nft', ['list', 'ruleset'])
    for (const port of ['host0', 'net0']) {
      expect(rules.match(new RegExp(`hook ingress device "${port}"`, 'g'))?.length, rules).toBe(2)
    }
    expect(rig.program?.alive()).toBe(true)
  }

  const tables = (): Promise<string> => rig.scene.lab.must('bridge', 'nft', ['list', 'tables'])
  const events = (event: string): number => (rig.program?.text() ?? '').split(`"event":"${event}"`).length - 1

  async function bridgeUp(): Promise<void> {
    await rig.scene.lab.must('bridge', 'sh', [join(ROOT, 'board/common/bridge-up.sh'), 'host0', 'net0', 'br0'])
    await forwarding()
  }

  async function forwarding(): Promise<void> {
    await until('both ports forwarding', async () => {
      const ports = JSON.parse(await rig.scene.lab.must('bridge', 'bridge', ['-j', 'link'])) as { state: string }[]
      return ports.length === 2 && ports.every((port) => port.state === 'forwarding') ? true : null
    })
  }

  /** Waits for that many log lines of an event; more of them is noise. */
  async function logged(event: string, times: number): Promise<void> {
    await until(`${times} × ${event}`, () => (events(event) >= times ? true : null))
    expect(events(event)).toBe(times)
  }
})
