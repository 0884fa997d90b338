import { readFileSync } from 'node:fs'

/** `ntm version`. */
export async function version(): Promise<number> {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  process.stdout.write(`ntm ${(JSON.parse(text) as { version: string }).version}\n`)
  return 0
}
