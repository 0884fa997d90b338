import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { ownImports, toJavaScript } from './strip.ts'

export type AppParts = {
  /** The clone to take `src/` from. */
  readonly from: string
  /** An installed `node_modules` with at least the production dependencies. */
  readonly modules: string
  /** The native addon, built for the box's processor. */
  readonly addon: string
}

/**
 * Writes the program's tree for a box to `out`: JavaScript of `src/` without tests, package.json, production dependencies, the addon. Answers
 * with what is missing: a sentence for each import that leads nowhere. Needs nothing but Node; as a command, see below.
 */
export function writeApp({ from, modules, addon }: AppParts, out: string): readonly string[] {
  rmSync(out, { recursive: true, force: true })
  const files = readdirSync(join(from, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.endsWith('.d.ts'))
    .sort()
  for (const file of files) {
    const to = join(out, 'src', file.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, toJavaScript(readFileSync(join(from, 'src', file), 'utf8')))
  }
  const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')) as Manifest
  const { name, version, license, type, dependencies, imports } = manifest
  const kept = {
    name,
    version,
    private: true,
    license,
    type,
    bin: { ntm: './src/cli/ntm.js' },
    imports: rooms(imports),
    dependencies,
  }
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`)
  copyFileSync(join(from, 'LICENSE'), join(out, 'LICENSE'))
  for (const path of productionPackages(from)) copyPackage(join(modules, '..', path), join(out, path))
  mkdirSync(join(out, 'native/packet-io/build'), { recursive: true })
  copyFileSync(addon, join(out, 'native/packet-io/build/packet-io.node'))
  return missingImports(out)
}

/** Where package-lock.json puts what the product needs to run, sorted: `node_modules/pino`. Native and development packages are not among them. */
export function productionPackages(from: string): readonly string[] {
  const lock = JSON.parse(readFileSync(join(from, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Locked>>
  }
  const found = new Set<string>()
  const visit = (owner: string) => {
    for (const name of Object.keys(lock.packages[owner]?.dependencies ?? {})) {
      const path = resolveLocked(lock.packages, owner, name)
      if (found.has(path)) continue
      found.add(path)
      visit(path)
    }
  }
  visit('')
  return [...found].sort()
}

type Manifest = {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly type: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly imports: Readonly<Record<string, string>>
}
type Locked = { readonly dependencies?: Readonly<Record<string, string>> }

/** As Node looks: in the owner's own node_modules first, then outwards. */
function resolveLocked(packages: Readonly<Record<string, Locked>>, owner: string, name: string): string {
  for (let at = owner; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`
    if (Object.hasOwn(packages, path)) return path
    if (at === '')
      throw new ImageError(`package-lock.json lacks ${name}, which ${owner === '' ? 'the product' : owner} needs`)
    if (!at.includes('/node_modules/')) at = ''
  }
}

/** The rooms of `src/` and the addon; laboratory and tests stay at home. */
function rooms(imports: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(imports).filter(([, to]) => to.startsWith('./src/') || to.startsWith('./native/')),
  )
}

/** A package without what only its developers read. */
function copyPackage(from: string, to: string): void {
  if (!existsSync(from)) throw new ImageError(`${from} is missing; run: make setup`)
  const filter = (path: string) => {
    const below = path.slice(from.length)
    if (/\/node_modules$/.test(below)) return false
    if (statSync(path).isDirectory())
      return !/\/(tests?|__tests__|docs?|benchmarks?|examples?|\.github|\.taprc.*)$/.test(below)
    return !/(\.md|\.markdown|\.map|\.[cm]?ts|\/\.[^/]*|\.tsbuildinfo)$/.test(below) || /LICEN[CS]E/i.test(below)
  }
  cpSync(from, to, { recursive: true, filter, dereference: true })
}

/** A program that lacks a file must be found out here, not in the field. */
function missingImports(out: string): readonly string[] {
  const { imports } = JSON.parse(readFileSync(join(out, 'package.json'), 'utf8')) as Manifest
  const scripts = readdirSync(join(out, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.js'),
  )
  return scripts.flatMap((script) => {
    const path = join(out, 'src', script)
    return ownImports(readFileSync(path, 'utf8'))
      .filter((wanted) => {
        const room = /^(#[^/]+\/)(.*)$/.exec(wanted)
        const base = room === null ? dirname(path) : join(out, (imports[`${room[1]}*`] ?? '?').replace('*', ''))
        return !existsSync(resolve(base, room?.[2] ?? wanted))
      })
      .map((wanted) => `${script} imports ${wanted}, which is not there`)
  })
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      from: { type: 'string' },
      modules: { type: 'string' },
      addon: { type: 'string' },
      out: { type: 'string' },
    },
  })
  const from = resolve(values.from ?? REPOSITORY)
  if (values.addon === undefined || values.out === undefined) {
    process.stderr.write('usage: node image/app.ts [--from CLONE] [--modules NODE_MODULES] --addon FILE --out DIR\n')
    process.exit(2)
  }
  const modules = resolve(values.modules ?? join(from, 'node_modules'))
  const gaps = writeApp({ from, modules, addon: values.addon }, resolve(values.out))
  for (const gap of gaps) process.stderr.write(`app: ${gap}\n`)
  if (gaps.length > 0) process.exitCode = 1
}
