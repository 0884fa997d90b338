import { nativeEngine } from '#io/engine-native.ts'
import { packetEngineContract } from '#test/contract/packet-engine.ts'

packetEngineContract('native', () => nativeEngine())
packetEngineContract('native, not joining', () => nativeEngine({ join: false }))
