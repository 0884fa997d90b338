import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { EXTERNAL, ROOT, text } from './buildroot.ts'

/** All files below a directory of the repository, by their path in it. Links count as themselves. */
function filesBelow(dir: string): readonly string[] {
  if (!existsSync(join(ROOT, dir))) return []
  return readdirSync(join(ROOT, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}

const ours = ['board', 'image', 'buildroot-external', 'scripts'].flatMap(filesBelow)
const shells = ours.filter((file) => file.endsWith('.sh') || /^#!\S*(\/| )(busybox )?(ba|da)?sh\b/.test(head(file)))

function head(file: string): string {
  return readFileSync(join(ROOT, file), 'latin1').slice(0, 80).split('\n')[0] ?? ''
}

test('shellcheck has nothing to say about any shell file', () => {
  expect(shells.length).toBeGreaterThan(10)
  // A file without a first line is read by others: sh, as everything on a box.
  const said = ['sh', 'bash'].map((shell) => {
    const files = shells.filter((file) => /\bbash\b/.test(head(file)) === (shell === 'bash'))
    try {
      return execFileSync(
        'shellcheck',
        ['-x', '-P', 'SCRIPTDIR', '-s', shell === 'sh' ? 'busybox' : 'bash', ...files].map(known),
        { cwd: ROOT, encoding: 'utf8' },
      )
    } catch (fault) {
      return (fault as { stdout?: string }).stdout ?? String(fault)
    }
  })
  expect(said.join('')).toBe('')
}, 180_000)

/** Debian 12's shellcheck knows no dialect called busybox; dash's is the nearest that allows `local`. */
function known(word: string): string {
  return word === 'busybox' ? 'dash' : word
}

test('scripts that are started by name may be', () => {
  const wrong = shells.filter((file) => head(file).startsWith('#!') && !executable(file) && !startedThroughSh(file))
  expect(wrong).toEqual([])
})

function executable(file: string): boolean {
  return (statSync(join(ROOT, file)).mode & constants.X_OK) !== 0
}

/** `sh FILE` in one of the build's sources, or copied with a mode of its own. */
function startedThroughSh(file: string): boolean {
  return /\/(make-state|debian-hook|bridge-up|init)(\.sh)?$/.test(file)
}

test('every path that a defconfig names is there', () => {
  const paths = readdirSync(join(EXTERNAL, 'configs')).flatMap((name) => {
    const named = text(`buildroot-external/configs/${name}`).matchAll(/\$\(BR2_EXTERNAL_NTM_PATH\)(\/[^"\s]*)/g)
    return [...named].map(([, path = '']) => join('buildroot-external', path))
  })
  expect(paths.length).toBeGreaterThan(8)
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('every file of the repository that makefiles and scripts name is there', () => {
  const named = ours
    .filter((file) => file.startsWith('buildroot-external/') && /\.(mk|sh)$/.test(file))
    .flatMap((file) => {
      const words = text(file).matchAll(/(?:\$\(@D\)|\/\.\.)\/((?:image|native|board|src|tools)\/[\w./-]+)/g)
      return [...words].map(([, path = '']) => path).filter((path) => !path.includes('/build/'))
    })
  expect(named).toContain('image/buildroot.ts')
  expect(named).toContain('image/app.ts')
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('Buildroot has one bin directory: no overlay brings another', () => {
  const overlays = ours
    .filter((file) => /^board\/[^/]+\/overlay\//.test(file))
    .map((file) => file.replace(/^board\/[^/]+\/overlay\//, ''))
  expect(overlays.filter((file) => /^(bin|sbin|lib|lib64|usr\/sbin)\//.test(file))).toEqual([])
})

test('Config.in and makefiles are written as Buildroot asks', () => {
  const wrong = ours
    .filter((file) => /^buildroot-external\/.*(Config\.in|\.mk|\.hash|_defconfig|\.desc)$/.test(file))
    .flatMap((file) => remarks(file, text(file)).map((remark) => `${file}: ${remark}`))
  expect(wrong).toEqual([])
})

test('each of those rules finds what it is for', () => {
  const bad = 'x = 1 \n\n\ndefine A\n  cp a b\nendef'
  expect(remarks('a/b.mk', bad)).toEqual([
    'does not end its last line',
    '1: space at the end',
    '3: two empty lines',
    'begins without its name',
    '5: indented by spaces',
  ])
  expect(remarks('Config.in', `config X\n\tbool "x"\n\thelp\n\t  ${'word '.repeat(13)}end\n`)).toEqual([
    '4: help text of more than 62 characters',
  ])
})

/** The part of Buildroot's check-package that our files could break; `make buildroot-check` runs the whole. */
function remarks(file: string, content: string): readonly string[] {
  const found: string[] = []
  if (!content.endsWith('\n')) found.push('does not end its last line')
  const lines = content.split('\n')
  lines.forEach((line, i) => {
    if (/\s$/.test(line)) found.push(`${i + 1}: space at the end`)
    if (i > 0 && line === '' && lines[i - 1] === '' && i < lines.length - 1) found.push(`${i + 1}: two empty lines`)
  })
  if (file.endsWith('.mk') && !file.endsWith('external.mk')) {
    const bar = '#'.repeat(80)
    const name = dirname(file).split('/').at(-1)
    if (!content.startsWith(`${bar}\n#\n# ${name}\n#\n${bar}\n\n`)) found.push('begins without its name')
    lines.forEach((line, i) => {
      if (/^ +\S/.test(line)) found.push(`${i + 1}: indented by spaces`)
    })
  }
  if (file.endsWith('Config.in')) {
    lines.forEach((line, i) => {
      if (/^\t {2}/.test(line) && line.length > 3 + 62) found.push(`${i + 1}: help text of more than 62 characters`)
    })
  }
  return found
}

test('what the external tree needs besides is there', () => {
  for (const file of ['external.desc', 'external.mk', 'Config.in', 'README.md']) accessSync(join(EXTERNAL, file))
})
