import { nativeEngine } from '#io/engine-native.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { NOW, pathPair, ROW } from '#test/support/plane-world.ts'

/**
 * `node --expose-gc many-tunnels.ts COUNT`: a packet worker's tunnel table with COUNT paths, both keys of each in the engine. Prints
 * {"without","with"}, resident memory of the process in MiB. The control thread's own table of the same tunnels is not in it.
 */
const count = Number(process.argv[2])
const mib = (): number => {
  globalThis.gc?.()
  return process.memoryUsage.rss() / 2 ** 20
}
// A first small table loads all code.
const first = tableOf(1)
const without = mib()
const table = tableOf(count)
process.stdout.write(`${JSON.stringify({ without, with: mib() })}\n`)
// Both live until here.
process.exitCode = [first, table].every((one) => one.innerMtu(ROW) > 0) ? 0 : 1

function tableOf(rows: number): TunnelPlane {
  const plane = new TunnelPlane({
    engine: nativeEngine(),
    lane: 1,
    cells: mirrorCells(rows),
    counters: new CounterMap(),
    emit: () => {},
    send: () => {},
    onInner: () => {},
    afterOpen: () => {},
  })
  for (let i = 0; i < rows; i++) {
    const id = 0xa1b2c3d4e5f6 + i * 4
    const { left } = pathPair({ row: ROW + i, ids: [id, id + 1, id + 2, id + 3], id }, [{ epoch: 1, serial: 1 + i }])
    plane.apply({ mirror: 'path', path: left }, NOW)
  }
  return plane
}
