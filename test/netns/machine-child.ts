// Acts on the namespace it was started in, one deed per call; the tests of nft and links look at the outcome.
import { watchLinks } from '#io/link-events.ts'
import { currentLinks } from '#io/link-tables.ts'
import { ip, listAddresses, listLinks, listRoutes } from '#io/links.ts'
import { applyNft, checkNft, OwnedTables } from '#io/nft.ts'

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, readable)}\n`)
const readable = (_: string, v: unknown): unknown => (v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v)
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'fine',
    (fault: Error & { code?: string }) => ({ code: fault.code, message: fault.message }),
  )

const DEEDS: Readonly<Record<string, () => Promise<void>>> = {
  apply: async () => {
    await applyNft('table inet one {\n  chain c {\n  }\n}\n')
    say(await codeOf(applyNft('table inet two {\n}\nadd rule inet nowhere c accept\n')))
    say(await codeOf(checkNft('table inet three {\n}\n')))
  },

  /** Makes owned tables, says so, and stays until killed. */
  own: async () => {
    const tables = new OwnedTables()
    tables.onExit((fault) => say({ exit: fault.code }))
    await tables.run(SCRIPT)
    say(await codeOf(tables.run('add rule inet nowhere c accept')))
    say(await codeOf(tables.run('add table inet half; add rule inet nowhere c accept')))
    say(await codeOf(tables.run('this is no command')))
    const many = await Promise.all(
      Array.from({ length: 20 }, (_, i) => codeOf(tables.run(`add element ip owned s { 10.0.0.${i} }`))),
    )
    say(new Set(many).size === 1 && many[0] === 'fine')
    say({ ready: tables.pid })
    setInterval(() => {}, 1000)
  },

  close: async () => {
    const tables = new OwnedTables()
    tables.onExit(() => say('told of an exit we asked for'))
    await tables.run(SCRIPT)
    await tables.close()
    await tables.close()
    say(await codeOf(tables.run('list tables')))
  },

  links: async () => {
    const seen: string[] = []
    const watch = watchLinks((e) => {
      if (e.kind === 'link')
        seen.push(`${e.isNew ? 'new' : 'link'} ${e.link.name} up=${e.link.up} carrier=${e.link.carrier}`)
      else if (e.kind === 'link-gone') seen.push(`gone ${e.name}`)
      else seen.push(JSON.stringify({ ...e, ifindex: 0 }, readable))
    })
    const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100))
    for (const line of [
      'link add va type veth peer name vb',
      'link add br0 type bridge',
      'link set va up',
      'link set vb up',
      'address add 10.1.2.3/24 dev va',
      'route add default via 10.1.2.9',
      'link set vb master br0',
      'link set vb nomaster',
      'link set vb down',
      'address del 10.1.2.3/24 dev va',
      'link del va',
    ]) {
      await ip(...line.split(' '))
      await settle()
      say({ line, seen: seen.splice(0) })
    }
    watch.close()
  },

  list: async () => {
    await ip('link', 'set', 'lo', 'up')
    await ip('link', 'add', 'va', 'address', '02:00:00:00:00:0a', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'vb')
    await ip('link', 'add', 'br0', 'type', 'bridge')
    await ip('link', 'set', 'vb', 'master', 'br0', 'up')
    await ip('link', 'set', 'va', 'up')
    await ip('address', 'add', '10.1.2.3/24', 'dev', 'va')
    await ip('-6', 'address', 'add', 'fd00::3/64', 'dev', 'va', 'nodad')
    await ip('route', 'add', 'default', 'via', '10.1.2.9', 'metric', '7')
    await ip('route', 'add', 'blackhole', '10.9.0.0/16')
    await ip('-6', 'route', 'add', '2001:db8::/32', 'via', 'fd00::9')
    say(await listLinks())
    say(await listAddresses())
    say([...(await listRoutes(4)), ...(await listRoutes(6))])
    say(currentLinks())
    say(await codeOf(ip('link', 'set', 'nowhere', 'up')))
  },
}

const SCRIPT = `
# a comment; with a semicolon
table ip owned {
  flags owner
  set s {
    type ipv4_addr   # "quoted # sign"
    flags timeout
    elements = { 192.0.2.1,
                 192.0.2.2 timeout 3s }
  }
  chain c {
    type filter hook input priority 0; policy accept;
    ip saddr @s counter comment "a # is kept"
  }
}
`

await DEEDS[process.argv[2] ?? '']?.()
