import { type FileHandle, open, rename, rm, stat, statfs } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { get as getSecurely } from 'node:https'
import { dirname, join } from 'node:path'
import { IoFault } from '#io/fault.ts'

export type Download = {
  /** Where the file comes to lie, and what is half done beside it. */
  readonly dir: string
  /** Told when another tenth has come; null as long as the size is not known. */
  readonly onProgress?: (percent: number | null, bytes: number) => void
  readonly mostBytes?: number
  /** A connection that is lost or still for this long is made anew, where it stopped. */
  readonly stillMs?: number
  readonly attempts?: number
  readonly waitMs?: number
  /** Bytes that may be written there; tests say another number. */
  readonly free?: (dir: string) => Promise<number>
}

/**
 * Fetches a bundle over HTTP or HTTPS into `DIR/bundle.raucb` and gives its path. What a cut connection, a restart or a power cut left
 * is gone on with, when the server still has the same file (`ETag` or `Last-Modified`, `If-Range` of RFC 9110 §13.1.5). IoFault when it cannot be had, is
 * too large, or does not fit; nothing half done is ever given.
 */
export async function download(url: URL, o: Download): Promise<string> {
  const attempts = o.attempts ?? 6
  for (let attempt = 1, had = 0; ; attempt++) {
    try {
      return await once(url, o)
    } catch (e) {
      // A lost connection is tried again from where it stopped; a "no" is not.
      if (e instanceof Refused) throw new IoFault(`download ${url.href}`, e)
      const [have] = await begun(url, o.dir)
      if (have > had) attempt = 1
      had = have
      if (attempt >= attempts) throw new IoFault(`download ${url.href}`, reason(e))
      await new Promise((done) => setTimeout(done, (o.waitMs ?? 1000) * 2 ** (attempt - 1)))
    }
  }
}

/** The server, or this box, says no: trying again would not help. */
class Refused extends Error {}

async function once(url: URL, o: Download): Promise<string> {
  const part = join(o.dir, 'bundle.part')
  const [had, validator] = await begun(url, o.dir)
  const still = new AbortController()
  let alarm = setTimeout(() => still.abort(), o.stillMs ?? 30_000)
  const alive = (): void => {
    clearTimeout(alarm)
    alarm = setTimeout(() => still.abort(), o.stillMs ?? 30_000)
  }
  try {
    const headers: Record<string, string> = { 'accept-encoding': 'identity' }
    if (had > 0) Object.assign(headers, { range: `bytes=${had}-`, 'if-range': validator })
    const answer = await ask(url, headers, still.signal)
    // What is here is longer than what there is: from the beginning.
    if (answer.statusCode === 416) {
      answer.destroy()
      await rm(join(o.dir, 'bundle.from'), { force: true })
      throw new Error('the server does not go on where it stopped')
    }
    const from = startOf(answer, had)
    const length = Number(answer.headers['content-length'] ?? Number.NaN)
    const whole = Number.isSafeInteger(length) ? from + length : null
    await admit(whole ?? from, from, o)
    if (from === 0) await note(url, answer, o.dir)
    const file = await open(part, from === 0 ? 'w' : 'r+')
    try {
      const bytes = await take(answer, file, from, whole, o, alive)
      if (whole !== null && bytes !== whole) throw new Error(`${bytes} of ${whole} bytes came`)
      await file.truncate(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (e) {
    throw still.signal.aborted ? new Error('nothing came for a while') : e
  } finally {
    clearTimeout(alarm)
  }
  const done = join(o.dir, 'bundle.raucb')
  await rename(part, done)
  await rm(join(o.dir, 'bundle.from'), { force: true })
  const dir = await open(dirname(done), 'r')
  await dir.sync().finally(() => dir.close())
  return done
}

/** How many bytes of this very file are here already, and the server's word by which it knows it. */
async function begun(url: URL, dir: string): Promise<readonly [number, string]> {
  try {
    const file = await open(join(dir, 'bundle.from'), 'r')
    const [from, validator = ''] = (await file.readFile('utf8').finally(() => file.close())).split('\n')
    if (from !== url.href || validator === '') return [0, '']
    return [(await stat(join(dir, 'bundle.part'))).size, validator]
  } catch {
    // Nothing begun, or nothing that says of what.
    return [0, '']
  }
}

/**
 * The head of the answer, after redirections. By node:http, not fetch: Node 24's fetch ends the whole process by an assertion when a slow reader's
 * server closes the connection early.
 */
async function ask(url: URL, headers: Record<string, string>, signal: AbortSignal, hops = 5): Promise<IncomingMessage> {
  const answer = await new Promise<IncomingMessage>((done, refuse) => {
    const by = url.protocol === 'https:' ? getSecurely : get
    by(url, { headers, signal, agent: false }, done).on('error', refuse)
  })
  const { statusCode = 0 } = answer
  const { location } = answer.headers
  if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined) return answer
  answer.destroy()
  const next = URL.canParse(location, url.href) ? new URL(location, url) : null
  if (hops === 0 || next === null || !['http:', 'https:'].includes(next.protocol))
    throw new Refused(`the server sends us on to ${location}`)
  return ask(next, headers, signal, hops - 1)
}

/** Where the server's answer goes on. */
function startOf(answer: IncomingMessage, had: number): number {
  const { statusCode = 0, statusMessage = '' } = answer
  if (statusCode === 200) return 0
  if (statusCode === 206) {
    const from = Number(/^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1] ?? Number.NaN)
    if (from === had) return had
  }
  answer.destroy()
  const said = `the server says ${statusCode} ${statusMessage}`.trim()
  if (statusCode >= 500 || statusCode === 429) throw new Error(said)
  throw new Refused(said)
}

async function admit(bytes: number, have: number, o: Download): Promise<void> {
  const most = o.mostBytes ?? MOST_BYTES
  if (bytes > most) throw new Refused(`${bytes} bytes are more than a bundle may have (${most})`)
  const free = await (o.free ?? freeBytes)(o.dir)
  if (bytes - have + SPARE_BYTES > free)
    throw new Refused(
      `it has ${mib(bytes)} MiB, and ${mib(free)} MiB are free on the data partition. Put it on a stick called NTMCONFIG instead`,
    )
}

/** The server's validator, before the first byte; a weak one is none (RFC 9110 §13.1.5). */
async function note(url: URL, answer: IncomingMessage, dir: string): Promise<void> {
  const { etag } = answer.headers
  const validator = etag?.startsWith('"') ? etag : (answer.headers['last-modified'] ?? '')
  const file = await open(join(dir, 'bundle.from'), 'w')
  await file.writeFile(`${url.href}\n${validator}\n`)
  await file.sync().finally(() => file.close())
}

async function take(
  body: AsyncIterable<Uint8Array>,
  file: FileHandle,
  from: number,
  whole: number | null,
  o: Download,
  alive: () => void,
): Promise<number> {
  let at = from
  let told = -1
  for await (const chunk of body) {
    alive()
    await file.write(chunk, 0, chunk.length, at)
    at += chunk.length
    if (whole === null) await admit(at, at, o)
    const tenth = whole === null ? Math.floor(at / (16 << 20)) : Math.floor((at * 10) / Math.max(whole, 1))
    if (tenth !== told) o.onProgress?.(whole === null ? null : tenth * 10, at)
    told = tenth
  }
  return at
}

async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir)
  return bavail * bsize
}

/** For people; a certificate that a box without a clock takes for one of another time gets a hint. */
function reason(e: unknown): Error {
  if (!(e instanceof Error)) return new Error(String(e))
  const code = 'code' in e ? String(e.code) : ''
  if (!code.startsWith('CERT_') && !code.includes('SELF_SIGNED') && !code.includes('VERIFY')) return e
  const hint = `${e.message} (it is ${new Date().toISOString().slice(0, 16)} here). Bundles are signed: over http:// they are as safe`
  return Object.assign(new Error(hint), { code })
}

const mib = (bytes: number): number => Math.ceil(bytes / (1 << 20))
/** Kernel and root of the larger board, twice. */
const MOST_BYTES = 512 << 20
/** Left for the configuration, and for RAUC's own files. */
const SPARE_BYTES = 4 << 20
