import { BIG_SHA256, sha256 } from './content.ts'
import { LabError } from './ip.ts'
import { type PingSummary, Pings } from './pings.ts'
import { pause, until } from './process.ts'
import { type TwoBridges, twoBridges, ZONE } from './scenes/two-bridges.ts'
import { authority, pageOf, webServer } from './services.ts'

/** The old device's name: its bridge is enrolled as plc-7. */
export const DEVICE = `plc-7.${ZONE}`

/** What a move cost, by pings every 5 ms beside a large download. */
export type MoveCost = PingSummary & {
  /** Milliseconds from the moment the new address could be used to the device's first answer there. */
  readonly afterUsableMs: number
  /** Of the whole download, over one connection. */
  readonly downloadMs: number
}

/** A laptop behind an IPv4 NAT, a relay, and an old device behind a bridge behind another NAT; nothing of the product runs. */
export const laptopAndDevice = (): Promise<TwoBridges> =>
  twoBridges({ laptop: 'port-restricted', relays: 1, ip6: false })

/** Coordinator, relay, bridge, and `ntm up` on the laptop. The device has had its address since before, and says nothing by itself. */
export async function startAll(scene: TwoBridges): Promise<void> {
  await scene.startCoordinator()
  await scene.startRelay(1)
  await scene.startBridge('b', {}, 'plc-7')
  const tls = authority(scene.lab).issue([DEVICE])
  await webServer(scene.lab, scene.sites.b.host, { name: DEVICE, listen: ['0.0.0.0'], tls })
  await scene.startNode()
}

/** The device's page, fetched by the laptop by name. LabError when it is another. */
export async function fetchPage({ lab }: TwoBridges): Promise<string> {
  const page = await lab.must('laptop', 'curl', ['-sS', '--max-time', '10', `http://${DEVICE}/`])
  if (page !== pageOf(DEVICE)) throw new LabError(`another page: ${page}`)
  return page.trim()
}

/** What `ntm status` on the laptop says of the path to the device. LabError when there is none. */
export async function pathOf({ programs }: TwoBridges): Promise<string> {
  const { paths } = await programs.status('laptop', 'laptop')
  const path = (paths as { peer: string; way: string; at: string; rttMs: number | null }[]).find(
    (p) => p.peer === DEVICE,
  )
  if (path === undefined) throw new LabError(`no path to ${DEVICE}`)
  return `${path.way}, ${path.at}${path.rttMs === null ? '' : `, ${path.rttMs} ms`}`
}

/** A download that is under way while the laptop changes networks. */
export class DeviceDownload {
  readonly #scene: TwoBridges
  readonly #file: string
  readonly #pings: Pings
  readonly #done: ReturnType<TwoBridges['lab']['run']>
  #usable = Number.NaN

  private constructor(scene: TwoBridges, pings: Pings) {
    this.#scene = scene
    this.#pings = pings
    this.#file = `${scene.lab.dir}/device.bin`
    const args = ['-sS', '--fail', '--limit-rate', '10M', '-o', this.#file, `http://${DEVICE}/100m.bin`]
    this.#done = scene.lab.run('laptop', 'curl', args, { limitMs: 120_000 })
  }

  /** Resolves when it has run for a while. */
  static async begin(scene: TwoBridges): Promise<DeviceDownload> {
    const download = new DeviceDownload(scene, await Pings.start(scene.lab, 'laptop', DEVICE, 5))
    await pause(2500)
    return download
  }

  /** Pulls the plug of the IPv4 network and plugs into an IPv6-only one. Gives the milliseconds until the device answered there. */
  async move(): Promise<number> {
    const { net, laptop } = this.#scene
    if (laptop === null) throw new LabError('this scene has a laptop')
    const away = await net.site('sited', 'v6-only')
    net.leave('laptop', laptop)
    net.join('laptop', 'eth1', away)
    const usable = Date.now()
    this.#usable = usable
    await until(
      'an answer in the new network',
      () => (this.#pings.answers.some((a) => a.atMs > usable) ? true : null),
      15_000,
    )
    return this.#pings.firstAfter(usable) - usable
  }

  /** When every byte has come over the one connection. LabError when one is missing or wrong. */
  async end(): Promise<MoveCost> {
    const done = await this.#done
    if (done.code !== 0) throw new LabError(`curl: exit ${done.code} ${done.stderr}`)
    if ((await sha256(this.#file)) !== BIG_SHA256) throw new LabError('the file differs')
    const seen = await this.#pings.stop()
    return { ...seen, afterUsableMs: this.#pings.firstAfter(this.#usable) - this.#usable, downloadMs: done.ms }
  }
}
