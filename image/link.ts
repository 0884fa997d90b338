import { readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { ImageError } from './fault.ts'

/** What is started by its path: the command, and the program of packet threads. Everything else is imported. */
const ENTRIES = ['cli/ntm', 'cli/worker/packet-worker'] as const

/** What `ntm run` does first, before anything else of the program is loaded. */
const FIRST = /\/(packets|thread)-ahead\.js$/

/** What most roles share: one file instead of fifty. A function that is not called costs little. */
const COMMON = /\/src\/(ntm-lib|io|dnsfn)\//

/**
 * Puts the hundreds of modules of a program's tree (`writeApp`) into a few dozen files, in place, so that a box with a slow processor starts it in less than
 * half the time: of a start most goes into finding, reading and joining modules. Packages go in as well; names, comments and lines stay readable, and
 * each part says which file it was. Commands that are loaded on demand stay so. Fails with ImageError when something imported is not found.
 */
export async function linkProgram(app: string): Promise<void> {
  const linked = join(app, 'linked')
  const lacking: string[] = []
  const bundle = await rolldown({
    cwd: app,
    input: Object.fromEntries(ENTRIES.map((name) => [name, `./src/${name}.js`])),
    platform: 'node',
    external: [/^node:/],
    onLog: (level, { code, message }, say) => {
      if (code === 'UNRESOLVED_IMPORT') lacking.push(message)
      else if (level !== 'debug') say(level, message)
    },
  })
  // Two levels below the program's `src`, as the modules they are made of: a module finds the addon and package.json by its own place.
  await bundle.write({
    dir: linked,
    entryFileNames: '[name].js',
    chunkFileNames: 'cli/linked/[name]-[hash].js',
    codeSplitting: {
      groups: [
        { name: 'first', test: FIRST, priority: 1 },
        { name: 'common', test: COMMON, minShareCount: 2 },
      ],
    },
  })
  await bundle.close()
  if (lacking.length > 0) throw new ImageError(`the program cannot be linked: ${lacking.join('; ')}`)
  rmSync(join(app, 'src'), { recursive: true })
  renameSync(linked, join(app, 'src'))
  keepPapers(join(app, 'node_modules'))
}

/** Of packages whose code lies elsewhere now: what they are, and under which licence. */
function keepPapers(modules: string): void {
  for (const entry of readdirSync(modules, { recursive: true, withFileTypes: true }))
    if (!entry.isDirectory() && !PAPERS.test(entry.name)) rmSync(join(entry.parentPath, entry.name))
}

const PAPERS = /^(package\.json|licen[cs]e.*|copying.*|notice.*)$/i
