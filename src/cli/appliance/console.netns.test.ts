import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { serveControl } from '#io/control-socket.ts'
import { startConsole } from './console.ts'

// Two terminals: their names, then what comes out of them, a line each; what comes in is typed at the first one.
const TERMINALS = `
import os, pty, select, sys
ends = [pty.openpty() for _ in range(2)]
print(' '.join(os.ttyname(slave) for _, slave in ends), flush=True)
while True:
    for fd in select.select([m for m, _ in ends] + [0], [], [])[0]:
        data = os.read(fd, 65536)
        if fd == 0:
            if not data: sys.exit()
            os.write(ends[0][0], data)
        else: print([m for m, _ in ends].index(fd), data.hex(), flush=True)
`

test('a screen on each terminal, drawn again only when something changed; what is typed there does nothing', {
  timeout: 60_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-console-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const places = {
    run: join(dir, 'run'),
    sockets: join(dir, 'sockets'),
    data: join(dir, 'data'),
    sys: join(dir, 'sys'),
    image: join(dir, 'image.json'),
  }
  for (const sub of ['run', 'data/config/system', 'sys/net0/device', 'sys/host0/device'])
    mkdirSync(join(dir, sub), { recursive: true })
  for (const [name, carrier, address] of [
    ['net0', '1', '52:54:00:00:00:01'],
    ['host0', '0', '52:54:00:00:00:02'],
  ]) {
    writeFileSync(join(dir, `sys/${name}/carrier`), `${carrier}\n`)
    writeFileSync(join(dir, `sys/${name}/address`), `${address}\n`)
  }
  writeFileSync(places.image, '{"product":"ntm","board":"x86_64","version":"0.1.0","built":1}')

  const child = spawn('python3', ['-c', TERMINALS], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill())
  const [names] = (await once(child.stdout, 'data')) as [Buffer]
  const shown = ['', '']
  let come = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    come += text
    for (let end = come.indexOf('\n'); end >= 0; end = come.indexOf('\n')) {
      const [which = '0', hex = ''] = come.slice(0, end).split(' ')
      shown[Number(which)] += Buffer.from(hex, 'hex').toString()
      come = come.slice(end + 1)
    }
  })
  const until = async (is: () => boolean): Promise<void> => {
    while (!is()) await new Promise((done) => setTimeout(done, 20))
  }

  const screens = startConsole([...names.toString().trim().split(' '), '/dev/nowhere'], places)
  onTestFinished(() => screens.close())
  await until(() => shown.every((text) => text.includes('\u001b[J')))
  for (const text of shown) {
    expect(text.startsWith('\u001b[0m\u001b[?25l\u001b[2J\u001b[HNTM box 0.1.0')).toBe(true)
    expect(text).toContain('net0 up')
    expect(text).toContain('host0 no cable')
    expect(text).toContain('Not in a network yet.')
    expect(text).toContain('▀')
  }

  // The clock may pass a minute; nothing else is different.
  child.stdin.write('root\r\u0003\u001b[A')
  const before = shown.map((text) => text.length)
  await new Promise((done) => setTimeout(done, 3000))
  for (const [i, text] of shown.entries()) {
    const later = text.slice(before[i])
    if (later !== '') expect(later.startsWith('\u001b[H')).toBe(true)
    expect(later).not.toMatch(/root|\^C|\^\[/)
  }

  // The program starts, and its box is a member.
  writeFileSync(join(dir, 'data/config/system/role'), 'bridge\n')
  const coordinator = { state: 'registered', at: ['192.0.2.1:4330'], lastError: null }
  const server = await serveControl(join(places.sockets, 'bridge.sock'), () => ({
    ...{ role: 'bridge', name: 'plc-7.ntm.example', coordinator, hosts: [], paths: [] },
  }))
  onTestFinished(() => server.close())
  // A console that is started now asks before it says anything of the program.
  writeFileSync(join(dir, 'late'), '')
  const late = startConsole([join(dir, 'late')], places)
  onTestFinished(() => late.close())
  const from = shown.map((text) => text.length)
  await until(() => shown.every((text, i) => text.slice(from[i]).includes('plc-7.ntm.example  registered')))
  expect(shown.map((text, i) => text.slice(from[i]).split('\u001b[H').at(-1)?.includes('▀'))).toEqual([false, false])
  const first = readFileSync(join(dir, 'late'), 'utf8')
  expect(first).toContain('starting')
  expect(first).not.toContain('not running')
})
