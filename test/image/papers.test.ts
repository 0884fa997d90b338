import { execFileSync } from 'node:child_process'
import { createHash, verify, X509Certificate } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Board, imageFile } from '#lab/scenes/box-in-line.ts'
import { type Partition, partitionsOf } from '#lab/vm/partitions.ts'
import { boardOf, readLayout } from '../../image/layout.ts'

const layout = readLayout()

// No box is booted here: what lies in dist/ is held against its own papers and against board/layout.json.
// NTM_BOARDS=x86_64: only of boards that were built for this run.
for (const name of process.env['NTM_BOARDS']?.split(',') ?? Object.keys(layout.boards)) {
  const built = existsSync(imageFile(name as Board))
  const must = (process.env['NTM_MUST_RUN'] ?? '').split(',').includes('image')
  const title = `${name}: the image and its papers`
  if (built || must) describe(title, () => check(name))
  else describe.skip(`${title} (skipped: no image: make image BOARD=${name})`, () => check(name))
}

function check(name: string): void {
  const board = boardOf(layout, name)
  let dir = ''
  let image = ''
  let manifest: Manifest
  let partitions: readonly Partition[] = []

  beforeAll(() => {
    image = realpathSync(imageFile(name as Board))
    dir = dirname(image)
    manifest = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as Manifest
    partitions = partitionsOf(image)
  })

  test('the sums are signed by the key of update.pem, and all files are as they say', () => {
    const key = new X509Certificate(readFileSync(join(dir, 'update.pem'))).publicKey
    const [sums, signature] = ['SHA256SUMS', 'SHA256SUMS.sig'].map((file) => readFileSync(join(dir, file))) as [
      Buffer,
      Buffer,
    ]
    expect(verify('sha256', sums, key, signature)).toBe(true)
    const lines = execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: dir }).toString().trim().split('\n')
    expect(lines.every((line) => line.endsWith(': OK'))).toBe(true)
    expect(lines.length).toBeGreaterThanOrEqual(5)
  })

  test("the partition table is the layout's, and both slots hold the same", () => {
    expect(partitions.map(({ name: label, bytes }) => [label, bytes / MIB])).toEqual(
      board.partitions.map((one) => [one.name, one.mib]),
    )
    for (const slot of layout.slots) {
      const root = at(`root${slot}`)
      const bytes = squashfsBytes(image, root.offset)
      expect(hashOf(image, root.offset, bytes), `root${slot}`).toBe(manifest.slot.rootfs)
      expect(hashOf(image, at(`kernel${slot}`).offset, at(`kernel${slot}`).bytes)).toBe(manifest.slot.kernel)
      if (manifest.complete) expect(bytes).toBeLessThanOrEqual(layout.squashfsMegabytes * 1e6)
    }
  })

  test('everything in the root belongs to root, nothing changes who runs it, no TypeScript and no key of a host is left', () => {
    const listing = unsquash(['-lln'])
      .split('\n')
      .filter((line) => / squashfs-root\//.test(line))
    expect(listing.length).toBeGreaterThan(2000)
    expect(listing.filter((line) => !/^\S+\s+0\/0\s/.test(line))).toEqual([])
    expect(listing.filter((line) => /^-..[sS]|^-.....[sS]/.test(line))).toEqual([])
    const ours = listing.filter((line) => /\/usr\/lib\/ntm\/app\/src\//.test(line))
    // Linked (image/link.ts): few, and both of those that are started by their path.
    expect(ours.length).toBeGreaterThan(30)
    expect(ours.length).toBeLessThan(100)
    for (const entry of ['cli/ntm.js', 'cli/worker/packet-worker.js'])
      expect(
        ours.some((line) => line.endsWith(`/usr/lib/ntm/app/src/${entry}`)),
        entry,
      ).toBe(true)
    expect(ours.filter((line) => /\.ts$|\.test\./.test(line))).toEqual([])
    expect(listing.filter((line) => /ssh_host_.*key/.test(line))).toEqual([])
    expect(listing.some((line) => line.endsWith('/usr/lib/ntm/app/native/packet-io/build/packet-io.node'))).toBe(true)
  })

  test('nobody has a password, and the image knows who it is', () => {
    expect(
      unsquash(['-cat'], 'etc/shadow')
        .trim()
        .split('\n')
        .every((line) => line.split(':')[1] === '*'),
    ).toBe(true)
    const identity = JSON.parse(unsquash(['-cat'], 'usr/lib/ntm/image.json'))
    expect(identity).toEqual({
      product: 'ntm',
      board: name,
      compatible: board.compatible,
      version: manifest.version,
      commit: manifest.commit,
      built: manifest.built,
      data_version: layout.dataVersion,
    })
    expect(unsquash(['-cat'], 'etc/rauc/keyring.pem')).toBe(readFileSync(join(dir, 'update.pem'), 'utf8'))
    expect(unsquash(['-cat'], 'etc/rauc/system.conf')).toContain(`compatible=${board.compatible}`)
  })

  test('the update is signed for this board and carries the same slot', () => {
    const info = ['info', `--keyring=${join(dir, 'update.pem')}`, '--output-format=json', join(dir, 'ntm.raucb')]
    const told = JSON.parse(execFileSync('rauc', info, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()) as Bundle
    expect(told).toMatchObject({ compatible: board.compatible, version: manifest.version })
    const sums = Object.fromEntries(
      told.images.flatMap((one) => Object.entries(one)).map(([slot, { checksum }]) => [slot, checksum]),
    )
    expect(sums).toEqual({ rootfs: manifest.slot.rootfs, kernel: manifest.slot.kernel })
  })

  const at = (label: string): Partition => partitions.find((one) => one.name === label) as Partition
  const unsquash = (options: readonly string[], file?: string): string =>
    execFileSync(
      'unsquashfs',
      ['-o', String(at('rootA').offset), ...options, image, ...(file === undefined ? [] : [file])],
      {
        maxBuffer: 64 * MIB,
        env: { ...process.env, TZ: 'UTC' },
      },
    ).toString()
}

type Manifest = {
  readonly version: string
  readonly commit: string
  readonly built: number
  readonly complete: boolean
  readonly slot: { readonly rootfs: string; readonly kernel: string }
}
type Bundle = { readonly images: readonly Readonly<Record<string, { readonly checksum: string }>>[] }

/** A squashfs' own length (superblock, offset 40), filled up to whole blocks of 4096 as mksquashfs does. */
function squashfsBytes(file: string, offset: number): number {
  const head = bytesAt(file, offset, 96)
  expect(head.toString('latin1', 0, 4)).toBe('hsqs')
  return Math.ceil(Number(head.readBigUInt64LE(40)) / 4096) * 4096
}

function hashOf(file: string, offset: number, bytes: number): string {
  return createHash('sha256')
    .update(bytesAt(file, offset, bytes))
    .digest('hex')
}

function bytesAt(file: string, offset: number, bytes: number): Buffer {
  const fd = openSync(file, 'r')
  const into = Buffer.alloc(bytes)
  readSync(fd, into, 0, bytes, offset)
  closeSync(fd)
  return into
}

const MIB = 1024 * 1024
