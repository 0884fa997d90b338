import { UsageError } from '../usage-error.ts'

type Command = (args: readonly string[]) => Promise<number>

/** `ntm box VERB`: what the appliance's units call. Each verb is a file of its own, loaded on demand. */
export async function box(args: readonly string[]): Promise<number> {
  const [verb = '', ...rest] = args
  const load = VERBS[verb]
  if (load === undefined) throw new UsageError(`the actions are ${Object.keys(VERBS).join(', ')}`)
  return (await load())(rest)
}

const VERBS: Readonly<Record<string, () => Promise<Command>>> = {
  import: async () => (await import('./box-import.ts')).boxImport,
  console: async () => (await import('./box-console.ts')).boxConsole,
  health: async () => (await import('./box-health.ts')).boxHealth,
  migrate: async () => (await import('./box-migrate.ts')).boxMigrate,
  'update-stick': async () => (await import('./box-update-stick.ts')).boxUpdateStick,
}
