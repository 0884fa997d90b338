import { mkdirSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { judgeBundle, type RunningImage } from '#appliance/bundle.ts'
import { IoFault } from '#io/fault.ts'
import { run } from '#io/run.ts'
import { type Download, download } from './download.ts'
import { readFacts, writeFacts } from './fact-files.ts'
import { type Places, whatWorks } from './health.ts'
import { takeLock } from './lock.ts'
import { inspectBundle, installBundle } from './rauc.ts'

export type UpdateSettings = {
  readonly places: Places
  readonly running: RunningImage
  readonly allowDowngrade: boolean
  /** A line for who waits. */
  readonly tell: (line: string) => void
  /** RAUC as words of a command line, and the boot loader's memory; tests give others. */
  readonly rauc?: readonly string[]
  readonly bootState?: readonly string[]
  readonly download?: Partial<Download>
}

export type Installed =
  | { readonly ok: true; readonly version: string; readonly slot: 'A' | 'B' }
  /** Nothing was written. `what` is for programs. */
  | { readonly ok: false; readonly what: string; readonly why: string }

/**
 * Installs the bundle at a path or an http(s) URL into the slot that does not run; the next start goes there, on trial. IoFault when the machine
 * (disk, network, RAUC) fails: the running slot stays as it is then as well.
 */
export async function installUpdate(source: string, o: UpdateSettings): Promise<Installed> {
  const unlock = takeLock(join(o.places.run, 'update.lock'))
  try {
    const busy = onTrial(o.places)
    if (busy !== null) return { ok: false, what: 'on-trial', why: busy }
    const url = asUrl(source)
    if (url === null) return await fromFile(resolve(source), o)
    const dir = join(o.places.data, 'update')
    mkdirSync(dir, { recursive: true })
    o.tell(`downloading ${url.href}`)
    const onProgress = (percent: number | null, bytes: number): void =>
      o.tell(percent === null ? `${Math.floor(bytes / (1 << 20))} MiB` : `${percent} % downloaded`)
    const file = await download(url, { dir, onProgress, ...o.download })
    try {
      return await fromFile(file, o)
    } finally {
      // Installed or refused: it is not needed again, and the data partition is small.
      rmSync(file, { force: true })
    }
  } finally {
    unlock()
  }
}

async function fromFile(file: string, o: UpdateSettings): Promise<Installed> {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    return { ok: false, what: 'no-file', why: `there is no file ${file}` }
  const inspected = await inspectBundle(file, o.rauc)
  if (!inspected.ok) return { ok: false, what: 'not-trusted', why: inspected.why }
  const { bundle } = inspected
  const verdict = judgeBundle(bundle, o.running, o.allowDowngrade)
  if (!verdict.ok) return { ok: false, what: verdict.what, why: verdict.why }
  const slot = await runningSlot(o)
  const other = slot === 'A' ? 'B' : 'A'
  const before = await whatWorks(o.places)
  o.tell(
    `version ${bundle.version}, signature good; installing to slot ${other} (${o.running.version} runs in ${slot})`,
  )
  const pending = join(o.places.data, 'update/pending')
  const begun = {
    slot: other,
    from: slot,
    version: bundle.version,
    before: o.running.version,
    wire: before.wire,
    tunnel: before.tunnel ? 'yes' : 'no',
    at: String(Math.floor(Date.now() / 1000)),
  }
  // Before the first byte: a power cut that comes after RAUC has made the new slot the first one must not leave it without a trial.
  writeFacts(pending, { ...begun, installed: 'no' })
  show(o.places, 'installing', bundle.version)
  try {
    await installBundle(file, o.tell, o.rauc)
  } catch (e) {
    rmSync(pending, { force: true })
    show(o.places, 'failed', bundle.version)
    throw e
  }
  writeFacts(pending, { ...begun, installed: 'yes' })
  show(o.places, 'installed', bundle.version)
  return { ok: true, version: bundle.version, slot: other }
}

/** Why nothing may be installed now: the other slot is the way back. Null when nothing is on trial. */
function onTrial(places: Places): string | null {
  const slot = readFacts(join(places.run, 'slot'))
  if (slot['state'] !== 'trial') return null
  return `version ${slot['version']} is on trial still, and slot ${slot['slot'] === 'A' ? 'B' : 'A'} is the way back. Wait for "ntm-slot: ${slot['slot']} is good"`
}

async function runningSlot({ bootState }: UpdateSettings): Promise<'A' | 'B'> {
  const [command = '', ...args] = bootState ?? ['/usr/lib/ntm/boot-state']
  const said = (await run(command, [...args, 'get-current'])).trim()
  if (said !== 'A' && said !== 'B')
    throw new IoFault('find the running slot', new Error('the kernel was not told ntm.slot'))
  return said
}

/** For the console and for tests; a box that cannot write there is updated all the same. */
function show(places: Places, state: string, version: string): void {
  try {
    writeFacts(join(places.run, 'update'), { state, version, at: String(Math.floor(Date.now() / 1000)) })
  } catch {
    // /run is full or not there: nothing depends on it.
  }
}

function asUrl(source: string): URL | null {
  if (!/^[a-z]+:\/\//i.test(source)) return null
  const url = URL.canParse(source) ? new URL(source) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new IoFault(`download ${source}`, new Error('only http:// and https:// can be downloaded from'))
  return url
}
