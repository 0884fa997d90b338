import { pino } from 'pino'
import type { Log, LogFields } from '#ntm-lib/ports/log.ts'

export type LogSettings = { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly format: 'text' | 'json' }

/** A Log that writes one line per event to `write` (standard error by default): JSON, or RFC 3339 text for people. */
export function openLog(settings: LogSettings, write: (line: string) => void = toStderr): Log {
  const logger = pino(
    {
      level: settings.level,
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write: settings.format === 'json' ? write : (line) => write(asText(line)) },
  )
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  }
}

/** `2026-01-02T03:04:05.678Z info  tunnel.opened path=1a2b afterMs=12` */
function asText(line: string): string {
  const { time, level, event, ...fields } = JSON.parse(line) as LogFields
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${quoted(value)}`)
  return `${time} ${String(level).padEnd(5)} ${event}${pairs.join('')}\n`
}

const quoted = (value: string | number | boolean): string =>
  typeof value === 'string' && /[\s"=]|^$/.test(value) ? JSON.stringify(value) : String(value)

function toStderr(line: string): void {
  process.stderr.write(line)
}
