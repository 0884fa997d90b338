import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError, runIn } from '../ip.ts'
import type { Lab } from '../netns.ts'
import { type Outcome, until } from '../process.ts'

/** Asks inside a box over SSH, from a room that reaches it, with a key of the lab's own (`[appliance] ssh_keys`). */
export class BoxShell {
  readonly #lab: Lab
  readonly #from: string
  readonly #address: string

  constructor(lab: Lab, from: string, address: string) {
    this.#lab = lab
    this.#from = from
    this.#address = address
  }

  /** The public key that the box must be configured with, in OpenSSH's form; made once per lab. */
  static publicKey(lab: Lab): string {
    const file = keyFile(lab)
    const room = lab.rooms[0]
    if (room === undefined) throw new LabError('a lab without rooms')
    if (!existsSync(file))
      runIn(lab.netns(room), 'ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lab', '-f', file])
    return readFileSync(`${file}.pub`, 'utf8').trim()
  }

  /** Runs a command in the box to its end. Exit code 255: SSH itself failed. */
  run(command: string, limitMs = 60_000): Promise<Outcome> {
    return this.#lab.run(this.#from, 'ssh', this.#arguments(command), { limitMs })
  }

  /** Like `run`, but what fails is asked again until `limitMs`: a box that is starting has no SSH yet. Returns stdout. */
  async must(command: string, limitMs = 120_000): Promise<string> {
    let last = ''
    const done = await until(
      `ssh ${this.#address} ${command}`,
      async () => {
        const outcome = await this.run(command)
        if (outcome.code === 0) return outcome
        last = outcome.stderr.trim() || outcome.stdout.trim()
        return null
      },
      limitMs,
      1000,
    ).catch((fault: unknown) => {
      throw new LabError(`${String(fault)}\n${last}`)
    })
    return done.stdout
  }

  /** A file of `/run/ntm-box/` as the box wrote it: `key=value` lines. */
  async state(
    name: 'data' | 'wire' | 'config' | 'slot' | 'health' | 'clock',
  ): Promise<Readonly<Record<string, string>>> {
    return keyValues(await this.must(`cat /run/ntm-box/${name}`))
  }

  /** Copies a file of this machine into the box. */
  async put(file: string, to: string): Promise<void> {
    const script = 'file=$1; shift; exec ssh "$@" <"$file"'
    await this.#lab.must(this.#from, 'sh', ['-c', script, 'sh', file, ...this.#arguments(`cat >${to}`)], {
      limitMs: 240_000,
    })
  }

  #arguments(command: string): readonly string[] {
    const options = OPTIONS.flatMap((option) => ['-o', option])
    return ['-F', 'none', '-i', keyFile(this.#lab), ...options, `root@${this.#address}`, command]
  }
}

/** `key=value` lines as an object; what is no such line is left out. */
export function keyValues(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const found = /^(\w+)=(.*)$/.exec(line)
      return found === null ? [] : [[found[1] ?? '', (found[2] ?? '').replace(/^"(.*)"$/, '$1')]]
    }),
  )
}

const OPTIONS = [
  'BatchMode=yes',
  // A box makes its host key at its first start, and a lab knows nobody else.
  'StrictHostKeyChecking=no',
  'UserKnownHostsFile=/dev/null',
  'LogLevel=ERROR',
  'ConnectTimeout=10',
  'ServerAliveInterval=5',
  'ServerAliveCountMax=6',
]
const keyFile = (lab: Lab): string => join(lab.dir, 'ssh-key')
