import { parseArgs } from 'node:util'
import { CHECKS, hostState, PAGE, pagePatiently } from './checks.ts'
import { tellChecks } from './demo-checks.ts'
import { whyNoLab } from './netns.ts'
import type { Board } from './scenes/box-in-line.ts'
import { PLACE, v4HostToV6Server } from './scenes/v4-host-to-v6-server.ts'
import { Story } from './story.ts'
import type { ConsoleLine } from './vm/console.ts'
import { BOX_ROOMS, type BoxRole, VmProduct } from './vm-product.ts'

/**
 * `make demo-image`: the demo's first scene with three boxes of one image in QEMU in place of programs. What each is, a stick tells it. Exit code 0
 * only if every step held. `--arm` has the bridge of the Raspberry Pi's image.
 */
const why = whyNoLab()
if (why !== null) {
  process.stderr.write(`demo-image: ${why}\n`)
  process.exit(1)
}
/** What needs no 100 MB: three machines are emulated on this one. */
const QUICK = /who the server sees|TLS|UDP|ping|A and AAAA|does not exist/
const { arm } = parseArgs({ options: { arm: { type: 'boolean', default: false } } }).values

const story = new Story()
const finished = await story.tell(tellBoxes)
process.exitCode = story.end() && finished ? 0 : 1

async function tellBoxes(): Promise<void> {
  const scene = await story.step(
    'build the network from namespaces; three rooms wait for their boxes',
    () => v4HostToV6Server({ machines: BOX_ROOMS }),
    ({ lab }) => `${lab.rooms.length} rooms: ${lab.rooms.join(', ')}`,
  )
  await story.during(scene, async () => {
    const product = new VmProduct(scene)
    const sticks = await story.step(
      'ntm network init, two tokens; three sticks labelled NTMCONFIG',
      () => product.prepare(),
      (files) =>
        Object.values(files)
          .map((one) => Object.keys(one).length)
          .join(', ')
          .concat(' files'),
    )
    const boot = (role: BoxRole, board: Board = 'x86_64'): Promise<unknown> =>
      story.step(
        `plug its stick into the ${role} (${board}) and turn it on`,
        () => product.start(role, sticks[role], { board }),
        ({ console }) => said(console.find(/ntm: ready/)),
      )
    await boot('coordinator')
    await boot('tt')
    await boot('bridge', arm ? 'rpi-arm64' : 'x86_64')
    await story.step(
      'the host asks DHCP for an address, through the box',
      async () => {
        await scene.hostDhcp()
        return `${await scene.address4('host', PLACE.host.link)}; no IPv6`
      },
      (text) => text,
    )
    const untouched = await hostState(scene)
    await story.step(
      PAGE.title,
      () => pagePatiently(scene),
      (page) => page,
    )
    const checks = CHECKS.filter(({ title }) => QUICK.test(title))
    await tellChecks(story, scene, checks, untouched)
  })
}

function said(line: ConsoleLine | null): string {
  return line?.text ?? 'ready'
}
