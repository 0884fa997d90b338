import { BugError } from '#ntm-lib/base/invariant.ts'
import { IoFault } from './fault.ts'

/** An error as it crosses between threads: a structured clone would make every class of ours a plain `Error`. */
export type PlainError = {
  readonly name: string
  readonly message: string
  readonly stack: string
  /** What an IoFault tells besides. */
  readonly op?: string
  readonly code?: string
}

export function plainError(e: unknown): PlainError {
  if (!(e instanceof Error)) return { name: 'Error', message: String(e), stack: '' }
  const plain = { name: e.name, message: e.message, stack: e.stack ?? '' }
  return e instanceof IoFault ? { ...plain, op: e.op, code: e.code } : plain
}

/** The error as it was: an IoFault is one again, with its code; our own mistakes stay ours. The stack is the other thread's. */
export function revivedError(plain: PlainError): Error {
  const error = revive(plain)
  error.stack = plain.stack
  return error
}

function revive({ name, message, op, code }: PlainError): Error {
  if (op !== undefined) {
    const cause = new Error(message.startsWith(`${op}: `) ? message.slice(op.length + 2) : message)
    return new IoFault(op, code === 'UNKNOWN' ? cause : Object.assign(cause, { code }))
  }
  if (name === 'BugError') return new BugError(message)
  const error = new Error(message)
  Object.defineProperty(error, 'name', { value: name })
  return error
}
