import { runVerb } from '../compose/roles.ts'

/** `ntm up --config FILE`. */
export const up = (args: readonly string[]): Promise<number> => runVerb(args, 'node')
