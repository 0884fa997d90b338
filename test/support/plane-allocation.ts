import { getHeapStatistics } from 'node:v8'
import { nativeEngine } from '#io/engine-native.ts'
import { KINDS, MOVING, Receiver, Sender } from './plane-load.ts'

/**
 * Sends so many datagrams of each kind through two planes and prints how many bytes of heap that took, per packet. Started by a test with so large
 * a young generation that nothing is collected meanwhile: garbage counts, not only what is kept. With `leak`, the receiver allocates
 * a little for each slot: the test must see it.
 */
const TOTAL = Number(process.argv[2])
let kept: object | null = null
const leaks = process.argv[3] === 'leak'
const results = [...KINDS, MOVING].map((kind) => {
  const plain = kind.gso === 0
  const sender = new Sender(nativeEngine(), kind, plain ? 512 : 7)
  const receiver = new Receiver(nativeEngine({ join: !plain }), kind.rows)
  sender.keep = true
  if (leaks) {
    receiver.onSlot = () => {
      kept = { before: kept === null ? null : {} }
    }
  }
  const round = (): void => {
    sender.refresh()
    sender.put()
    sender.flush()
    receiver.take(sender.wire)
  }
  const rounds = Math.ceil(TOTAL / (sender.count * (plain ? 1 : kind.payload / kind.gso)))
  // What the compiler does to the code first is not the packets' doing.
  for (let i = 0; i < rounds / 4; i++) round()
  globalThis.gc?.()
  receiver.slots = 0
  const before = getHeapStatistics().used_heap_size
  for (let i = 0; i < rounds; i++) round()
  const grown = getHeapStatistics().used_heap_size - before
  return { name: kind.name, slots: receiver.slots, datagrams: TOTAL, perDatagram: grown / TOTAL }
})
process.stdout.write(JSON.stringify(results))
