import { nodeCrypto } from '#io/crypto-node.ts'
import { ScriptEngine } from '#ntm-lib/plane/engine-script.ts'
import { tunnelPlaneContract } from './tunnel-plane.ts'
import { planeWaysContract } from './tunnel-plane-ways.ts'

tunnelPlaneContract('in JavaScript', () => new ScriptEngine(nodeCrypto))
planeWaysContract('in JavaScript', () => new ScriptEngine(nodeCrypto))
