import { BIG_BYTES } from './content.ts'
import { DEVICE, DeviceDownload, fetchPage, laptopAndDevice, pathOf, startAll } from './device-download.ts'
import { LabError } from './ip.ts'
import type { Story } from './story.ts'

/**
 * The demo's second scene: a laptop downloads from an old device behind a bridge behind a NAT, and changes from an IPv4 NAT to an IPv6-only
 * network meanwhile. Its one uplink is pulled out and another is plugged in.
 */
export async function tellLaptop(story: Story): Promise<void> {
  story.say(`
  laptop ── IPv4 NAT ──────────┐
    ╎                          ├── Internet ──┬── coordinator, relay (both families)
    └╌╌ IPv6-only network ─────┘              └── NAT ── LAN ── bridge ── device: IPv4 only, untouched
`)
  const scene = await story.step(
    'build the network: three sites, the device behind its bridge and NAT',
    laptopAndDevice,
    ({ lab }) => `${lab.rooms.length} rooms: ${lab.rooms.join(', ')}`,
  )
  await story.during(scene, async () => {
    await story.step(
      'start coordinator, relay, the bridge in front of the device (enrolled as plc-7), and ntm up on the laptop',
      () => startAll(scene),
      () => [...scene.programs.running.values()].map((p) => p.name).join(', '),
    )
    await story.step(
      `on the laptop: curl http://${DEVICE}/`,
      () => fetchPage(scene),
      (page) => page,
    )
    const way = (when: string): Promise<string> =>
      story.step(
        `${when}, ntm status: which way`,
        () => pathOf(scene),
        (text) => text,
      )
    await way('now')
    const download = await DeviceDownload.begin(scene)
    await story.step(
      `while it downloads ${BIG_BYTES / 1e6} MB: from the IPv4 network to the IPv6-only one`,
      () => download.move(),
      (ms) => `first answer of the device ${Math.round(ms)} ms after the new address could be used`,
    )
    await way('there')
    const cost = await story.step(
      'the download goes on over the same connection',
      () => download.end(),
      ({ downloadMs }) => `${BIG_BYTES / 1e6} MB in ${(downloadMs / 1000).toFixed(1)} s, SHA-256 matches`,
    )
    await story.step(
      'what the move cost',
      async () => {
        if (!(cost.lost <= MOST_LOST * cost.sent)) throw new LabError(`${cost.lost} of ${cost.sent} lost`)
        return cost
      },
      ({ sent, lost, gapMs, afterUsableMs }) =>
        `gap ${Math.round(gapMs)} ms, ${Math.round(afterUsableMs)} ms of it with the new address; ${lost} of ${sent} packets lost, one every 5 ms`,
    )
  })
}

/** A move that loses more than this is no hand-over. */
const MOST_LOST = 0.1
