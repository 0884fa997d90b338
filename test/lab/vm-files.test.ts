import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '#lab/process.ts'
import { boxFiles } from '#lab/vm/box-files.ts'
import { Console } from '#lab/vm/console.ts'
import { partitionsOf } from '#lab/vm/partitions.ts'
import { keyValues } from '#lab/vm/ssh.ts'

const scratch = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-vm-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return dir
}

test('partitions are found by their names in the GUID partition table', () => {
  const image = Buffer.alloc(512 * 40)
  image.write('EFI PART', 512, 'latin1')
  image.writeBigUInt64LE(2n, 512 + 72)
  image.writeUInt32LE(4, 512 + 80)
  image.writeUInt32LE(128, 512 + 84)
  const entry = (i: number, name: string, first: bigint, last: bigint): void => {
    const at = 1024 + i * 128
    image[at] = 1
    image.writeBigUInt64LE(first, at + 32)
    image.writeBigUInt64LE(last, at + 40)
    image.write(name, at + 56, 'utf16le')
  }
  entry(0, 'boot', 34n, 35n)
  entry(2, 'data', 36n, 39n)
  const file = join(scratch(), 'disk')
  writeFileSync(file, image)
  expect(partitionsOf(file)).toEqual([
    { name: 'boot', offset: 34 * 512, bytes: 1024 },
    { name: 'data', offset: 36 * 512, bytes: 2048 },
  ])
  writeFileSync(file, Buffer.alloc(4096))
  expect(() => partitionsOf(file)).toThrow('no GUID partition table')
})

test('the console is told by lines, without what only a terminal understands', async () => {
  const dir = scratch()
  const [path, log] = [join(dir, 'tty'), join(dir, 'log')]
  const server = createServer((socket) => {
    socket.write('\u001b[2J\u001b[01;01HGNU GRUB\r\nntm-wi')
    setTimeout(() => socket.write('re: bridge forwards frames, 3.2 s after\r\nunfinished'), 20)
  }).listen(path)
  onTestFinished(() => {
    server.close()
  })
  const seen = new Console(log)
  await seen.attach([path], 1000)
  onTestFinished(() => seen.detach())
  await until('the second line', () => seen.find(/forwards frames/), 5000)
  expect(seen.lines.map((line) => line.text)).toEqual(['GNU GRUB', 'ntm-wire: bridge forwards frames, 3.2 s after'])
  expect(seen.find(/unfinished/)).toBeNull()
  expect(seen.find(/GRUB/, 1)).toBeNull()
  expect(seen.tail()).toMatch(/^ +0\.\d{3} GNU GRUB\n/)
})

test('a box is told what it is by the example of its role, changed', () => {
  const files = boxFiles({
    role: 'bridge',
    settings: { 'udp.port': 4331 },
    appliance: { address: '192.168.77.50/24', ssh_keys: ['ssh-ed25519 AAAA'] },
    ports: { host: '52:54:00:00:00:02' },
    token: 'abc',
    files: { 'factory-reset': '' },
  })
  expect(Object.keys(files)).toEqual(['ntm.toml', 'token', 'factory-reset'])
  const toml = String(files['ntm.toml'])
  expect(toml).toContain('role = "bridge"')
  expect(toml).toContain('port = 4331')
  expect(toml).toContain('[appliance]\naddress = "192.168.77.50/24"\nssh_keys = ["ssh-ed25519 AAAA"]')
  expect(toml).toContain('[appliance.ports]\nhost = "52:54:00:00:00:02"')
})

test('state files are lines of key=value', () => {
  expect(keyValues('state=forwarding\nwhy="none at all"\n# x\nslot=A=B\n')).toEqual({
    state: 'forwarding',
    why: 'none at all',
    slot: 'A=B',
  })
})
