import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ntm } from '#test/cli/ntm.ts'
import { packetIo } from './native.ts'
import { openSupervisor } from './supervisor.ts'

// Whoever receives: Node cannot. `path` as of NOTIFY_SOCKET.
const LISTENER = `
import socket, sys
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + path[1:] if path[0] == '@' else path)
print('open', flush=True)
while True: print(repr(s.recv(8192).decode()), flush=True)
`

/** A service manager's end: what was told, in order. */
async function listener(path: string): Promise<{ readonly heard: string[]; close(): void }> {
  const child = spawn('python3', ['-c', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill())
  const heard: string[] = []
  await once(child.stdout, 'data')
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) if (line !== '') heard.push(line.slice(1, -1).replaceAll('\\n', '|'))
  })
  return { heard, close: () => void child.kill() }
}

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-supervisor-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return dir
}

async function until(is: () => boolean): Promise<void> {
  while (!is()) await new Promise((done) => setTimeout(done, 20))
}

test('a datagram arrives whole, in the file system and at an abstract address', async () => {
  for (const path of [join(scratch(), 'notify'), `@ntm-test-${process.pid}`]) {
    const { heard } = await listener(path)
    const to = openSupervisor({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '3000000' })
    expect(to?.watchdogMs).toBe(3000)
    expect(to?.tell(['READY=1', 'STATUS=grün\nno second line'])).toBe(0)
    await until(() => heard.length > 0)
    expect(heard).toEqual(['READY=1|STATUS=grün no second line'])
  }
})

test('nobody there is a value; a wrong call is an exception', () => {
  const io = packetIo()
  expect(io.notify('/nowhere/notify', 'x')).toBe(-2)
  expect(io.notify('@ntm-nobody-is-here', 'x')).toBe(-111)
  for (const [path, text] of [
    ['relative', 'x'],
    ['/', 'x'],
    ['', 'x'],
    [`/${'x'.repeat(107)}`, 'x'],
    ['/a\0b', 'x'],
    ['/a', ''],
    ['/a', 'x'.repeat(4097)],
  ] as const)
    expect(() => io.notify(path, text), `${path} ${text.length}`).toThrow(RangeError)
  expect(() => io.notify(1 as never, 'x')).toThrow(TypeError)
  expect(() => io.notify('/a', null as never)).toThrow(TypeError)
  expect(() => (io.notify as (path: string) => number)('/a')).toThrow(TypeError)
})

test('a running role tells that it is ready, how it fares, that it lives, and that it stops', {
  timeout: 60_000,
}, async () => {
  const dir = scratch()
  const net = join(dir, 'network')
  await ntm('network', 'init', '--dir', net, '--name', 'x', '--zone', 'ntm.example', '--endpoint', '127.0.0.1:4330')
  const file = join(dir, 'ntm.toml')
  const socket = join(dir, 'c.sock')
  writeFileSync(
    file,
    `role = "coordinator"\n[network]\ndir = "${net}"\n[udp]\nport = 44330\n[control]\nsocket = "${socket}"\n`,
  )
  const { heard } = await listener(join(dir, 'notify'))
  const child = spawn(process.execPath, [join(import.meta.dirname, '../cli/ntm.ts'), 'run', '--config', file], {
    stdio: 'ignore',
    env: { ...process.env, NOTIFY_SOCKET: join(dir, 'notify'), WATCHDOG_USEC: '600000' },
  })
  await until(() => heard.filter((text) => text.includes('WATCHDOG=1')).length >= 3)
  expect(heard.join(' ')).toContain('STATUS=ntm.example: 0 boxes are here')
  const ready = heard.findIndex((text) => text.startsWith('READY=1'))
  expect(heard.findIndex((text) => text.includes('WATCHDOG=1'))).toBeGreaterThan(ready)
  expect(heard.slice(0, ready).every((text) => text.startsWith('EXTEND_TIMEOUT_USEC='))).toBe(true)
  // Frozen as a whole it is not heard of.
  child.kill('SIGSTOP')
  await new Promise((done) => setTimeout(done, 100))
  const before = heard.length
  await new Promise((done) => setTimeout(done, 700))
  expect(heard.length).toBe(before)
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  await once(child, 'exit')
  expect([child.exitCode, heard.at(-1)]).toEqual([0, 'STOPPING=1|STATUS=stopping'])
})

test('an operator’s mistake under a supervisor: said, and not tried again at once', { timeout: 60_000 }, async () => {
  const dir = scratch()
  const file = join(dir, 'ntm.toml')
  writeFileSync(file, `role = "bridge"\nstate = "${dir}/state"\n`)
  const { heard } = await listener(join(dir, 'notify'))
  const child = spawn(process.execPath, [join(import.meta.dirname, '../cli/ntm.ts'), 'run', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NOTIFY_SOCKET: join(dir, 'notify') },
  })
  let said = ''
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  await until(() => heard.some((text) => text.includes('STATUS=waits')))
  expect(heard.at(-1)).toBe(
    'STATUS=waits: network.token is missing, and this box is not a member yet|EXTEND_TIMEOUT_USEC=120000000',
  )
  await until(() => said.includes('ntm token create'))
  expect(child.exitCode).toBeNull()
  child.kill('SIGTERM')
  await once(child, 'exit')
  expect(child.exitCode).toBe(0)
})
