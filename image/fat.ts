import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export type FatOptions = {
  readonly mib: number
  readonly label: string
  readonly serial: string
  readonly epoch: number
  readonly bits?: 16 | 32
}

/** Makes a FAT image, `to`, with all that is in `dir`: the same bytes for the same files and options. */
export async function makeFat(dir: string, to: string, { mib, label, serial, epoch, bits }: FatOptions): Promise<void> {
  rmSync(to, { force: true })
  const size = bits === undefined ? [] : ['-F', String(bits)]
  await run('mkfs.vfat', ['-C', '--invariant', '-i', serial, '-n', label, ...size, to, String(mib * 1024)])
  const names = readdirSync(dir).sort()
  if (names.length === 0) return
  await run('find', [dir, '-exec', 'touch', '-h', '-d', `@${epoch}`, '{}', '+'])
  const env = { SOURCE_DATE_EPOCH: String(epoch), MTOOLS_SKIP_CHECK: '1' }
  await run('mcopy', ['-s', '-p', '-m', '-Q', '-i', to, ...names.map((name) => join(dir, name)), '::/'], { env })
}
