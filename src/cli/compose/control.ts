import { serveControl } from '#io/control-socket.ts'
import { IoFault } from '#io/fault.ts'
import type { Undo } from './process.ts'

/** What `ntm status` shows of a running role; plain JSON values. */
export type Status = Readonly<Record<string, unknown>>
/** One line that came in: `ask` says what for. */
export type Request = Readonly<Record<string, unknown>>
export type StatusSource = {
  readonly role: string
  status(): Status | Promise<Status>
  /** What this role can be told besides; null when it is nothing of that. */
  order?(request: Request): Status | null
}

/**
 * Offers `ntm status` and `ntm down` for this program: `await offerControl(config.control.socket, source, undo)`, as the first step of a
 * start. The socket is closed last of all, so that `ntm down` knows when everything has been undone.
 */
export async function offerControl(path: string, source: StatusSource, undo: Undo): Promise<void> {
  const begun = performance.now()
  const server = await serveControl(path, async (request) => {
    const { ask } = request
    if (ask === 'down') {
      // As the service manager would: the ordinary way to the orderly end.
      setImmediate(() => process.kill(process.pid, 'SIGTERM'))
      return { ending: true }
    }
    if (ask !== 'status') return source.order?.(request) ?? null
    const upSeconds = Math.floor((performance.now() - begun) / 1000)
    return { role: source.role, pid: process.pid, upSeconds, ...(await source.status()) }
  })
  undo.add(() => server.close())
}

/** The same for a role that is told nothing but `down`; it says that it is starting until it is given its `status`. */
export async function offerStatus(
  path: string,
  role: string,
  undo: Undo,
): Promise<(status: () => Status | Promise<Status>) => void> {
  let status = (): Status | Promise<Status> => ({ starting: true })
  await offerControl(path, { role, status: () => status() }, undo)
  return (real) => {
    status = real
  }
}

/** The word of a running program's that is an answer; IoFault when it says that it has none. */
export function told(path: string, answer: unknown): Status {
  if (typeof answer !== 'object' || answer === null) throw new IoFault(`ask ${path}`, new Error('no answer of ours'))
  if ('error' in answer) throw new IoFault(`ask ${path}`, new Error(String(answer.error)))
  return answer as Status
}
