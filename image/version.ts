import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { run } from './run.ts'

/** What is being built. `epoch`: the commit's time in seconds; every time stamp in the image is this one. */
export type Version = {
  /** `0.1.0+20260102T030405.g0123abcd`, with `.dirty` behind when the tree has changes. Sorts by time. */
  readonly text: string
  /** The product's version, `0.1.0`. */
  readonly product: string
  readonly commit: string
  readonly epoch: number
}

/**
 * The version of this clone. Without git (a source archive), SOURCE_DATE_EPOCH and NTM_COMMIT must say it: ImageError otherwise.
 */
export async function versionOfClone(): Promise<Version> {
  const product = (JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string }).version
  const told = { epoch: process.env['SOURCE_DATE_EPOCH'], commit: process.env['NTM_COMMIT'] }
  if (told.epoch !== undefined && told.commit !== undefined) {
    return version(product, told.commit, Number(told.epoch), false)
  }
  const git = (...args: string[]) => run('git', ['-C', REPOSITORY, '-c', `safe.directory=${REPOSITORY}`, ...args])
  try {
    const [commit = '', epoch = ''] = (await git('log', '-1', '--format=%H %ct')).trim().split(' ')
    const changes = await git('status', '--porcelain', '--untracked-files=normal')
    return version(product, commit, Number(epoch), changes.trim() !== '')
  } catch (fault) {
    const why = fault instanceof Error ? fault.message : String(fault)
    throw new ImageError(
      `which version is this? Give SOURCE_DATE_EPOCH and NTM_COMMIT, or build from a git clone (${why})`,
    )
  }
}

function version(product: string, commit: string, epoch: number, dirty: boolean): Version {
  if (!Number.isSafeInteger(epoch) || epoch <= 0) throw new ImageError('SOURCE_DATE_EPOCH must be a number of seconds')
  const time = new Date(epoch * 1000).toISOString().replaceAll(/[-:]|\.000Z/g, '')
  const text = `${product}+${time}.g${commit.slice(0, 8)}${dirty ? '.dirty' : ''}`
  return { text, product, commit, epoch }
}
