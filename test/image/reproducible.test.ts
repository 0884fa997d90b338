import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { updateKey } from '../../image/keys.ts'
import { run } from '../../image/run.ts'

// One commit, two clones in directories of different names, nothing kept from one build for the other: Debian's packages are fetched and
// unpacked anew, everything is compiled and packed anew. Signatures are not compared: they are made with a random number each.
const ROOT = join(import.meta.dirname, '../..')
const BOARD = process.env['NTM_IMAGE_BOARD'] ?? 'x86_64'
let scratch = ''

beforeAll(() => {
  mkdirSync(join(ROOT, '.run/image'), { recursive: true })
  scratch = mkdtempSync(join(ROOT, '.run/image/twice-'))
})
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true })
})

test('two builds of one commit give the same disk image, root and kernel', { timeout: 1_800_000 }, async () => {
  const { key, certificate } = await updateKey(join(scratch, 'keys'))
  const commit = (await git('-C', ROOT, 'rev-parse', 'HEAD')).trim()
  const one = await build('one', commit, { key, certificate })
  const other = await build('another-place', commit, { key, certificate })
  expect(other.version).toBe(one.version)
  expect(other.slot).toEqual(one.slot)
  expect(other.sbom).toBe(one.sbom)
  expect(other.image).toBe(one.image)
})

type Built = { readonly version: string; readonly slot: unknown; readonly image: string; readonly sbom: string }

/** Clones this repository into a directory called `name` and builds `commit` there with a store of its own. */
async function build(
  name: string,
  commit: string,
  { key, certificate }: { readonly key: string; readonly certificate: string },
): Promise<Built> {
  const clone = join(scratch, name, 'clone')
  const out = join(scratch, name, 'out')
  await git('clone', '--quiet', '--shared', '--no-checkout', ROOT, clone)
  await git('-C', clone, 'checkout', '--quiet', '--detach', commit)
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
  // .gitignore speaks of a directory; with an untracked link the version would end in ".dirty".
  writeFileSync(join(clone, '.git/info/exclude'), 'node_modules\n')
  const env = {
    NTM_IMAGE_STORE: join(scratch, name, 'store'),
    NTM_IMAGE_WORK: join(scratch, name, 'work'),
    NTM_UPDATE_KEY: key,
    NTM_UPDATE_CERT: certificate,
  }
  const node = ['--disable-warning=ExperimentalWarning', join(clone, 'image/main.ts')]
  await run(process.execPath, [...node, BOARD, '--out', out], { env, cwd: clone })
  const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as Built
  const built = {
    version: manifest.version,
    slot: manifest.slot,
    image: await sha256(join(out, 'ntm.img')),
    sbom: readFileSync(join(out, 'sbom.spdx.json'), 'utf8'),
  }
  rmSync(join(scratch, name), { recursive: true })
  return built
}

/** Under sudo the clone belongs to somebody else, which git asks to be told is meant. */
function git(...args: readonly string[]): Promise<string> {
  return run('git', ['-c', `safe.directory=${ROOT}`, '-c', `safe.directory=${ROOT}/.git`, ...args])
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
