import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Program, pause } from '#lab/process.ts'
import { type TwoBridges, twoBridges, ZONE } from '#lab/scenes/two-bridges.ts'
import { authority, webServer } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'

// A device that had its addresses before the bridge's program was first started, and says nothing since: nobody could have learnt of it by listening.

describeLab('a device that was never heard', () => {
  let scene: TwoBridges
  let failed = false
  let [device, lan] = [null as unknown as Program, null as unknown as Program]
  let box = ''
  beforeAll(async () => {
    scene = await twoBridges({ laptop: 'none', kinds: { b: 'full-cone' } })
    const { lab } = scene
    await webServer(lab, 'hostb', { name: 'x', listen: ['[::]', '0.0.0.0'], tls: authority(lab).issue(['x']) })
    await scene.startCoordinator()
    box = (await lab.must('bridgeb', 'cat', ['/sys/class/net/br0/address'])).trim()
    device = lab.spawn('hostb', 'device', 'tcpdump', ['-n', '-e', '-l', '-i', 'eth0', '-Q', 'out'])
    lan = lab.spawn(scene.sites.b.router, 'lan', 'tcpdump', ['-n', '-e', '-l', '-i', 'lanb'])
    await Promise.all([device.line(/listening/), lan.line(/listening/)])
    await Promise.all([scene.startBridge('b', {}, 'plc-7'), scene.startNode()])
    // A moment to be asked, claimed and granted.
    await pause(1000)
  }, 60_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-never-heard')}\n`)
    scene?.dispose()
  })

  test.each([4, 6])('is reached by name at the first try, by IPv%i', async (family) => {
    const args = ['-sS', `-${family}`, '--max-time', '4', `http://plc-7.${ZONE}/`]
    const got = await scene.lab.run('laptop', 'curl', args)
    expect(`${got.stdout}${got.stderr}`).toContain('This is the page of x')
  })

  test('it had not said a word before it was asked', async () => {
    const [first] = device
      .text()
      .split('\n')
      // Its kernel's care for its link-local address goes on by itself, and tells no other one.
      .filter((l) => /^\d+:/.test(l) && !l.includes('fe80::'))
    expect(first).toMatch(/ARP.*Reply|echo reply|neighbor/)
  })

  test('nothing of the search went to the LAN', async () => {
    const { gateway } = scene.sites.b
    const own = await scene.addresses('bridgeb', 'br0', 4)
    const frames = readFileSync(lan.log, 'utf8').split('\n')
    const mine = frames.filter((l) => l.includes(` ${box} > `))
    // What the box itself needs of its LAN is there.
    expect(mine.length).toBeGreaterThan(0)
    const asking = mine.filter((l) => /Request who-has/.test(l) && !l.includes(`who-has ${gateway} `))
    expect([own.length, asking]).toEqual([1, []])
    expect(frames.filter((l) => l.includes('> ff02::1: ') && l.includes('echo request'))).toEqual([])
  })

  test('the devices’ kernel took nobody for a second station with its address', async () => {
    const neighbours = await scene.lab.must('hostb', 'ip', ['neigh', 'show', 'dev', 'eth0'])
    const stations = neighbours
      .split('\n')
      .filter((l) => l.includes(box))
      .map((l) => l.split(' ')[0])
    const [own] = await scene.addresses('bridgeb', 'br0', 4)
    expect(stations.filter((ip) => ip !== own && !ip?.startsWith('198.18.') && !ip?.startsWith('fd'))).toEqual([])
    expect((await scene.addresses('hostb', 'eth0', 4)).length).toBe(1)
  })
})
