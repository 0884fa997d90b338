import { type TestOptions, test as vitest } from 'vitest'

/** How the story that runs now is told: all in one thread, or with its packets in a worker. */
export const mode = { mirror: false }

/** A story that must hold either way, told twice. */
export function test(name: string, ...story: [() => void] | [TestOptions, () => void]): void {
  const [options, tell] = story.length === 1 ? [{}, story[0]] : story
  vitest(name, options, tell)
  vitest(`${name} (packets in a worker)`, options, () => {
    mode.mirror = true
    try {
      tell()
    } finally {
      mode.mirror = false
    }
  })
}
