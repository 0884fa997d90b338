import { runVerb } from '../compose/roles.ts'

/** `ntm relay --config FILE`. */
export const relay = (args: readonly string[]): Promise<number> => runVerb(args, 'relay')
