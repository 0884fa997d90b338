import { readFileSync } from 'node:fs'
import type { Arena } from '../peers/peer.ts'

/** Processor time so far, in microseconds: of each box's program, and of the whole machine (interrupts included). */
export type Spent = { readonly boxes: Readonly<Record<string, number>>; readonly machine: number }

export function spent(arena: Arena): Spent {
  return {
    boxes: Object.fromEntries(arena.boxes.map(({ name, pid }) => [name, processMicros(pid)])),
    machine: machineMicros(readFileSync('/proc/stat', 'utf8')),
  }
}

export const since = (before: Spent, after: Spent): Spent => ({
  boxes: Object.fromEntries(
    Object.entries(after.boxes).map(([name, micros]) => [name, micros - (before.boxes[name] ?? 0)]),
  ),
  machine: after.machine - before.machine,
})

/** User and system time of a process with all its threads; proc_pid_stat(5), fields 14 and 15. */
export function processMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK
}

/** Resident memory of a process in MiB (VmRSS). */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib ?? Number.NaN) / 1024
}

/** All processors' time that was not idle; proc_stat(5), first line: user nice system idle iowait irq softirq steal. */
export function machineMicros(stat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split('\n')[0] ?? '')
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq) * MICROS_PER_TICK
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const MICROS_PER_TICK = 10_000
