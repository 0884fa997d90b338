// Program of the worker in `src/io/thread-link.test.ts`: tells back what it was handed, as slowly as it was asked to.
import { parentPort, workerData } from 'node:worker_threads'
import { type LinkEnd, ThreadLink } from '#io/thread-link.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { slotAt } from '#ntm-lib/ports/packet-port.ts'

const link = new ThreadLink(workerData as LinkEnd, new CounterMap())
let slowness = 0
link.serve({
  packets: (b, kinds, refs) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, slowness)
    for (let i = 0; i < b.count; i++) {
      const at = slotAt(b, i)
      link.tell([kinds[i], refs[i], b.lens[i], b.gso[i], b.arena[at], b.arena[at + (b.lens[i] ?? 0) - 1]])
      // Theirs to change, and of no consequence.
      b.lens[i] = 0
    }
  },
  word: (word) => {
    if (typeof word === 'number') slowness = word
    else link.tell(word)
    link.flush()
  },
})
parentPort?.postMessage('serves')
