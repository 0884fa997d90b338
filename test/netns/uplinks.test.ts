import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Lab } from '#lab/netns.ts'
import { describeLab } from '#test/support/lab.ts'

// box ═ cable 192.0.2.5, 2001:db8:a::5, metric 100 ═ net ─ 203.0.113.1, 2001:db8:ff::1 (echoes the source it saw)
//     ═ radio 198.51.100.5, 2001:db8:b::5, metric 200 ═
// `net` takes from each cable what has a source of that cable alone (BCP 38), so an echo proves both.

const CHILD = join(import.meta.dirname, 'uplinks-child.ts')
const ECHO = join(import.meta.dirname, 'programs/source-echo.ts')
const SERVERS = ['203.0.113.1', '2001:db8:ff::1', '4400']

let lab: Lab
beforeEach(async () => {
  lab = new Lab()
  lab.room('box')
  lab.room('net', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  for (const [name, v4, v6, metric] of [
    ['cable', '192.0.2', '2001:db8:a:', 100],
    ['radio', '198.51.100', '2001:db8:b:', 200],
  ] as const) {
    lab.cable(['box', name], ['net', name])
    lab.ip('net', `addr add ${v4}.1/24 dev ${name}`, `addr add ${v6}:1/64 dev ${name}`)
    lab.ip('box', `addr add ${v4}.5/24 dev ${name}`, `addr add ${v6}:5/64 dev ${name}`)
    lab.ip('box', `route add default via ${v4}.1 dev ${name} metric ${metric}`)
    lab.ip('box', `route add default via ${v6}:1 dev ${name} metric ${metric}`)
  }
  lab.ip('box', 'link add own type veth peer name peer', 'link set own up', 'link set peer up')
  lab.ip('net', 'addr add 203.0.113.1/32 dev lo', 'addr add 2001:db8:ff::1/128 dev lo')
  lab.nft(
    'net',
    `table inet bcp38 {
      chain in {
        type filter hook input priority 0; policy accept;
        meta l4proto udp iifname cable ip saddr != 192.0.2.0/24 drop
        meta l4proto udp iifname radio ip saddr != 198.51.100.0/24 drop
        meta l4proto udp iifname cable ip6 saddr != 2001:db8:a::/64 drop
        meta l4proto udp iifname radio ip6 saddr != 2001:db8:b::/64 drop
      }
    }`,
  )
  await lab.spawn('net', 'echo', process.execPath, [ECHO, SERVERS[2] ?? '']).line(/echo\.ready/)
})
afterEach(() => lab.dispose())

type Asked = { readonly name: string; readonly run: string; readonly single: string; readonly counted: number[] }
const act = async (...args: readonly string[]): Promise<unknown[]> =>
  (await lab.must('box', process.execPath, [CHILD, ...args]))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
const five = (source: string): string => Array(5).fill(source).join(' ')

describeLab('ways out', () => {
  test('datagrams leave by the way they name, with its address, by every kind of socket and in both families', async () => {
    const said = (await act('send', ...SERVERS)).slice(0, -1) as Asked[]
    const sources = {
      v4: { cable: '192.0.2.5', radio: '198.51.100.5', none: '192.0.2.5' },
      v6: { cable: '2001:db8:a::5', radio: '2001:db8:b::5', none: '2001:db8:a::5' },
    }
    expect(said.length).toBe(20)
    for (const { name, run, single, counted } of said) {
      const [, family, way] = name.split(' ') as [string, 'v4' | 'v6', 'cable' | 'radio' | 'none']
      const source = sources[family][way]
      expect([run, single], name).toEqual([five(source), source])
      expect(counted, name).toEqual([6, 1, 0, 0, 0])
    }
  })

  test('what does not fit a way does not leave by another, and is told without waiting for anything to arrive', async () => {
    const said = (await act('wide', ...SERVERS)) as { errors: number; out: number; refused: number }[]
    expect(said.map((s) => [s.out, s.refused])).toEqual([
      [0, 2],
      [0, 2],
    ])
    for (const { errors } of said) expect(errors).toBeGreaterThan(0)
  })

  test('a way that has ended: runs go as the kernel chooses, single datagrams are lost, both are counted, the next way works', async () => {
    const said = (await act('lost', ...SERVERS)).slice(0, -1) as Asked[]
    expect(said.length).toBe(15)
    for (const [i, { name, run, single, counted }] of said.entries()) {
      const six = i % 3 === 1
      const [radio, cable] = six ? ['2001:db8:b::5', '2001:db8:a::5'] : ['198.51.100.5', '192.0.2.5']
      const what = name.slice('both '.length)
      if (what === 'before') expect([run, single, counted], name).toEqual([five(radio), radio, [6, 1, 0, 0, 0]])
      else if (what === 'other') expect([run, single, counted], name).toEqual([five(cable), cable, [6, 1, 0, 0, 0]])
      else expect([run, single, counted], name).toEqual([five(cable), '', [5, 1, 0, 0, 6]])
    }
  })

  test('what becomes of uplinks is told, each time as it then is and only when it changed', async () => {
    const said = (await act('follow')) as { step?: string; told?: string[]; prefers?: boolean }[]
    expect(said.filter((s) => 'failed' in s)).toEqual([])
    expect(said.flatMap((s) => s.prefers ?? [])).toEqual([true, false])
    const told = new Map(said.flatMap((s) => (s.step === undefined ? [] : [[s.step, s.told ?? []]])))
    const last = (step: string): string | undefined => told.get(step)?.at(-1)
    expect(told.get('start')).toEqual(['cable4:5 cable6:5 radio4:5 radio6:5'])
    expect(told.get('prefer radio')).toEqual(['radio4:5 radio6:5 cable4:5 cable6:5'])
    expect(told.get('prefer tape')).toEqual(['cable4:5 cable6:5 radio4:5 radio6:5'])
    expect(last('metric')).toBe('cable6:5 radio4:5 radio6:5 cable4:5')
    for (const step of ['nothing', 'virtual address', 'own interface', 'stopped'])
      expect(told.get(step), step).toEqual([])
    expect(last('second address')).toBe('cable6:5 radio4:5 radio6:5 cable4:5 cable4:6')
    expect(told.get('address gone')).toEqual(['cable6:5 radio4:5 cable4:5 cable4:6'])
    expect(last('deprecated')).toBe('radio4:5 cable4:5 cable4:6 cable6:5')
    // Its own network is a way out too.
    expect(told.get('no route')).toEqual([])
    expect(last('radio down')).toBe('cable4:5 cable4:6 cable6:5')
    // The kernel has forgotten its default route.
    expect(last('radio up')).toBe('cable4:5 cable4:6 radio4:5 cable6:5')
    expect(last('radio route')).toBe('radio4:5 cable4:5 cable4:6 cable6:5')
    expect(last('radio gone')).toBe('cable4:5 cable4:6 cable6:5')
  })

  test('an address on trial is told when its trial is over, an optimistic one before', async () => {
    lab.sysctl('box', { 'net.ipv6.conf.all.accept_dad': 1, 'net.ipv6.conf.cable.accept_dad': 1 })
    lab.sysctl('box', { 'net.ipv6.conf.cable.dad_transmits': 2, 'net.ipv6.conf.cable.optimistic_dad': 1 })
    lab.sysctl('box', { 'net.ipv6.conf.cable.use_optimistic': 1 })
    expect(await act('trial', 'optimistic')).toEqual([{ soon: true, tentative: true }, { late: true }])
    lab.ip('box', 'addr del 2001:db8:a::77/64 dev cable')
    expect(await act('trial')).toEqual([{ soon: false, tentative: true }, { late: true }])
  })
})
