import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { describe } from 'vitest'
import { whyNoLab } from '#lab/netns.ts'

/**
 * `describe` for tests in namespaces. Where they cannot run they are skipped and the title says why;
 * NTM_MUST_RUN=netns (make test, CI) runs them all the same, so that they fail instead of hiding.
 */
export function describeLab(title: string, body: () => void): void {
  const why = whyNoLab()
  if (why === null || (process.env['NTM_MUST_RUN'] ?? '').split(',').includes('netns')) describe(title, body)
  else describe.skip(`${title} (skipped: ${why})`, body)
}

/** Everything of the machine that a lab could leave behind or change, as comparable lines. Other labs' things are left out. */
export function machineState(tags: readonly string[]): string[] {
  const out = (command: string, ...args: string[]): string[] =>
    spawnSync(command, args, { encoding: 'utf8' }).stdout.split('\n')
  const ours = (line: string): boolean => tags.some((tag) => line.includes(tag))
  return [
    ...out('ip', 'netns', 'list').filter(ours),
    ...(existsSync('/etc/netns') ? readdirSync('/etc/netns').filter(ours) : []),
    ...(existsSync('/run/ntm-lab') ? readdirSync('/run/ntm-lab').filter(ours) : []),
    ...out('ip', '-o', 'link').map((line) => line.replace(/ (state|mode|qdisc) .*/, '')),
    ...out('ip', 'route'),
    ...out('ip', '-6', 'route'),
    ...out('nft', 'list', 'tables'),
    ...out('ps', '-eo', 'args').filter(ours),
  ].filter((line) => line !== '')
}
