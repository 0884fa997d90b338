import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Lab, ROOT } from '#lab/netns.ts'
import { sweep } from '#lab/owner.ts'
import { type Program, start } from '#lab/process.ts'
import { dhcpClient } from '#lab/services.ts'
import { describeLab, machineState } from '#test/support/lab.ts'

describeLab('a lab leaves the machine as it was', () => {
  test('after dispose, which may come twice', () => {
    const before = machineState([])
    const lab = small()
    lab.spawn('b', 'sleeper', 'sleep', ['1000'])
    expect(machineState([lab.tag]).length).toBeGreaterThan(before.length)
    lab.dispose()
    lab.dispose()
    expect(machineState([lab.tag])).toEqual(before)
    expect(existsSync(lab.dir)).toBe(false)
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`after ${signal}`, async () => {
      const before = machineState([])
      const { holder, tag } = await held()
      expect(machineState([tag]).length).toBeGreaterThan(before.length)
      holder.kill(signal)
      // Ended by the signal itself, so that make and the shell see an interruption.
      expect(await holder.exited).toBe(signal)
      expect(machineState([tag])).toEqual(before)
    })
  }

  test('after SIGKILL, when the next one starts', async () => {
    const before = machineState([])
    const { holder, tag } = await held()
    holder.kill('SIGKILL')
    await holder.exited
    expect(machineState([tag]).filter((line) => line.includes(tag))).not.toEqual([])
    small().dispose()
    expect(machineState([tag])).toEqual(before)
  })
})

describeLab('two labs at once', () => {
  test('neither sees, sweeps nor disturbs the other', async () => {
    const { holder, tag } = await held()
    const lab = small()
    onTestFinished(() => lab.dispose())
    expect(lab.tag).not.toBe(tag)
    expect(sweep()).not.toContain(tag)
    // Same addresses, same names, other cable.
    expect((await lab.run('a', 'ping', ['-c1', '-W2', '10.1.0.2'])).code).toBe(0)
    lab.dispose()
    expect(holder.alive()).toBe(true)
    expect(machineState([tag]).join('\n')).toContain(`ntm-${tag}-one`)
  })
})

describeLab('a room', () => {
  test('has a resolv.conf of its own while the machine keeps its', async () => {
    const machines = readFileSync('/etc/resolv.conf', 'utf8')
    const lab = small()
    onTestFinished(() => lab.dispose())
    lab.etc('a', 'resolv.conf', 'nameserver 192.0.2.99\n')
    expect(await lab.must('a', 'cat', ['/etc/resolv.conf'])).toBe('nameserver 192.0.2.99\n')
    expect(readFileSync('/etc/resolv.conf', 'utf8')).toBe(machines)
  })

  test('reaches its neighbour and nobody else', async () => {
    const lab = small()
    onTestFinished(() => lab.dispose())
    expect((await lab.run('a', 'ping', ['-c1', '-W2', '10.1.0.2'])).code).toBe(0)
    expect((await lab.run('a', 'ping', ['-c1', '-W1', '192.0.2.1'])).code).not.toBe(0)
  })

  test('keeps no DHCP client that got no lease', async () => {
    const lab = small()
    onTestFinished(() => lab.dispose())
    await expect(dhcpClient(lab, 'a', 'eth0', 1000)).rejects.toThrow('udhcpc')
    expect((await lab.must('a', 'ip', ['netns', 'pids', lab.netns('a')])).trim().split('\n')).toHaveLength(1)
  })

  test('reports a failing command with what it said', async () => {
    const lab = small()
    onTestFinished(() => lab.dispose())
    expect(() => lab.ip('a', 'link set nothing up')).toThrow(/Cannot find device "nothing"/)
    await expect(lab.must('a', 'sh', ['-c', 'echo broken >&2; exit 3'])).rejects.toThrow(/exit 3\nbroken/)
    const program = lab.spawn('a', 'short', 'sh', ['-c', 'echo last words; exit 4'])
    await expect(program.line(/ready/)).rejects.toThrow(/ended \(4\)[\s\S]*last words/)
  })
})

function small(): Lab {
  const lab = new Lab()
  lab.room('a')
  lab.room('b')
  lab.cable(['a', 'eth0'], ['b', 'eth0'])
  lab.ip('a', 'addr add 10.1.0.1/24 dev eth0')
  lab.ip('b', 'addr add 10.1.0.2/24 dev eth0')
  return lab
}

/** Another process that holds a lab open. It is ended with the test. */
async function held(): Promise<{ holder: Program; tag: string }> {
  const log = join(ROOT, '.run', `hold-${process.pid}-${performance.now()}.log`)
  const holder = start('hold', process.execPath, [join(ROOT, 'test/netns/programs/hold-lab.ts')], log)
  onTestFinished(async () => {
    await holder.stop()
    rmSync(log, { force: true })
  })
  const line = await holder.line(/^open /)
  return { holder, tag: line.replace('open ', '') }
}
