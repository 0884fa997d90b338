import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../config/load.ts'
import { UsageError } from '../usage-error.ts'

/** Which running programs a command is about: one that is named, the configuration's, else all of this machine. */
export function socketsOf(o: { readonly config?: string; readonly socket?: string }): readonly string[] {
  if (o.config !== undefined && o.socket !== undefined) throw new UsageError('give --config or --socket, not both')
  if (o.socket !== undefined) return [o.socket]
  if (o.config === undefined) return everySocket()
  return [loadConfig(o.config).control.socket]
}

function everySocket(): string[] {
  try {
    return readdirSync(PLACE)
      .filter((name) => name.endsWith('.sock'))
      .sort()
      .map((name) => join(PLACE, name))
  } catch {
    // Nothing has ever run here.
    return []
  }
}

const PLACE = '/run/ntm'
