import { CHECKS, hostState, PAGE } from './checks.ts'
import { tellChecks } from './demo-checks.ts'
import { LabError } from './ip.ts'
import { natLabel, probeNat } from './nat-behaviour.ts'
import type { Program } from './process.ts'
import { Product } from './product.ts'
import { PLACE, type Scene, v4HostToV6Server } from './scenes/v4-host-to-v6-server.ts'
import type { Story } from './story.ts'

/** The demo's first scene: an IPv4-only host that nobody touches reaches an IPv6-only server by its name. */
export async function tellHost(story: Story): Promise<void> {
  story.say(`
  host ── bridge ── LAN ── router (NAT) ── Internet ──┬── coordinator
  IPv4 only, untouched        IPv4 only               ├── TT (both families)
                                                      └── ${PLACE.web6.name} (IPv6 only)
`)
  const scene = await story.step(
    'build the network from namespaces: NAT, DHCP, DNS, web servers, a bridge that only bridges',
    () => v4HostToV6Server({ withoutHostDhcp: true }),
    ({ lab }) => `${lab.rooms.length} rooms: ${lab.rooms.join(', ')}`,
  )
  await story.during(scene, async () => {
    await before(story, scene)
    const untouched = await hostState(scene)
    await startProduct(story, scene)
    await after(story, scene, untouched)
  })
}

/** What the host has, and what it cannot do, without the product. */
async function before(story: Story, scene: Scene): Promise<void> {
  await story.step(
    'check the router: is its NAT what it is called',
    async () => {
      const { ip4, ports } = PLACE.probe
      const seen = await probeNat(scene.lab, { inside: 'bridge', outside: 'inet', addresses: ip4, ports })
      if (natLabel(seen) !== 'port-restricted') throw new LabError(`not port-restricted: ${JSON.stringify(seen)}`)
      return seen
    },
    (seen) =>
      `port-restricted: mapping ${seen.mapping}, filtering ${seen.filtering} (RFC 4787), outside ${seen.mapped}`,
  )
  await story.step(
    'the host asks DHCP for an address, through the bridge',
    async () => {
      await scene.hostDhcp()
      const resolv = await scene.lab.must('host', 'cat', ['/etc/resolv.conf'])
      return `${await scene.address4('host', PLACE.host.link)}, ${resolv.trim()}; no IPv6`
    },
    (text) => text,
  )
  await story.step(
    `without the product: curl http://${PLACE.web6.name}/`,
    async () => {
      const page = await scene.lab.run('host', 'curl', ['-sS', '--max-time', '5', `http://${PLACE.web6.name}/`])
      if (page.code === 0) throw new LabError(`it answered, so this lab proves nothing: ${page.stdout}`)
      return page
    },
    (page) => `as expected: ${page.stderr.trim()}`,
  )
}

async function startProduct(story: Story, scene: Scene): Promise<void> {
  const product = new Product(scene)
  const ready = (program: Program): string => `ready, process ${program.pid}`
  await story.step(
    'ntm network init',
    () => product.initNetwork(),
    (text) => text.trim().split('\n')[0] || 'done',
  )
  await story.step('start the coordinator: ntm coordinator', () => product.coordinator(), ready)
  await story.step('token for the TT, enrol and start it: ntm tt', () => product.tt(), ready)
  await story.step('token for the bridge, enrol and start it: ntm bridge', () => product.bridge(), ready)
}

/** The page decides; the checks after it are told one by one, also when one fails. */
async function after(story: Story, scene: Scene, untouched: string): Promise<void> {
  await story.step(
    `with the product: ${PAGE.title}`,
    () => PAGE.run(scene),
    (page) => page,
  )
  await story.step(
    `again: ${PAGE.title}`,
    () => PAGE.run(scene),
    (page) => page,
  )
  await tellChecks(story, scene, CHECKS, untouched)
}
