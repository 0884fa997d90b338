import { afterAll, beforeAll, expect, test } from 'vitest'
import { pause } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { queryFor } from '../bridge-rules-frames.ts'
import { type Ear, Rig } from './box.ts'

// `fail = "closed"`: whatever state the program is in, names of the network's zone are not asked of the LAN; others always are.

describeLab('fail = "closed"', () => {
  let rig: Rig
  let upstream: Ear
  let n = 0
  beforeAll(async () => {
    rig = await Rig.build({}, ['coordinator'])
    upstream = await rig.ear('net')
    await rig.start({ 'bridge.fail': 'closed' })
  })
  afterAll(() => rig?.scene.dispose())

  test('the program runs: a name nobody has does not exist, says the box itself', async () => {
    expect(await shutAndOpen()).toContain('status: NXDOMAIN')
  })

  test('the program is frozen', async () => {
    rig.freeze()
    // The diversion takes both for up to 3 s; then the guard decides.
    await pause(3500)
    expect(await shutAndOpen()).toContain('timed out')
    rig.thaw()
  })

  test('the program was killed', async () => {
    await rig.kill()
    await pause(500)
    expect(await shutAndOpen()).toContain('timed out')
  })

  test('the program runs again without a coordinator: SERVFAIL instead of a question to the LAN', async () => {
    await rig.product.programs.coordinator?.stop()
    const program = rig.spawnBridge()
    await program.line(/bridge\.diverting/)
    expect(await shutAndOpen()).toContain('status: SERVFAIL')
    program.kill('SIGTERM')
    await program.exited
  })

  test('the program was stopped in order', async () => {
    expect(await shutAndOpen()).toContain('timed out')
  })

  test('not even the zone’s names in capitals or deep below it; the zone’s own name passes', async () => {
    for (const name of ['BOB.NTM.Example', 'a.b.c.d.ntm.example']) expect(await dig(name)).toContain('timed out')
    expect(await dig('ntm.example')).toContain('status: ')
    expect(heard('ntm.example')).toBeGreaterThan(0)
    expect(heard('.ntm.example')).toBe(0)
  })

  test('queries in a VLAN or with a priority tag are no way round', async () => {
    const tagged = (name: string): Buffer[] =>
      ['', '81000005', '8100a000'].map((tag) => {
        const plain = Buffer.from(queryFor(name))
        return Buffer.concat([plain.subarray(0, 12), Buffer.from(tag, 'hex'), plain.subarray(12)])
      })
    await rig.say('host', [...tagged('in.a.vlan.ntm.example'), ...tagged('in.a.vlan.example')])
    const sender = tagged('x')[0]?.toString('hex', 6, 12) ?? ''
    const crossed = await upstream.from(sender, 3)
    expect(crossed).toEqual(tagged('in.a.vlan.example').map((frame) => frame.toString('hex')))
  })

  test('opened again by the next start with fail = "open"', async () => {
    rig.reconfigure('fail = "closed"', 'fail = "open"')
    const program = rig.spawnBridge()
    await program.line(/bridge\.diverting/)
    await program.stop(15_000)
    const name = `host${++n}.ntm.example`
    expect(await dig(name)).toContain('status: NXDOMAIN')
    expect(heard(name)).toBeGreaterThan(0)
  })

  /** Asks a new name of the zone and an ordinary one; returns what the host was told about the first. */
  async function shutAndOpen(): Promise<string> {
    const name = `host${++n}.ntm.example`
    const [shut, open] = await Promise.all([dig(name), dig(PLACE.web4.name)])
    expect(open).toContain(PLACE.web4.ip4)
    expect(heard(name)).toBe(0)
    return shut
  }

  async function dig(name: string): Promise<string> {
    const { stdout, stderr } = await rig.scene.lab.run('host', 'dig', ['+tries=1', '+time=1', name, 'A'])
    return stdout + stderr
  }

  /** Frames upstream that ask for a name; with a leading dot, for any name below it. */
  function heard(name: string): number {
    const labels = name
      .split('.')
      .map((label) => (label === '' ? '' : `${hex(label.length)}${Buffer.from(label).toString('hex')}`))
    const wire = `${labels.join('')}00`
    const question = (frame: string): string => frame.slice(2 * (14 + 20 + 8 + 12))
    // UDP towards port 53; letters folded, which leaves lengths and zeros as they are.
    const asked = upstream.heard().filter(({ hex }) => hex.slice(72, 76) === '0035')
    return asked.filter(({ hex }) => {
      const q = fold(question(hex))
      return name.startsWith('.') ? q.indexOf(wire) > 0 : q.startsWith(wire)
    }).length
  }
})

const hex = (n: number): string => n.toString(16).padStart(2, '0')
/** Capital letters of a name in hex become small ones. */
const fold = (text: string): string =>
  (text.match(/../g) ?? []).map((b) => (b >= '41' && b <= '5a' ? hex(Number.parseInt(b, 16) | 0x20) : b)).join('')
