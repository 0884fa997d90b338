import type { Row } from '../row.ts'
import type { Circuit } from './turns.ts'

export async function measureTranslation(circuit: Circuit, _product: string, _seconds: number): Promise<Row[]> {
  circuit.say('translation alone: not yet')
  return []
}
