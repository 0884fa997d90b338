/** Values a log line may carry: identifiers and sizes, never payloads or keys. */
export type LogFields = Readonly<Record<string, string | number | boolean>>

/** `event` is a stable dotted name (`tunnel.opened`); dashboards and tests match on it, so prose never goes there. */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

/** For tests and for parts whose owner wants silence. */
export const quiet: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
}
