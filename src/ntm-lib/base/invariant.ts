/** Our own mistake, never the peer's and never the machine's: the process should stop and the stack be read. */
export class BugError extends Error {
  override readonly name = 'BugError'
}

export function invariant(holds: boolean, why: string): asserts holds {
  if (!holds) throw new BugError(why)
}

/** Ends an exhaustive `switch`: a new case that is not handled stops the compiler here. */
export function unreachable(value: never): never {
  throw new BugError(`unhandled case: ${JSON.stringify(value)}`)
}
