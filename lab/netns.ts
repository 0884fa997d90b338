import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ipBatch, LabError, runIn } from './ip.ts'
import { claim, PREFIX, removeTag, sweep } from './owner.ts'
import { collect, endProcesses, type Outcome, type Program, type RunOptions, start } from './process.ts'

/** One end of a cable: a room and the interface's name in it. */
export type Plug = readonly [room: string, link: string]

/**
 * A network of namespaces on this machine. Rooms are namespaces `ntm-<tag>-<room>`; cables are veth pairs born inside
 * them, so that nothing ever appears in the machine's own namespace. Everything goes on `dispose`, on a signal and at
 * exit; what a killed lab left is swept by the next one.
 */
export class Lab {
  readonly tag: string
  /** Run directory: logs, configuration files, keys. Gone with the lab unless `keepLogs` was called. */
  readonly dir: string
  readonly #rooms: string[] = []
  readonly #programs: Program[] = []
  readonly #undo: (() => void)[] = []
  #keepAs: string | null = null
  #open = true

  /** Sweeps after dead labs, then claims a tag. Needs root, iproute2 and nftables. */
  constructor() {
    sweep()
    const { tag, dir } = claim(RUN_ROOT)
    this.tag = tag
    this.dir = dir
    watchSignals()
    LIVE.add(this)
  }

  /** Makes a room: loopback up, duplicate address detection off (a lab has no strangers, and it costs a second). */
  room(name: string, sysctls: Readonly<Record<string, string | number>> = {}): void {
    if (!/^[a-z0-9]+$/.test(name)) throw new LabError(`room name ${name}: small letters and digits only`)
    ipBatch(null, [`netns add ${this.netns(name)}`])
    this.#rooms.push(name)
    this.sysctl(name, {
      'net.ipv6.conf.all.accept_dad': 0,
      'net.ipv6.conf.default.accept_dad': 0,
      ...sysctls,
    })
    this.ip(name, 'link set lo up')
  }

  get rooms(): readonly string[] {
    return this.#rooms
  }

  /** The kernel's name of a room's namespace, for `ip -n` and `ip netns exec`. */
  netns(room: string): string {
    return `${PREFIX}${this.tag}-${room}`
  }

  /** Lays a cable between two rooms and brings both ends up, but for those in the rooms of `leaveDown`. */
  cable(a: Plug, b: Plug, options: { readonly mtu?: number; readonly leaveDown?: readonly string[] } = {}): void {
    const mtu = options.mtu ?? 1500
    const end = ([room, link]: Plug): string => `name ${link} mtu ${mtu} netns ${this.netns(room)}`
    ipBatch(null, [`link add ${end(a)} type veth peer ${end(b)}`])
    for (const [room, link] of [a, b]) if (!options.leaveDown?.includes(room)) this.ip(room, `link set ${link} up`)
  }

  /** Runs `ip` commands in a room, as one batch that stops at the first failure. */
  ip(room: string, ...lines: readonly string[]): void {
    ipBatch(this.netns(room), lines)
  }

  sysctl(room: string, values: Readonly<Record<string, string | number>>): void {
    const lines = Object.entries(values).map(
      ([key, value]) => `echo '${value}' >/proc/sys/${key.replaceAll('.', '/')} || exit 1`,
    )
    if (lines.length > 0) runIn(this.netns(room), 'sh', ['-s'], `${lines.join('\n')}\n`)
  }

  /**
   * Makes a kernel bridge in a room, up, with these links as its ports: a plain switch. Its frames are kept from iptables,
   * which would otherwise (where br_netfilter is loaded) NAT them as they are switched.
   */
  lanSwitch(room: string, name: string, ports: readonly string[]): void {
    const calls = ['iptables', 'ip6tables', 'arptables'].map((t) => `/proc/sys/net/bridge/bridge-nf-call-${t}`)
    runIn(this.netns(room), 'sh', ['-c', `for f in ${calls.join(' ')}; do [ ! -e $f ] || echo 0 >$f; done`])
    this.ip(
      room,
      `link add ${name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      ...ports.map((port) => `link set ${port} master ${name}`),
      `link set ${name} up`,
    )
  }

  /** Applies an nftables script in a room, atomically. */
  nft(room: string, script: string): void {
    runIn(this.netns(room), 'nft', ['-f', '-'], script)
  }

  /**
   * Gives a room its own file in place of `/etc/<name>`: `ip netns exec` mounts it there for the room's programs only.
   * The file must exist on the machine (as a file or a link to one).
   */
  etc(room: string, name: string, text: string): void {
    const file = join('/etc/netns', this.netns(room), name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }

  /** Writes a file below the run directory and returns its path. */
  file(name: string, text: string | Uint8Array, mode = 0o644): string {
    const path = join(this.dir, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text, { mode })
    return path
  }

  /** Runs a command in a room to its end. A non-zero exit is an outcome, not an exception. */
  run(room: string, command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Outcome> {
    return collect('ip', ['netns', 'exec', this.netns(room), command, ...args], options)
  }

  /** Like `run`, but a non-zero exit throws LabError; returns stdout. */
  async must(room: string, command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    const done = await this.run(room, command, args, options)
    if (done.code === 0) return done.stdout
    throw new LabError(`${command} ${args.join(' ')} in ${room}: exit ${done.code}\n${done.stderr}${done.stdout}`)
  }

  /** Starts a program in a room; it ends with the lab. Its output goes to `<dir>/<name>.log`. */
  spawn(
    room: string,
    name: string,
    command: string,
    args: readonly string[] = [],
    options: Pick<RunOptions, 'env' | 'cwd'> = {},
  ): Program {
    const log = join(this.dir, `${name}.log`)
    const program = start(name, 'ip', ['netns', 'exec', this.netns(room), command, ...args], log, options)
    this.#programs.push(program)
    return program
  }

  /** Registers something to undo at disposal; the last registered goes first. */
  onDispose(undo: () => void): void {
    this.#undo.push(undo)
  }

  /** Keeps the run directory as `.run/<name>` when the lab goes; returns that path. */
  keepLogs(name: string): string {
    this.#keepAs = join(RUN_ROOT, name)
    return this.#keepAs
  }

  /** Takes everything down, in reverse order. Blocks until it is gone; safe to call twice and from an exit handler. */
  dispose(): void {
    if (!this.#open) return
    this.#open = false
    LIVE.delete(this)
    for (const undo of this.#undo.reverse()) {
      try {
        undo()
      } catch (fault) {
        process.stderr.write(`lab: while disposing: ${String(fault)}\n`)
      }
    }
    endProcesses(
      this.#programs
        .filter((p) => p.alive())
        .map((p) => p.pid)
        .reverse(),
      3000,
    )
    if (this.#keepAs !== null) {
      rmSync(this.#keepAs, { recursive: true, force: true })
      renameSync(this.dir, this.#keepAs)
    }
    removeTag(this.tag, this.dir)
  }
}

/** Why namespaces cannot be used here, as one sentence; null when they can. */
export function whyNoLab(): string | null {
  return process.getuid?.() === 0 ? null : 'network namespaces need root: use sudo'
}

const LIVE = new Set<Lab>()
let watching = false

/** One set of handlers per process, however many labs it opens. A signal disposes, then ends the process as it would have. */
function watchSignals(): void {
  if (watching) return
  watching = true
  const all = (): void => {
    for (const lab of [...LIVE].reverse()) {
      try {
        lab.dispose()
      } catch (fault) {
        // The next lab sweeps what is left; the signal must still end us.
        process.stderr.write(`lab: while disposing: ${fault instanceof Error ? fault.stack : String(fault)}\n`)
      }
    }
  }
  process.on('exit', all)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      all()
      process.kill(process.pid, signal)
    })
  }
}

/** Repository root; programs of the product are started from here. */
export const ROOT = join(import.meta.dirname, '..')
const RUN_ROOT = join(ROOT, '.run')

/** Builds something in a new lab; when that fails the logs are kept, and nothing else is. */
export async function inNewLab<T>(build: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = new Lab()
  try {
    return await build(lab)
  } catch (fault) {
    process.stderr.write(`the lab's logs: ${lab.keepLogs('failed-lab')}\n`)
    lab.dispose()
    throw fault
  }
}
