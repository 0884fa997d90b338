import { run } from '#io/run.ts'

/** Has the box start anew, in order. */
export async function restart(): Promise<void> {
  await run('systemctl', ['reboot', '--no-block'])
}
