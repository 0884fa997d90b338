import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { Keystore } from './keystore.ts'
import { serversOf, withOurs, withoutOurs } from './resolver-conf.ts'
import { ResolverFile } from './resolver-file.ts'
import { resolvedServes } from './resolver-resolved.ts'

const OWN = parseIp('127.0.0.43')!
const FORMER = 'search lab.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions rotate timeout:1\n'

test('ours comes first, the former servers stay behind it and are ours to forward to', () => {
  const { file, take, text } = place(FORMER)
  expect(take().map((e) => ipText(e.ip))).toEqual(['192.0.2.53', '2001:db8::53'])
  expect(text()).toMatch(
    /^# ntm: .*\nnameserver 127\.0\.0\.43\nsearch lab\.example\nnameserver 192\.0\.2\.53\nnameserver 2001:db8::53\noptions timeout:1\n$/,
  )
  expect(file.release()).toBe('restored')
  expect(text()).toBe(FORMER)
  expect(file.release()).toBe('nothing')
})

test('libc reads three servers: the third of the former ones is left out', () => {
  const many = [1, 2, 3].map((n) => `nameserver 192.0.2.${n}\n`).join('')
  expect(serversOf(withOurs(many, OWN, 'x'), parseIp('::')!).map((e) => ipText(e.ip))).toEqual([
    '127.0.0.43',
    '192.0.2.1',
    '192.0.2.2',
  ])
})

test('a crash: the next start gives the former text back, also when it takes the file at once again', () => {
  const { dir, path, take, text } = place(FORMER)
  take()
  const next = new ResolverFile(path, new Keystore(join(dir, 'state')), OWN)
  expect(next.take().map((e) => ipText(e.ip))).toEqual(['192.0.2.53', '2001:db8::53'])
  expect(text().match(/127\.0\.0\.43/g)).toHaveLength(1)
  expect(next.release()).toBe('restored')
  expect(text()).toBe(FORMER)
})

test('a power cut before the file was written: nothing happens to it', () => {
  const { dir, path, take, text } = place(FORMER)
  take()
  writeFileSync(path, FORMER)
  expect(new ResolverFile(path, new Keystore(join(dir, 'state')), OWN).release()).toBe('restored')
  expect(text()).toBe(FORMER)
})

test('what somebody else wrote meanwhile stays, but for our own lines', () => {
  const dhcp = 'nameserver 198.51.100.1\n'
  const { file, take, text, path } = place(FORMER)
  take()
  writeFileSync(path, dhcp)
  expect(file.release()).toBe('left')
  expect(text()).toBe(dhcp)
  take()
  writeFileSync(path, `nameserver 127.0.0.43\nnameserver 198.51.100.2\n`)
  expect(file.release()).toBe('left')
  expect(text()).toBe('nameserver 198.51.100.2\n')
})

test('changed by others while we run: their servers are ours to forward to, ours comes first again', async () => {
  const { file, take, text, path } = place(FORMER)
  take()
  const changed = new Promise<readonly string[]>((resolve, reject) => {
    file.watch((servers) => resolve(servers.map((e) => ipText(e.ip))), reject)
  })
  onTestFinished(() => file.unwatch())
  writeFileSync(path, 'nameserver 198.51.100.1\n')
  expect(await changed).toEqual(['198.51.100.1'])
  expect(text()).toMatch(/^# ntm: .*\nnameserver 127\.0\.0\.43\nnameserver 198\.51\.100\.1\n$/)
  expect(file.release()).toBe('restored')
  expect(text()).toBe('nameserver 198.51.100.1\n')
})

test('a symbolic link stays one, its target keeps its mode', () => {
  const { dir, take, file, text } = place(FORMER, 'run/target.conf')
  const target = join(dir, 'run/target.conf')
  take()
  expect(lstatSync(join(dir, 'resolv.conf')).isSymbolicLink()).toBe(true)
  expect(text()).toContain('127.0.0.43')
  expect(statSync(target).mode & 0o777).toBe(0o640)
  file.release()
  expect(lstatSync(join(dir, 'resolv.conf')).isSymbolicLink()).toBe(true)
  expect(readFileSync(target, 'utf8')).toBe(FORMER)
  expect(statSync(target).mode & 0o777).toBe(0o640)
})

test('where there was none, there is none afterwards', () => {
  const { dir, take, file, path } = place(null)
  expect(take()).toEqual([])
  expect(readFileSync(path, 'utf8')).toContain('127.0.0.43')
  expect(file.release()).toBe('restored')
  expect(() => statSync(path)).toThrow()
  expect(statSync(join(dir, 'state')).isDirectory()).toBe(true)
})

test('any text comes back to the byte', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom('nameserver 192.0.2.1', 'options rotate', '', '# x'), fc.string()), {
        maxLength: 6,
      }),
      (lines) => {
        const before = lines.join('\n')
        if (withoutOurs(before, OWN) !== before) return
        const { take, file, path } = place(before)
        take()
        expect(readFileSync(path, 'utf8').split('\n')[1]).toBe('nameserver 127.0.0.43')
        file.release()
        expect(readFileSync(path, 'utf8')).toBe(before)
      },
    ),
    { numRuns: 40 },
  )
})

test('systemd-resolved serves where its files are and resolv.conf names its stub', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-resolved-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  expect(resolvedServes('nameserver 127.0.0.53\n', dir)).toBe(false)
  writeFileSync(join(dir, 'resolv.conf'), 'nameserver 192.0.2.1\n')
  expect(resolvedServes('nameserver 127.0.0.53\n', dir)).toBe(true)
  expect(resolvedServes('nameserver 192.0.2.1\n', dir)).toBe(false)
})

function place(former: string | null, linkTo: string | null = null) {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-resolv-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const path = join(dir, 'resolv.conf')
  if (linkTo !== null) {
    mkdirSync(join(dir, 'run'))
    writeFileSync(join(dir, linkTo), former ?? '', { mode: 0o640 })
    symlinkSync(linkTo, path)
  } else if (former !== null) writeFileSync(path, former)
  const file = new ResolverFile(path, new Keystore(join(dir, 'state')), OWN)
  return { dir, path, file, take: () => file.take(), text: () => readFileSync(path, 'utf8') }
}
