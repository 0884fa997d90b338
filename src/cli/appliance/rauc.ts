import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Bundle, parseBundle, refusalText } from '#appliance/bundle.ts'
import { IoFault } from '#io/fault.ts'
import { run } from '#io/run.ts'

export type Inspected = { readonly ok: true; readonly bundle: Bundle } | { readonly ok: false; readonly why: string }

/** Checks a bundle's signature by the box's own key and reads what it is; `ok: false` when it is not to be trusted, or no bundle. Writes nothing. */
export async function inspectBundle(file: string, rauc: readonly string[] = RAUC): Promise<Inspected> {
  const [command = 'rauc', ...args] = rauc
  let said: string
  try {
    said = await run(command, [...args, 'info', '--output-format=json', file], { withinMs: 120_000 })
  } catch (e) {
    if (!(e instanceof IoFault) || !e.code.startsWith('EXIT_')) throw e
    return { ok: false, why: refusalText(e.message) }
  }
  const bundle = parseBundle(said)
  return bundle === null ? { ok: false, why: 'it does not say what it is' } : { ok: true, bundle }
}

/** Has RAUC's service write the bundle to the slot that does not run and makes that one first. IoFault with RAUC's reason when it could not. */
export async function installBundle(
  file: string,
  onLine: (line: string) => void,
  rauc: readonly string[] = RAUC,
): Promise<void> {
  const [command = 'rauc', ...args] = rauc
  const child = spawn(command, [...args, 'install', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  const failed: string[] = []
  const each = (line: string): void => {
    if (/^\s*\d+%/.test(line)) onLine(line.trim())
    else if (line.trim() !== '') failed.push(line.trim())
  }
  createInterface({ input: child.stdout }).on('line', each)
  createInterface({ input: child.stderr }).on('line', each)
  const code = await new Promise<number | string>((done, refuse) => {
    child.once('error', refuse)
    child.once('close', (status, signal) => done(status ?? signal ?? 'no reason'))
  }).catch((cause: unknown) => {
    throw new IoFault('rauc install', cause)
  })
  if (code === 0) return
  const last = failed.findLast((line) => /fail|error|LastError/i.test(line)) ?? failed.at(-1) ?? `it ended with ${code}`
  throw new IoFault('rauc install', new Error(last.replace(/^LastError: /, '')))
}

const RAUC = ['rauc']
