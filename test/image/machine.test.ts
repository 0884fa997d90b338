import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { pidsIn } from '#lab/ip.ts'
import { Lab } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { Disk } from '#lab/vm/disk.ts'
import { makeStick } from '#lab/vm/fat.ts'
import { ServedDisk } from '#lab/vm/served-disk.ts'
import { Vm } from '#lab/vm.ts'
import { describeImage } from '#test/support/image.ts'

// near eth0 ── port0 [ box: a machine whose disk is empty ]
// The harness itself: nothing is booted, so these take seconds.

const port = { link: 'port0', linkAddr: '52:54:00:00:00:01' } as const

function machine(lab: Lab, bytes = 4 << 20): Vm {
  for (const room of ['near', 'box']) lab.room(room)
  lab.cable(['near', 'eth0'], ['box', port.link])
  const blank = lab.file('blank', '')
  truncateSync(blank, bytes)
  return new Vm(lab, new Disk(blank, join(lab.dir, 'box.img')), { room: 'box', nics: [port] })
}

describeImage('a machine in a lab', 'x86_64', () => {
  test('runs in its room, is pulled apart and put together, ends, starts again, and is gone with its lab', async () => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    const vm = machine(lab)
    await vm.start()
    const inside = pidsIn(lab.netns('box'))
    expect(inside.map((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim())).toEqual(['qemu-system-x86'])
    expect(await vm.qmp('query-status')).toMatchObject({ status: 'running' })
    await vm.cable('port0', false)
    await expect(vm.plugNic('port0')).rejects.toThrow('QMP')
    const stick = join(lab.dir, 'stick.img')
    makeStick(stick, { 'ntm.toml': 'role = "bridge"\n' })
    await vm.plugStick(stick)
    await vm.reset()
    await until('a reset', () => (vm.events.includes('RESET') ? true : null))
    await vm.powerCut()
    expect(vm.running).toBe(false)
    await vm.start()
    expect(vm.running).toBe(true)
    const [pid] = pidsIn(lab.netns('box'))
    lab.dispose()
    expect(lives(pid ?? 0)).toBe(false)
  })

  test('what says nothing is not waited for past the limit, and the console is in the message', async () => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    const vm = machine(lab)
    await vm.start()
    await expect(vm.until(/never/, { limitMs: 200 })).rejects.toThrow(/no \/never\/ in 0\.2 s/)
    await vm.powerCut()
    await expect(vm.until(/never/)).rejects.toThrow('ended before /never/')
  })

  test('a killed test leaves no machine', async () => {
    const file = new URL('../../lab/vm-main.ts', import.meta.url).pathname
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    const disk = lab.file('blank.img', '')
    writeFileSync(disk, '')
    truncateSync(disk, 4 << 20)
    const child = spawn(process.execPath, [file, '--image', disk], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const room = await until('the room', () => /exec (ntm-\w+-box) /.exec(said)?.[1] ?? null, 30_000)
    const pid = await until('its machine', () => pidsIn(room)[0] ?? null, 30_000)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await until('the machine is gone', () => (lives(pid) ? null : true), 10_000)
  })

  test('what the box did not flush is gone with the power, what it flushed is not', async () => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    const vm = machine(lab)
    await vm.start({}, { lossy: true })
    // QEMU's own monitor writes as a guest would: through the layer's cache.
    const write = (at: number, text: string): Promise<unknown> =>
      vm.qmp('human-monitor-command', { 'command-line': `qemu-io disk "write -P ${text} ${at} 65536"` })
    await write(0, '0x11')
    await vm.qmp('human-monitor-command', { 'command-line': 'qemu-io disk "flush"' })
    await write(1 << 20, '0x22')
    await vm.powerCut()
    const disk = readFileSync(vm.disk.file)
    expect([disk[0], disk[1 << 20]]).toEqual([0x11, 0])
  })

  test('a disk of which a stretch begins to fail fails there and nowhere else', async () => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    const file = lab.file('disk', '')
    truncateSync(file, 4 << 20)
    const disk = await ServedDisk.serve(file, join(lab.dir, 'socket'))
    onTestFinished(() => disk.close())
    lab.room('near')
    const io = async (command: string): Promise<string> => {
      const { stdout, stderr } = await lab.run('near', 'qemu-io', [
        '-f',
        'raw',
        '-c',
        command,
        `nbd:unix:${disk.socket}`,
      ])
      return stdout + stderr
    }
    const [well, sick] = [/^(read|wrote) \d+\/\d+ bytes/, /Input\/output error/]
    expect(await io('write -P 0x11 1M 1M')).toMatch(well)
    disk.dies({ offset: 1 << 20, bytes: 1 << 20 }, 'writes')
    expect(await io('write -P 0x22 2096640 4096')).toMatch(sick)
    expect(await io('read -P 0x11 1M 1M')).toMatch(well)
    disk.dies({ offset: 1 << 20, bytes: 1 << 20 })
    expect(await io('read 1M 512')).toMatch(sick)
    expect(await io('write -P 0x33 1048064 512')).toMatch(well)
    expect(await io('write -P 0x33 2M 512')).toMatch(well)
    expect(disk.failed).toBe(2)
    expect([1048064, 1 << 20, 2 << 20].map((at) => readFileSync(file)[at])).toEqual([0x33, 0x11, 0x33])
  })
})

/** One that has ended and was not asked after yet does not live. */
const lives = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
