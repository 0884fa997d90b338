import { loadPacketsAhead } from './compose/packets-ahead.ts'
import { UsageError } from './usage-error.ts'

type Command = (args: readonly string[]) => Promise<number>

/** Runs one `ntm` command line and gives its exit code. Commands are loaded on demand, so `ntm version` opens nothing. */
export async function run(args: readonly string[]): Promise<number> {
  const [verb = 'help', ...rest] = args
  const load = COMMANDS[verb]
  if (load === undefined) {
    process.stderr.write(`ntm: unknown command "${verb}"\n\n${HELP}`)
    return 2
  }
  if (STARTS.has(verb)) loadPacketsAhead(rest)
  try {
    return await (await load())(rest)
  } catch (e) {
    if (!(e instanceof UsageError)) throw e
    process.stderr.write(`ntm ${verb}: ${e.message}\n`)
    return 2
  }
}

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).run,
  box: async () => (await import('./commands/box.ts')).box,
  bridge: async () => (await import('./commands/bridge.ts')).bridge,
  tt: async () => (await import('./commands/tt.ts')).tt,
  relay: async () => (await import('./commands/relay.ts')).relay,
  coordinator: async () => (await import('./commands/coordinator.ts')).coordinator,
  up: async () => (await import('./commands/up.ts')).up,
  down: async () => (await import('./commands/down.ts')).down,
  status: async () => (await import('./commands/status.ts')).status,
  ping: async () => (await import('./commands/ping.ts')).ping,
  uplink: async () => (await import('./commands/uplink.ts')).uplink,
  network: async () => (await import('./commands/network.ts')).network,
  member: async () => (await import('./commands/member.ts')).member,
  token: async () => (await import('./commands/token.ts')).token,
  check: async () => (await import('./commands/check.ts')).check,
  update: async () => (await import('./commands/update.ts')).update,
  reset: async () => (await import('./commands/reset.ts')).reset,
  version: async () => (await import('./commands/version.ts')).version,
  help: async () => async () => {
    process.stdout.write(HELP)
    return 0
  },
}

/** They start a role. */
const STARTS: ReadonlySet<string> = new Set(['run', 'bridge', 'tt', 'relay', 'up'])

const HELP = `ntm: NTMobile as an appliance

  ntm run --config FILE                run the role that the file names
  ntm bridge --config FILE             run the inline bridge
  ntm tt --config FILE                 run the tunnel terminator
  ntm relay --config FILE              run a relay for nodes that cannot reach each other
  ntm coordinator --config FILE        run the coordinator
  ntm up --config FILE                 run this machine as an NTM terminal, in the foreground
  ntm down [--config FILE | --socket PATH]
                                       end a running program in order; after a crash give names back
  ntm status [--config FILE | --socket PATH] [--json]
                                       what the running program does: addresses, coordinator, paths
  ntm ping NAME [--config FILE | --socket PATH] [--count N]
                                       ping, and which path it takes: direct or through a relay, and why
  ntm uplink [--config FILE | --socket PATH] --prefer INTERFACE|auto
                                       which way out the running terminal is to take first
  ntm check FILE                       check a configuration without starting
  ntm network init --dir DIR --name NAME --zone ZONE --endpoint ADDRESS:PORT
           [--nodes4 PREFIX] [--servers4 PREFIX] [--ula NODES48[,SERVERS64]]
                                       make a network: root key, issuer, coordinator certificate
  ntm network extend --dir DIR --to DIR2 --zone ZONE2 --endpoint ADDRESS:PORT --nodes4 PREFIX
                                       another zone of the same network, with a coordinator of its own
  ntm network show --dir DIR           what a coordinator of another zone has to know to call this one
  ntm token create --dir DIR --name NAME --role bridge|tt|relay|node [--hours N]
                                       make a one-time enrolment token, printed on standard output
  ntm member revoke --dir DIR --name NAME
                                       shut a box out for ever; a running coordinator follows within a second
  ntm box import|console …             what the appliance image's units call
  ntm update FILE|URL [--allow-downgrade] [--reboot]
                                       appliance: install a signed bundle into the slot that does not run
  ntm reset --yes                      appliance: forget configuration and keys
  ntm version                          print the version

Configuration examples are in examples/.
`
