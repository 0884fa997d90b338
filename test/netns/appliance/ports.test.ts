import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Lab, ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'

// The appliance's port tool with real links: virtual cables stand for Ethernet ports, in the order in which they were made.

const A = '02:00:00:00:00:0a'
const B = '02:00:00:00:00:0b'
const C = '02:00:00:00:00:0c'
const D = '02:00:00:00:00:0d'

describeLab('usr/lib/ntm/wire', () => {
  test('the first port is net0, the second host0, others stay down; said once, and remembered', async () => {
    const box = new Box([A, B, C])
    await box.once()
    await box.becomes('forwarding')
    expect(box.wire()).toMatchObject({ net: 'net0', host: 'host0', net_addr: A, host_addr: B })
    expect(box.ports()).toEqual({ net: A, host: B, other: C })
    expect(await box.links()).toMatchObject({ net0: A, host0: B, br0: A })
    expect(await box.isUp('eth3')).toBe(false)
    await box.once()
    expect(box.said().filter((line) => line.includes('bridge forwards frames'))).toHaveLength(1)
    expect(box.said()[0]).toMatch(/^ntm-wire: bridge forwards frames, \d+\.\d s after the kernel started$/)
  })

  test('remembered ports keep their names in whichever order they appear', async () => {
    const box = new Box([B, C, A])
    box.remember(`net=${A}\nhost=${B}\nother=\n`)
    await box.once()
    await box.becomes('forwarding')
    expect(await box.links()).toMatchObject({ net0: A, host0: B })
  })

  test('ports that are named the wrong way round change places', async () => {
    const box = new Box([A, B])
    await box.once()
    box.configure('ports', `net=${B}\nhost=${A.toUpperCase().replaceAll(':', '-')}\n`)
    await box.once()
    await box.becomes('forwarding')
    expect(await box.links()).toMatchObject({ net0: B, host0: A, br0: B })
  })

  test('one port: the box is reachable by it; the second one makes the wire when it comes, and the first notices nothing', async () => {
    const box = new Box([A])
    await box.once()
    expect(box.wire()).toMatchObject({ state: 'one-port', net: 'net0', host: '' })
    expect(existsSync(join(box.data, 'ports'))).toBe(false)
    await box.setIpv6()
    await box.watch()
    await box.plug(B)
    await box.becomes('forwarding')
    // By the first look; the service that goes on looking does not say it again.
    expect(box.said().filter((line) => line.includes('there is only one'))).toHaveLength(1)
    expect(box.ports()).toMatchObject({ net: A, host: B })
    // What networkd has set up on br0 since is still there.
    expect(await box.lab.must('box', 'ip', ['-6', 'address', 'show', 'dev', 'br0'])).toContain('2001:db8::7')
  })

  test('a port that leaves is waited for and joins again under another index; frames of the wire pass all the while a third one comes', async () => {
    const box = new Box([A, B])
    await box.once()
    await box.becomes('forwarding')
    await box.watch()
    await box.unplug('host0')
    await box.becomes('no-host-port')
    expect(box.wire()['why']).toContain(B)
    await box.plug(B)
    await box.becomes('forwarding')
    const pings = box.lab.run('far', 'ping', ['-i', '0.02', '-c', '100', '-W', '1', '10.9.0.2'], { limitMs: 30_000 })
    await box.plug(C)
    await until('the third port remembered', () => (box.ports()['other'] === C ? true : null), 10_000)
    const { stdout } = await pings
    expect(stdout).toContain('100 received')
    await box.hears('host0: port gone')
  })

  test('another adapter takes the place of one that stays away, but not at once, and not one that was there before', async () => {
    const box = new Box([A, C, D])
    box.remember(`net=${A}\nhost=${B}\nother=${C}\n`)
    await box.once({ NTM_WIRE_SETTLE: '99999999' })
    expect(box.wire()['state']).toBe('no-host-port')
    await box.once({ NTM_WIRE_SETTLE: '0' })
    await box.becomes('forwarding')
    expect(box.ports()).toMatchObject({ net: A, host: D })
  })

  test('configured ports are never replaced', async () => {
    const box = new Box([A, C])
    box.configure('ports', `net=${A}\nhost=${B}\n`)
    await box.once({ NTM_WIRE_SETTLE: '0' })
    expect(box.wire()).toMatchObject({ state: 'no-host-port', why: `waiting for host0 (${B})` })
  })

  test('in another box, where both are strangers, the rule decides anew', async () => {
    const box = new Box([C, D])
    box.remember(`net=${A}\nhost=${B}\nother=\n`)
    await box.once({ NTM_WIRE_SETTLE: '99999999' })
    await box.becomes('forwarding')
    expect(await box.links()).toMatchObject({ net0: C, host0: D })
  })

  test('net0 away: the hosts see their link go down', async () => {
    const box = new Box([B])
    box.remember(`net=${A}\nhost=${B}\nother=\n`)
    await box.once()
    expect(box.wire()).toMatchObject({ state: 'no-net-port', host: 'host0', net: '' })
    expect(await box.isUp('host0')).toBe(false)
  })

  test('a cable pulled is told by the name of its port', async () => {
    const box = new Box([A, B])
    await box.once()
    await box.becomes('forwarding')
    await box.watch()
    box.lab.ip('host', `link set ${box.end(B)} down`)
    await box.becomes('no-cable')
    expect(box.wire()['why']).toBe('no cable in host0')
    await box.hears('host0: cable out')
    box.lab.ip('host', `link set ${box.end(B)} up`)
    await box.becomes('forwarding')
    await box.hears('host0: cable in')
    await box.hears('bridge forwards frames again')
  })

  test('other roles: net0 alone, no bridge; a box that becomes a bridge again bridges', async () => {
    const box = new Box([A, B])
    await box.once()
    await box.becomes('forwarding')
    box.configure('role', 'tt\n')
    await box.once()
    expect(box.wire()).toMatchObject({ state: 'off', why: 'role tt uses net0 alone', net_addr: A })
    expect(Object.keys(await box.links())).not.toContain('br0')
    expect(await box.isUp('host0')).toBe(false)
    expect(await box.isUp('net0')).toBe(true)
    box.configure('role', 'bridge\n')
    await box.once()
    await box.becomes('forwarding')
    expect(await box.links()).toMatchObject({ net0: A, host0: B })
  })

  test('no port at all is said', async () => {
    const box = new Box([])
    await box.once()
    expect(box.wire()).toMatchObject({ state: 'no-net-port', why: 'there is no Ethernet port' })
  })
})

class Box {
  readonly lab = new Lab()
  readonly data: string
  watcher: Program | null = null
  readonly #run: string
  readonly #console: string
  #made = 0

  constructor(ports: readonly string[]) {
    onTestFinished(() => this.lab.dispose())
    this.lab.room('box')
    this.lab.room('far')
    this.lab.room('host')
    this.data = join(this.lab.dir, 'data')
    this.#run = join(this.lab.dir, 'run')
    this.#console = join(this.lab.dir, 'console')
    for (const dir of [join(this.data, 'config/system'), this.#run]) mkdirSync(dir, { recursive: true })
    writeFileSync(this.#console, '')
    for (const addr of ports) this.#cable(addr)
  }

  /** The far end of the cable to the port with this address. */
  end = (addr: string): string => `far${addr.slice(-2)}`

  /** Plugs a port in, as an adapter that has just been found: down, and named by the kernel. */
  async plug(addr: string): Promise<void> {
    this.#cable(addr)
  }

  async unplug(name: string): Promise<void> {
    await this.lab.must('box', 'ip', ['link', 'del', name])
  }

  #cable(addr: string): void {
    const [near, end, room] = [`eth${++this.#made}`, this.end(addr), addr === A ? 'far' : 'host']
    this.lab.cable(['box', near], [room, end], { leaveDown: ['box'] })
    this.lab.ip('box', `link set ${near} address ${addr}`)
    if (addr === A) this.lab.ip(room, `address add 10.9.0.1/24 dev ${end}`)
    if (addr === B) this.lab.ip(room, `address add 10.9.0.2/24 dev ${end}`)
  }

  async once(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const done = await this.lab.run('box', 'busybox', ['sh', TOOL, 'once'], { env: this.#env(env) })
    expect(done.stderr).toBe('')
  }

  /** Resolves when it has looked once. */
  async watch(): Promise<void> {
    const before = this.wire()['uptime']
    this.watcher = this.lab.spawn('box', 'wire', 'busybox', ['sh', TOOL, 'watch'], { env: this.#env({}) })
    await until('the first look', () => (this.wire()['uptime'] === before ? null : true))
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }

  async becomes(state: string): Promise<void> {
    await until(`wire ${state}`, async () => {
      if (this.watcher === null && this.wire()['state'] === 'no-cable') await this.once()
      return this.wire()['state'] === state ? true : null
    })
  }

  /** A line on the consoles. */
  async hears(words: string): Promise<void> {
    await until(words, () => (this.said().includes(`ntm-wire: ${words}`) ? true : null))
  }

  /** As networkd does when it configures br0 after it was made. */
  async setIpv6(): Promise<void> {
    this.lab.sysctl('box', { 'net.ipv6.conf.br0.disable_ipv6': 0 })
    this.lab.ip('box', 'address add 2001:db8::7/64 dev br0 nodad')
  }

  async links(): Promise<Record<string, string>> {
    const all = JSON.parse(await this.lab.must('box', 'ip', ['-j', 'link'])) as { ifname: string; address: string }[]
    return Object.fromEntries(all.map((l) => [l.ifname, l.address]))
  }

  async isUp(name: string): Promise<boolean> {
    const [link] = JSON.parse(await this.lab.must('box', 'ip', ['-j', 'link', 'show', name])) as { flags: string[] }[]
    return link?.flags.includes('UP') === true
  }

  remember = (text: string): void => writeFileSync(join(this.data, 'ports'), text)
  configure = (name: string, text: string): void => writeFileSync(join(this.data, 'config/system', name), text)
  wire = (): Record<string, string> => facts(join(this.#run, 'wire'))
  ports = (): Record<string, string> => facts(join(this.data, 'ports'))
  said = (): string[] => readFileSync(this.#console, 'utf8').split('\n').slice(0, -1)

  #env(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
    return {
      ...process.env,
      NTM_LIB: join(ROOT, 'board/common/overlay/usr/lib/ntm'),
      NTM_BRIDGE_UP: join(ROOT, 'board/common/bridge-up.sh'),
      NTM_RUN: this.#run,
      NTM_DATA: this.data,
      NTM_CONSOLES: this.#console,
      NTM_WIRE_VIRTUAL: '1',
      NTM_DRIVERS: 'true',
      ...more,
    }
  }
}

const TOOL = join(ROOT, 'board/common/overlay/usr/lib/ntm/wire')

function facts(file: string): Record<string, string> {
  if (!existsSync(file)) return {}
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('='))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}
