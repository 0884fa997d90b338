import { linkSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Build } from './build.ts'
import type { SlotFiles } from './disk.ts'
import { megabytes } from './progress.ts'
import { run } from './run.ts'

/** Makes the update, `to`: a RAUC bundle (verity format) with what goes into a slot, signed by the update key. */
export async function makeBundle(build: Build, slot: SlotFiles, to: string): Promise<void> {
  const { work, key, progress } = build
  const dir = join(work, 'bundle')
  mkdirSync(dir)
  linkSync(slot.root, join(dir, 'rootfs.img'))
  linkSync(slot.kernel, join(dir, 'kernel.img'))
  writeFileSync(join(dir, 'manifest.raucm'), bundleManifest(build))
  rmSync(to, { force: true })
  // What is inside is packed already.
  const plain = '--mksquashfs-args=-comp zstd -Xcompression-level 1'
  await run('rauc', [`--cert=${key.certificate}`, `--key=${key.key}`, plain, 'bundle', dir, to])
  await run('rauc', [`--keyring=${key.certificate}`, 'info', to])
  rmSync(dir, { recursive: true })
  progress.say(`update bundle ${megabytes(statSync(to).size)}`)
}

/** RAUC's manifest of an update. The box compares `compatible` with its own before anything is written. */
export function bundleManifest({ board, version }: Pick<Build, 'board' | 'version'>): string {
  return `[update]
compatible=${board.compatible}
version=${version.text}
build=${version.commit}

[bundle]
format=verity

[image.rootfs]
filename=rootfs.img

[image.kernel]
filename=kernel.img
`
}
