import { runVerb } from '../compose/roles.ts'

/** `ntm bridge --config FILE`. */
export const bridge = (args: readonly string[]): Promise<number> => runVerb(args, 'bridge')
