import { nodeCrypto } from '#io/crypto-node.ts'
import { ScriptEngine } from '#ntm-lib/plane/engine-script.ts'
import { packetEngineContract } from './packet-engine.ts'

packetEngineContract('in JavaScript', () => new ScriptEngine(nodeCrypto))
