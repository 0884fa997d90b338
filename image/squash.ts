import { statSync } from 'node:fs'
import type { Build } from './build.ts'
import { ImageError } from './fault.ts'
import { megabytes } from './progress.ts'
import { run } from './run.ts'

/** Packs a root's tree into a squashfs, `to`: everybody is root, one time for all. ImageError when it is larger than the layout allows. */
export async function squash(build: Build, tree: string, to: string): Promise<void> {
  const { version, fast, layout, progress } = build
  const time = String(version.epoch)
  const effort = fast ? ['-Xcompression-level', '3'] : ['-Xcompression-level', '15']
  await run(
    'mksquashfs',
    [
      tree,
      to,
      '-noappend',
      '-all-root',
      '-no-xattrs',
      '-no-exports',
      '-all-time',
      time,
      '-mkfs-time',
      time,
      '-b',
      '256K',
      '-comp',
      'zstd',
      ...effort,
      '-no-progress',
      '-quiet',
    ],
    // It refuses both this and times of our own.
    { env: { SOURCE_DATE_EPOCH: undefined } },
  )
  const bytes = statSync(to).size
  progress.say(`squashfs ${megabytes(bytes)}`)
  const limit = layout.squashfsMegabytes * 1_000_000
  if (!fast && bytes > limit)
    throw new ImageError(`the squashfs has ${megabytes(bytes)}, allowed are ${megabytes(limit)}: what grew?`)
}
