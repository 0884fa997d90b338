import { nativeEngine } from '#io/engine-native.ts'
import { tunnelPlaneContract } from '#test/contract/tunnel-plane.ts'
import { planeWaysContract } from '#test/contract/tunnel-plane-ways.ts'

tunnelPlaneContract('native', () => nativeEngine())
tunnelPlaneContract('native, not joining', () => nativeEngine({ join: false }))
planeWaysContract('native', () => nativeEngine())
