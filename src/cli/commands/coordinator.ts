import { runVerb } from '../compose/roles.ts'

/** `ntm coordinator --config FILE`. */
export const coordinator = (args: readonly string[]): Promise<number> => runVerb(args, 'coordinator')
