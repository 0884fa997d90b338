import { createHash } from 'node:crypto'
import { copyFileSync, createReadStream, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Build, type DebianPackage, imageFacts, type Kernel } from './build.ts'
import type { SlotFiles } from './disk.ts'
import { partitionUuid } from './layout.ts'
import { run } from './run.ts'
import { itemsOf, spdx } from './sbom.ts'

/** What the papers tell of. `dir` holds the image and the update already. */
export type Finished = {
  readonly kernel: Kernel
  readonly packages: readonly DebianPackage[]
  readonly slot: SlotFiles
  readonly initramfs: string
}

/**
 * Writes the papers of a finished image beside it: bill of materials, manifest, sums of all files, the sums' signature, and the certificate to check
 * it with.
 */
export async function writePapers(
  build: Build,
  { kernel, packages, slot, initramfs }: Finished,
  dir: string,
): Promise<void> {
  const { board, key, fast } = build
  writeFileSync(join(dir, 'sbom.spdx.json'), spdx(build, itemsOf(build, packages)))
  const files: Record<string, { readonly bytes: number; readonly sha256: string }> = {}
  for (const name of readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort()) {
    files[name] = { bytes: statSync(join(dir, name)).size, sha256: await sha256(join(dir, name)) }
  }
  const manifest = {
    format: 1,
    ...imageFacts(build),
    complete: !fast,
    kernel: kernel.release,
    slot: { rootfs: await sha256(slot.root), kernel: await sha256(slot.kernel), initramfs: await sha256(initramfs) },
    partitions: board.partitions.map(({ name, mib }) => ({ name, mib, uuid: partitionUuid(board, name) })),
    files,
  }
  writeFileSync(join(dir, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  copyFileSync(key.certificate, join(dir, 'update.pem'))
  await sign(dir, key.key)
}

/** `SHA256SUMS` over every file of `dir`, in sha256sum's form, and `SHA256SUMS.sig`, its signature by `key` (ECDSA or RSA over SHA-256, DER). */
async function sign(dir: string, key: string): Promise<void> {
  const names = readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('SHA256SUMS'))
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort()
  const sums = join(dir, 'SHA256SUMS')
  const lines: string[] = []
  for (const name of names) lines.push(`${await sha256(join(dir, name))}  ${name}\n`)
  writeFileSync(sums, lines.join(''))
  await run('openssl', ['dgst', '-sha256', '-sign', key, '-out', `${sums}.sig`, sums])
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
