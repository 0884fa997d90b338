import { lines } from './lines.ts'

/** Which modules an image has: those below (or called) one of `take`, unless below one of `leave`. Paths from the kernel's module tree, no suffix. */
export type Whitelist = { readonly take: readonly string[]; readonly leave: readonly string[] }

/** Reads `board/common/modules`: a path below `kernel/` per line, `!` in front of what is left out, `#` comments. */
export function parseWhitelist(text: string): Whitelist {
  const all = lines(text)
  return {
    take: all.filter((line) => !line.startsWith('!')),
    leave: all.filter((line) => line.startsWith('!')).map((line) => line.slice(1).trim()),
  }
}

/** Reads depmod's `modules.dep`: each module's path (`kernel/fs/ext4/ext4.ko`) and the paths of all it needs. */
export function parseDependencies(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    text
      .split('\n')
      .filter((line) => line.includes(':'))
      .map((line) => {
        const [module = '', needs = ''] = line.split(':')
        return [
          module,
          needs
            .trim()
            .split(' ')
            .filter((need) => need !== ''),
        ] as const
      }),
  )
}

/** The modules a whitelist takes and everything they need, sorted. What something needs is there even where its own directory is left out. */
export function choose(needs: ReadonlyMap<string, readonly string[]>, { take, leave }: Whitelist): readonly string[] {
  const below = (module: string, path: string) => {
    const plain = module.replace(/^kernel\//, '').replace(/\.ko(\.\w+)?$/, '')
    return plain === path || plain.startsWith(`${path}/`)
  }
  const chosen = new Set<string>()
  for (const [module, needed] of needs) {
    if (!take.some((path) => below(module, path)) || leave.some((path) => below(module, path))) continue
    chosen.add(module)
    for (const need of needed) chosen.add(need)
  }
  return [...chosen].sort()
}

/** The paths of modules called `names` (as modprobe knows them: `-` and `_` alike) and all they need, in the order in which they can be loaded. */
export function loadOrder(needs: ReadonlyMap<string, readonly string[]>, names: readonly string[]): readonly string[] {
  const called = new Map([...needs.keys()].map((path) => [moduleName(path), path]))
  const order = new Set<string>()
  for (const name of names) {
    const path = called.get(name.replaceAll('-', '_'))
    // Built in, or of the other board.
    if (path === undefined) continue
    // modules.dep lists the nearest first; the last one needs nothing.
    for (const need of [...(needs.get(path) ?? [])].reverse()) order.add(need)
    order.add(path)
  }
  return [...order]
}

function moduleName(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')
}
