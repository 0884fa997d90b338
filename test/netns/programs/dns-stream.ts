import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { decode, encode } from 'dns-packet'

/**
 *   dns-stream.ts PERIOD NAME...       asks the room's resolver for the A of each NAME in turn, one query every PERIOD ms
 *
 * `*` in a NAME becomes the query's number. No query is sent twice; no two share id and port. Prints one JSON line per
 * query and per answer: { t: ms since 1970, q: port/id, name, asked | rcode, ips }.
 */
type Message = {
  readonly id: number
  readonly rcode: string
  readonly answers: readonly { readonly type: string; readonly data: string }[]
  readonly questions: readonly { readonly name: string }[]
}

const [period = '50', ...names] = process.argv.slice(2)
const resolver = /nameserver (\S+)/.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? ''
const now = (): number => Math.round((performance.timeOrigin + performance.now()) * 10) / 10
const say = (what: object): void => void process.stdout.write(`${JSON.stringify({ t: now(), ...what })}\n`)

const sockets = await Promise.all(
  Array.from({ length: 8 }, async () => {
    const socket = createSocket('udp4')
    await new Promise<void>((done) => socket.bind(0, done))
    const { port } = socket.address()
    socket.on('message', (bytes) => {
      const { id, rcode, answers, questions } = decode(bytes) as unknown as Message
      const ips = answers.flatMap((a) => (a.type === 'A' ? [a.data] : []))
      say({ q: `${port}/${id}`, name: questions[0]?.name, rcode, ips })
    })
    return { socket, port }
  }),
)

let n = 0
setInterval(() => {
  const { socket, port } = sockets[n % sockets.length] ?? { port: 0 }
  const name = (names[n % names.length] ?? '').replace('*', String(n))
  const id = 1 + (n++ % 65_000)
  say({ q: `${port}/${id}`, name, asked: true })
  socket?.send(encode({ type: 'query', id, flags: 0x100, questions: [{ type: 'A', name }] }), 53, resolver)
}, Number(period))
