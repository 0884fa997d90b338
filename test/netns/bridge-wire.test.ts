import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeLab } from '#test/support/lab.ts'

// host (10.77.0.5) h0 ── host0 ─ br0 ─ net0 ── n0 lan (10.77.0.1: dnsmasq)
// The host is untouched. both.example has A and AAAA, v6only.example an AAAA, empty.example only a TXT.
const tag = `ntm-wire-${process.pid}`
const [HOST, BOX, LAN] = [`${tag}-host`, `${tag}-box`, `${tag}-lan`]

describeLab('the bridge on a real wire', () => {
  let dns: ChildProcess
  let bridge: ChildProcess
  let lines: Interface

  beforeAll(async () => {
    build()
    dns = spawn(
      'ip',
      [
        'netns',
        'exec',
        LAN,
        'dnsmasq',
        '-k',
        '-C',
        '/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--pid-file=',
        '--user=root',
        '--listen-address=10.77.0.1',
        '--bind-interfaces',
        '--local=/example/',
        '--host-record=both.example,192.0.2.1,2001:db8::1',
        '--host-record=v6only.example,2001:db8::2',
        '--txt-record=empty.example,x',
      ],
      { stdio: 'ignore' },
    )
    bridge = spawn('ip', ['netns', 'exec', BOX, process.execPath, join(import.meta.dirname, 'bridge-wire-child.ts')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    lines = createInterface({ input: bridge.stdout as NonNullable<typeof bridge.stdout> })
    expect(await next(lines)).toBe('ready')
    await ready()
  })

  afterAll(async () => {
    const gone = [dns, bridge].map((p) => new Promise((done) => p.once('exit', done)))
    bridge.stdin?.end()
    dns.kill()
    await Promise.all(gone)
    for (const ns of [HOST, BOX, LAN]) execFileSync('ip', ['netns', 'del', ns])
  })

  test('a name with an A is answered by its own resolver, once', async () => {
    expect(await ask('both.example', 1, 11)).toMatchObject([{ id: 11, rcode: 0, ips: ['192.0.2.1'] }])
  })

  test('a name without an A is answered with a virtual address, once, also when asked twice', async () => {
    expect(await ask('v6only.example', 1, 21, 21)).toMatchObject([{ id: 21, rcode: 0, ips: ['198.19.0.7'] }])
    const again = await ask('v6only.example', 1, 22)
    expect(again).toMatchObject([{ id: 22, ips: ['198.19.0.7'] }])
  })

  test('its AAAA, a name that does not exist and one without addresses pass unchanged', async () => {
    expect(await ask('v6only.example', 28, 31)).toMatchObject([{ id: 31, ips: ['2001:db8::2'] }])
    expect(await ask('gone.example', 1, 32)).toMatchObject([{ id: 32, rcode: 3, ips: [] }])
    expect(await ask('empty.example', 1, 33)).toMatchObject([{ id: 33, rcode: 0, ips: [] }])
  })

  test('datagrams to the virtual address go into the tunnel and come back with checksums the host accepts', async () => {
    expect(await host('echo', '198.19.0.7')).toMatchObject([{ from: '198.19.0.7', text: 'hello through the tunnel' }])
    bridge.stdin?.write('\n')
    const counted = JSON.parse(await next(lines)) as Record<string, number>
    expect(counted).toMatchObject({ 'verdict.to-tunnel': 1, 'tunnel.to-host': 1, 'out.direct': 1 })
    expect(Object.keys(counted).filter((name) => name.startsWith('bridge.drop'))).toEqual([])
  })

  test('ping of the gateway and ARP cross the bridge as ever', async () => {
    const { stdout } = await promisify(execFile)('ip', [
      'netns',
      'exec',
      HOST,
      'ping',
      '-c2',
      '-i0.2',
      '-W2',
      '10.77.0.1',
    ])
    expect(stdout).toContain('2 received')
  })
})

const next = (from: Interface): Promise<string> => new Promise((done) => from.once('line', done))

async function host(...args: readonly (string | number)[]): Promise<unknown[]> {
  const script = join(import.meta.dirname, 'bridge-wire-host.ts')
  const all = ['netns', 'exec', HOST, process.execPath, script, ...args.map(String)]
  return JSON.parse((await promisify(execFile)('ip', all)).stdout) as unknown[]
}

const ask = (name: string, type: number, ...ids: number[]): Promise<unknown[]> => host('ask', name, type, ...ids)

/** The resolver is up, and the host has been met and granted its pair. */
async function ready(): Promise<void> {
  for (let i = 0; i < 20; i++) if ((await ask('warm.example', 16, 1)).length === 1) return
  throw new Error('the resolver never answered through the bridge')
}

function build(): void {
  const ip = (line: string): void => void execFileSync('ip', line.split(' '), { stdio: 'pipe' })
  for (const ns of [HOST, BOX, LAN]) ip(`netns add ${ns}`)
  ip(`-n ${BOX} link add host0 type veth peer name h0 netns ${HOST}`)
  ip(`-n ${BOX} link add net0 address 02:00:00:00:00:bb type veth peer name n0 netns ${LAN}`)
  ip(`-n ${BOX} link add br0 address 02:00:00:00:00:bb type bridge stp_state 0 mcast_snooping 0`)
  for (const dev of ['host0', 'net0']) ip(`-n ${BOX} link set ${dev} master br0 up`)
  ip(`-n ${BOX} link set br0 up`)
  for (const [ns, dev, address] of [
    [HOST, 'h0', '10.77.0.5/24'],
    [LAN, 'n0', '10.77.0.1/24'],
  ]) {
    ip(`-n ${ns} address add ${address} dev ${dev}`)
    ip(`-n ${ns} link set ${dev} up`)
    ip(`-n ${ns} link set lo up`)
  }
  ip(`-n ${HOST} route add default via 10.77.0.1`)
}
