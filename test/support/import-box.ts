import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { keyValues } from '#lab/vm/ssh.ts'
import { standIns } from './stand-ins.ts'

const TOOLS = join(ROOT, 'board/common/overlay/usr/lib/ntm')

/** `/usr/lib/ntm/import` with directories in place of partitions: `run/media/{boot,stick}` and `data`. Gone after its test. */
export class ImportBox {
  readonly #dir = mkdtempSync(join(tmpdir(), 'ntm-import-'))

  constructor() {
    onTestFinished(() => rmSync(this.#dir, { recursive: true, force: true }))
    for (const dir of ['bin', 'run/media/boot', 'run/media/stick', 'data/config'])
      mkdirSync(this.at(dir), { recursive: true })
    // What is mounted there lies there; how is noted. No stick is found, nothing is to mend.
    standIns(this.at('bin'), {
      mount: `case "$2" in remount*) echo "$2" ;; *) echo "$4" | cut -d , -f 1 ;; esac >>${this.at('mounts')}`,
      umount: ':',
      blkid: ':',
      'fsck.fat': ':',
      systemctl: `echo systemctl "$@" >>${this.at('console')}`,
    })
  }

  at = (name: string): string => join(this.#dir, name)
  has = (name: string): boolean => existsSync(this.at(name))
  put = (name: string, text: string): void => writeFileSync(this.at(name), text)
  /** Null when there is no such file. */
  read = (name: string): string | null => (this.has(name) ? readFileSync(this.at(name), 'utf8') : null)
  state = (): Readonly<Record<string, string>> => keyValues(this.read('run/config') ?? '')

  /** The checksum by which `import` knows what lies on NTMBOOT. It must stay what it is: boxes remember it. */
  sum(): string {
    const all = 'find ntm.toml ntm.toml.txt token token.txt network -type f 2>/dev/null | sort'
    const script = `${all} | while read -r file; do echo "$file"; sha256sum <"$file"; done | sha256sum | cut -c 1-64`
    const env = { ...process.env, LC_ALL: 'C' }
    return spawnSync('sh', ['-c', script], { cwd: this.at('run/media/boot'), encoding: 'utf8', env }).stdout.trim()
  }

  /** Looks once; `mounts` is what it did then. */
  look(): void {
    rmSync(this.at('mounts'), { force: true })
    const env = {
      ...process.env,
      PATH: `${this.at('bin')}:${process.env['PATH']}`,
      NTM_LIB: TOOLS,
      NTM_RUN: this.at('run'),
      NTM_DATA: this.at('data'),
      NTM_CONSOLES: this.at('console'),
    }
    const options = { env, encoding: 'utf8', timeout: 20_000 } as const
    const { status, stderr } = spawnSync('busybox', ['sh', join(TOOLS, 'import')], options)
    expect(status, stderr).toBe(0)
  }
}
