// A role of `ntm`, with a hand on its threads. SIGUSR2 blocks the control thread for 1.2 s, SIGWINCH the packet worker for 6.5 s; each is told as a
// line { blocked: control | worker, from, to | ms } in ms since 1970. SIGURG ends the packet worker. Nothing of it is in the product: the worker is reached as a debugger does.
import { Session } from 'node:inspector'
import { run } from '#cli/run.ts'

const CONTROL_MS = 1200
const WORKER_MS = 6500
const word = new Int32Array(new SharedArrayBuffer(4))
const now = (): number => performance.timeOrigin + performance.now()
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`)

process.on('SIGUSR2', () => {
  const from = now()
  Atomics.wait(word, 0, 0, CONTROL_MS)
  say({ blocked: 'control', from, to: now() })
})

const session = new Session()
session.connect()
let worker = ''
session.on('NodeWorker.attachedToWorker', ({ params }) => {
  worker = params.sessionId
})
session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
const inWorker = (expression: string): void => {
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } })
  session.post('NodeWorker.sendMessageToWorker', { sessionId: worker, message })
}
process.on('SIGWINCH', () => {
  inWorker(`Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${WORKER_MS})`)
  say({ blocked: 'worker', from: now(), ms: WORKER_MS })
})
process.on('SIGURG', () => inWorker('process.exit(3)'))

process.exitCode = await run(process.argv.slice(2))
