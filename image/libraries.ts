import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

/** Programs and libraries of a root that need a library which is not in it: one sentence each. Of any processor; what they load by name later is not seen. */
export async function lostLibraries(root: string): Promise<readonly string[]> {
  const files = ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/libexec'].flatMap((dir) =>
    readdirSync(join(root, dir), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => ({ name: entry.name, path: join(entry.parentPath, entry.name), regular: entry.isFile() })),
  )
  const there = new Set(files.map(({ name }) => name))
  const programs = files.filter(({ path, regular }) => regular && isElf(path)).map(({ path }) => path)
  if (programs.length === 0) return []
  const told = await run('readelf', ['--dynamic', '--wide', ...programs])
  // readelf names the file only when there are several.
  let file = (programs[0] ?? '').slice(root.length)
  const lost: string[] = []
  for (const line of told.split('\n')) {
    const [, name] = /^File: (.*)/.exec(line) ?? []
    const [, library] = /\(NEEDED\).*\[(.*)\]/.exec(line) ?? []
    if (name !== undefined) file = name.slice(root.length)
    if (library !== undefined && !there.has(library)) lost.push(`${file} needs ${library}`)
  }
  return lost
}

function isElf(path: string): boolean {
  const head = Buffer.alloc(4)
  const file = openSync(path, 'r')
  readSync(file, head, 0, 4, 0)
  closeSync(file)
  return head.equals(ELF)
}

const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])
