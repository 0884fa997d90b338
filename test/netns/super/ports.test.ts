import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { describeLab } from '#test/support/lab.ts'

// What only super-packets, queues and options of the ports have to show: each case in ports-child.ts, in a namespace of its own, once
// with the addon as it ships and once with sanitizers.
const NATIVE = join(ROOT, 'native/packet-io')

describeLab('ports for super-packets', () => {
  test('every case', async () => {
    await expectAllGood('ntm-sp', {})
  })

  const libasan = findLibasan()
  test.skipIf(libasan === null)('every case, with address and undefined-behaviour sanitizers', async () => {
    execFileSync('make', ['-C', NATIVE, 'sanitize'], { stdio: 'pipe' })
    await expectAllGood('ntm-spa', {
      NTM_PACKET_IO: join(NATIVE, 'build/packet-io.asan.node'),
      LD_PRELOAD: libasan ?? '',
      ASAN_OPTIONS: 'detect_leaks=0',
    })
  })

  test('where the kernel cuts nothing, runs go as single datagrams, are counted, and whole again when it does', async () => {
    const dir = execFileSync('mktemp', ['-d']).toString().trim()
    const shim = join(dir, 'refuse.so')
    execFileSync('gcc', [
      '-shared',
      '-fPIC',
      '-O1',
      '-Wall',
      '-Werror',
      '-o',
      shim,
      join(import.meta.dirname, 'refuse-gso.c'),
    ])
    const namespace = `ntm-sr-${process.pid}`
    execFileSync('ip', ['netns', 'add', namespace])
    try {
      const child = join(import.meta.dirname, 'refused-child.ts')
      const { stdout } = await promisify(execFile)(
        'ip',
        ['netns', 'exec', namespace, 'env', `LD_PRELOAD=${shim}`, process.execPath, child],
        { timeout: 60_000 },
      )
      expect(JSON.parse(stdout)).toEqual({
        // Linux before 6.9 takes 64 segments in one send.
        fewer: { out: 130, superOut: 3, gsoRefused: 0, refusedOut: 0, whole: true },
        // A device that cannot: the first run tells, the next ones are not tried.
        none: { out: 1024 * 3 + 3, superOut: 1, gsoRefused: 1, refusedOut: 0, whole: true },
        // Linux before 6.2 takes no UDP super-packets from a TUN: they are cut here.
        tun: { out: 1025 * 3 + 1, superOut: 1, gsoRefused: 1025, refusedOut: 0, heard: 1026 * 3 },
      })
    } finally {
      execFileSync('ip', ['netns', 'del', namespace])
      execFileSync('rm', ['-r', dir])
    }
  })
})

async function expectAllGood(name: string, extra: NodeJS.ProcessEnv): Promise<void> {
  const namespace = `${name}-${process.pid}`
  execFileSync('ip', ['netns', 'add', namespace])
  try {
    const env = Object.entries(extra).map(([k, v]) => `${k}=${v}`)
    const child = join(import.meta.dirname, 'ports-child.ts')
    const { stdout, stderr } = await promisify(execFile)(
      'ip',
      ['netns', 'exec', namespace, 'env', ...env, process.execPath, child],
      { timeout: 100_000 },
    ).catch((failed: { stdout: string; stderr: string }) => failed)
    const outcomes = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { name: string; fault: string })
    expect(
      outcomes.filter((o) => o.fault !== ''),
      stderr,
    ).toEqual([])
    expect(outcomes.length, `the child ended early\n${stderr}`).toBeGreaterThanOrEqual(15)
    expect(stderr).toBe('')
  } finally {
    execFileSync('ip', ['netns', 'del', namespace])
  }
}

function findLibasan(): string | null {
  try {
    const path = execFileSync('gcc', ['-print-file-name=libasan.so'], { stdio: 'pipe' }).toString().trim()
    return existsSync(path) ? path : null
  } catch {
    // Expected: no compiler on this machine.
    return null
  }
}
