import { type CHECKS, hostState } from './checks.ts'
import { LabError } from './ip.ts'
import type { Scene } from './scenes/v4-host-to-v6-server.ts'
import type { Story } from './story.ts'

/** Tells these checks one by one, also when one fails; the last step is that the host is as it was (`hostState`). */
export async function tellChecks(
  story: Story,
  scene: Scene,
  checks: readonly (typeof CHECKS)[number][],
  untouched: string,
): Promise<void> {
  for (const check of checks) {
    const seen = await story.step(
      check.title,
      () => check.run(scene),
      (text) => text,
      true,
    )
    if (seen === null) story.keepLogs(scene)
  }
  await story.step(
    'the host is as it was: addresses, routes, resolver, firewall',
    async () => {
      if ((await hostState(scene)) !== untouched) throw new LabError(`changed: ${await hostState(scene)}`)
    },
    () => 'nothing on it has changed',
    true,
  )
}
