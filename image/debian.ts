import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Build, Debian, DebianPackage } from './build.ts'
import { ImageError } from './fault.ts'
import { licencesOf } from './licences.ts'
import { prune } from './prune.ts'
import { run } from './run.ts'
import { fingerprint } from './store.ts'

/** Debian's packages for the board, unpacked; from the store when neither the lists nor this code have changed. */
export async function debian(build: Build): Promise<Debian> {
  const { board, layout } = build
  const sources = await aptSources(board.components)
  const here = ['debian.ts', 'debian-hook.sh', 'prune.ts', 'licences.ts'].map((file) => join(import.meta.dirname, file))
  const inputs = [
    board.debian,
    board.kernelPackage,
    layout.packages.join(),
    [...layout.unpack, ...board.unpack].join(),
    sources.text,
    fingerprint([...here, ...sources.lists]),
  ]
  const dir = await build.store.keep(`debian-${board.debian}`, inputs, (fresh) => unpack(build, sources, fresh))
  const packages = JSON.parse(readFileSync(join(dir, 'packages.json'), 'utf8')) as readonly DebianPackage[]
  return { root: join(dir, 'root'), unpacked: join(dir, 'unpacked'), packages }
}

/**
 * Extracts without running a single maintainer script, so that it works alike for a foreign processor. What those scripts would
 * have done and the appliance needs is done in `root.ts`.
 */
async function unpack(build: Build, sources: Sources, dir: string): Promise<void> {
  const { board, layout, progress } = build
  const list = join(dir, 'sources.list')
  const [root, beside, archive] = ['root', 'unpacked', 'root.tar'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(list, sources.text)
  const hook = join(import.meta.dirname, 'debian-hook.sh')
  const wanted = [board.kernelPackage, ...layout.unpack, ...board.unpack].join(' ')
  await run('mmdebstrap', [
    '--quiet',
    '--variant=extract',
    `--architectures=${board.debian}`,
    `--include=${layout.packages.join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Retries "3"',
    `--extract-hook=sh ${shellWord(hook)} "$1" ${board.kernelPackage} ${shellWord(wanted)}`,
    sources.suite,
    archive,
    list,
  ])
  mkdirSync(root)
  await run('tar', ['-C', root, '--no-same-owner', '--exclude=./dev/*', '-xf', archive])
  rmSync(archive)
  renameSync(join(root, 'ntm-unpacked'), beside)
  const lists = join(dir, 'files')
  renameSync(join(root, 'ntm-files'), lists)
  const unpacked = readPackages(root, beside)
  await mergeUsr(root)
  const gone = new Set(await prune(root, lists))
  rmSync(lists, { recursive: true })
  const packages = unpacked.filter(({ name, use }) => use === 'unpacked' || !gone.has(name))
  writeFileSync(join(dir, 'packages.json'), `${JSON.stringify(packages, null, 1)}\n`)
  progress.say(`Debian: ${packages.filter(({ use }) => use === 'root').length} packages for ${board.debian}`)
}

/** `/bin`, `/sbin`, `/lib*` become links into `/usr`, as on every installed Debian 12: extracting alone leaves directories. */
async function mergeUsr(root: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const [from, to] = [join(root, name), join(root, 'usr', name)]
    mkdirSync(to, { recursive: true })
    if (existsSync(from)) await run('cp', ['-a', `${from}/.`, to])
    rmSync(from, { recursive: true, force: true })
    symlinkSync(`usr/${name}`, from)
  }
}

/** From the hook's two lists, with licences from each package's own copyright file, before that is pruned. */
function readPackages(root: string, beside: string): readonly DebianPackage[] {
  return (['root', 'unpacked'] as const).flatMap((use) => {
    const list = join(root, `ntm-packages-${use}`)
    const lines = readFileSync(list, 'utf8').trim().split('\n').sort()
    rmSync(list)
    return lines.map((line) => {
      const [name = '', version = '', source = '', sourceVersion = ''] = line.split('\t')
      const tree = use === 'root' ? root : join(beside, existsSync(join(beside, name)) ? name : 'kernel')
      return { name, version, source, sourceVersion, licences: licencesOf(tree, name), use }
    })
  })
}

type Sources = { readonly suite: string; readonly text: string; readonly lists: readonly string[] }

/**
 * Where this machine gets its Debian packages from, as a sources.list: the image's come from there too. NTM_APT_SOURCES names a file to use
 * instead (one of a snapshot, to build an old image again). `lists` are apt's signed indexes: when they change, so may packages.
 */
async function aptSources(components: readonly string[]): Promise<Sources> {
  const told = process.env['NTM_APT_SOURCES']
  if (told !== undefined) {
    const text = readFileSync(told, 'utf8')
    const suite = /^deb\s+(?:\[[^\]]*\]\s+)?\S+\s+(\S+)/m.exec(text)?.[1]
    if (suite === undefined) throw new ImageError(`${told}: no line "deb URI SUITE COMPONENTS" in it`)
    return { suite, text, lists: [] }
  }
  const format = '$(CREATED_BY)|$(ORIGIN)|$(TARGET_OF)|$(BASE_URI)|$(CODENAME)|$(SIGNED_BY)'
  const found = (await run('apt-get', ['indextargets', '--format', format]))
    .split('\n')
    .map((line) => line.split('|'))
    .filter(([by, origin, of]) => by === 'Packages' && origin === 'Debian' && of === 'deb')
    .map(([, , , base = '', codename = '', signed = '']) => ({ base, codename, signed }))
  const first = found[0]
  if (first === undefined) {
    throw new ImageError(
      'apt knows no Debian archive here (run apt-get update), or name a sources.list in NTM_APT_SOURCES',
    )
  }
  const lines = found.map(({ base, codename, signed }) => {
    const [uri = '', suite = codename] = base.split(/dists\/|\/$/)
    const options = signed.startsWith('/') ? `[signed-by=${signed}] ` : ''
    return `deb ${options}${uri} ${suite} ${components.join(' ')}`
  })
  return { suite: first.codename, text: `${[...new Set(lines)].join('\n')}\n`, lists: signedIndexes() }
}

function signedIndexes(): readonly string[] {
  const dir = '/var/lib/apt/lists'
  return readdirSync(dir)
    .filter((name) => name.endsWith('InRelease'))
    .sort()
    .map((name) => join(dir, name))
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
