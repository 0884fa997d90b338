import { packetIo } from './native.ts'

/** The service manager that started this process and wants to hear of it: systemd's `sd_notify(3)`. */
export type Supervisor = {
  /** It ends the process when it has not heard `WATCHDOG=1` for this long; null when it does not look. */
  readonly watchdogMs: number | null
  /** `NAME=VALUE` each. 0, or the negative errno of what is in the way; nobody waits for it. */
  tell(lines: readonly string[]): number
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Null without `NOTIFY_SOCKET`: then nobody wants to hear. IoFault when the addon, which alone can write to such a socket, is not there.
 * Children do not inherit it: they are not the service.
 */
export function openSupervisor(env: Environment, pid: number = process.pid): Supervisor | null {
  const { NOTIFY_SOCKET: path, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env
  if (path === undefined || !/^[/@]./.test(path)) return null
  const io = packetIo()
  const meant = watched === undefined || watched === String(pid)
  const every = /^\d{1,15}$/.test(usec ?? '') && meant ? Number(usec) / 1000 : 0
  return {
    watchdogMs: every > 0 ? every : null,
    tell: (lines) => io.notify(path, lines.map((line) => line.replaceAll(/[\r\n]+/g, ' ')).join('\n')),
  }
}
