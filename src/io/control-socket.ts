import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { IoFault } from './fault.ts'

/** Answers one request of the machine's owner. What it gives is written as JSON; what it throws becomes `{"error": …}`. */
export type ControlAnswer = (request: Readonly<Record<string, unknown>>) => unknown

export type ControlServer = { close(): Promise<void> }

/**
 * Listens on a UNIX socket that only its owner may open: one JSON document per line each way. A socket that a dead program left is
 * replaced; IoFault when a living one answers there, or the place cannot be written.
 */
export async function serveControl(path: string, answer: ControlAnswer): Promise<ControlServer> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  } catch (cause) {
    throw new IoFault(`create ${dirname(path)}`, cause)
  }
  if (await isAnswered(path)) throw new IoFault(`listen on ${path}`, new Error('another program answers there already'))
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server = createServer((c) => {
    open.add(c)
    c.on('close', () => open.delete(c))
    // Expected: who asked has gone.
    c.on('error', () => {})
    talk(c, answer)
  })
  server.maxConnections = MOST_CONNECTIONS
  await new Promise<void>((done, reject) => {
    server.once('error', (cause) => reject(new IoFault(`listen on ${path}`, cause)))
    // The socket is made within this call: nobody else has a moment to open it.
    const before = process.umask(0o177)
    try {
      server.listen(path, done)
    } finally {
      process.umask(before)
    }
  })
  chmodSync(path, 0o600)
  return {
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        for (const c of open) c.destroy()
      }),
  }
}

/** Asks a running program. IoFault when none listens there or it does not answer in time; `closed` resolves when it has ended. */
export async function askControl(
  path: string,
  request: Readonly<Record<string, unknown>>,
): Promise<{ readonly answer: unknown; readonly closed: Promise<void>; end(): void }> {
  const c = connect(path)
  const closed = new Promise<void>((done) => c.once('close', () => done()))
  const answer = await new Promise<unknown>((done, reject) => {
    const refuse = (cause: unknown): void => {
      // What is there and says nothing of use would keep us waiting for its end.
      c.destroy()
      reject(new IoFault(`ask ${path}`, cause))
    }
    let come = ''
    c.setTimeout(ANSWER_MS, () => refuse(new Error('no answer')))
    c.on('error', refuse)
    c.on('close', () => refuse(new Error('it ended without an answer')))
    c.on('connect', () => c.write(`${JSON.stringify(request)}\n`))
    c.setEncoding('utf8').on('data', (chunk: string) => {
      come += chunk
      const end = come.indexOf('\n')
      if (end < 0) return
      c.setTimeout(0)
      try {
        done(JSON.parse(come.slice(0, end)))
      } catch (cause) {
        // Something else than our program listens there.
        refuse(cause)
      }
    })
  })
  return { answer, closed, end: () => void c.destroy() }
}

function talk(c: Socket, answer: ControlAnswer): void {
  let come = ''
  let busy = Promise.resolve()
  c.setTimeout(IDLE_MS, () => c.destroy())
  c.setEncoding('utf8').on('data', (chunk: string) => {
    come += chunk
    for (let end = come.indexOf('\n'); end >= 0; end = come.indexOf('\n')) {
      const line = come.slice(0, end)
      come = come.slice(end + 1)
      busy = busy.then(async () => {
        const said = await answered(line, answer)
        if (c.writable) c.write(`${JSON.stringify(said)}\n`)
      })
    }
    if (come.length > MOST_REQUEST) c.destroy()
  })
}

async function answered(line: string, answer: ControlAnswer): Promise<unknown> {
  try {
    const request: unknown = JSON.parse(line)
    if (typeof request !== 'object' || request === null || Array.isArray(request))
      return { error: 'a request is a JSON object' }
    return (await answer(request as Readonly<Record<string, unknown>>)) ?? { error: 'not known here' }
  } catch (e) {
    // Not JSON, or the packet side has just ended.
    return { error: e instanceof Error ? e.message : String(e) }
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((done) => {
    const c = connect(path)
    c.once('connect', () => {
      c.destroy()
      done(true)
    })
    // Nothing there, or nobody behind it.
    c.once('error', () => done(false))
  })
}

const MOST_CONNECTIONS = 16
const MOST_REQUEST = 65_536
const IDLE_MS = 60_000
const ANSWER_MS = 5000
