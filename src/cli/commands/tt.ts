import { runVerb } from '../compose/roles.ts'

/** `ntm tt --config FILE`. */
export const tt = (args: readonly string[]): Promise<number> => runVerb(args, 'tt')
