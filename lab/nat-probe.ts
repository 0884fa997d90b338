import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import type { NatBehaviour } from './nat-behaviour.ts'
import { pause } from './process.ts'

/**
 * The two programs behind `nat-behaviour.ts`, run inside rooms:
 *
 *   nat-probe.ts serve ADDRESS1 ADDRESS2 PORT1 PORT2     answers; prints `probe.ready`
 *   nat-probe.ts ask   ADDRESS1 ADDRESS2 PORT1 PORT2     prints one line of JSON, a `NatBehaviour`
 *   nat-probe.ts see   ADDRESS PORT SOURCE_PORT          prints `ADDRESS:PORT` as the server sees that source port
 */
type Place = { readonly address: string; readonly port: number }
type Question = { readonly id: number; readonly from: 'here' | 'other-port' | 'other-address' }
type Answer = { readonly id: number; readonly seen: string; readonly seenPort: number }

/** Long against the lab's round trip (well under 1 ms), so that a slow scheduler is not taken for a closed door. */
const MARGIN_MS = 120

async function serve(addresses: readonly string[], ports: readonly number[]): Promise<void> {
  const doors = new Map<string, Socket>()
  for (const address of addresses) {
    for (const port of ports) {
      const socket = await bound({ address, port })
      doors.set(`${address} ${port}`, socket)
      socket.on('message', (bytes, peer) => {
        const question = JSON.parse(bytes.toString()) as Question
        const fromAddress = question.from === 'other-address' ? addresses.find((other) => other !== address) : address
        const fromPort = question.from === 'here' ? port : ports.find((other) => other !== port)
        const answer: Answer = { id: question.id, seen: peer.address, seenPort: peer.port }
        doors.get(`${fromAddress} ${fromPort}`)?.send(JSON.stringify(answer), peer.port, peer.address)
      })
    }
  }
  process.stdout.write('probe.ready\n')
}

async function ask(addresses: readonly [string, string], ports: readonly [number, number]): Promise<NatBehaviour> {
  const [a1, a2] = addresses
  const [p1, p2] = ports
  const asker = new Asker(await bound({ address: '0.0.0.0', port: 0 }))
  const first = await asker.must({ address: a1, port: p1 })
  const otherPort = await asker.must({ address: a1, port: p2 })
  const otherAddress = await asker.must({ address: a2, port: p1 })
  const same = (x: Answer, y: Answer): boolean => x.seen === y.seen && x.seenPort === y.seenPort

  // Filtering needs a socket that has sent to one place only.
  const fresh = new Asker(await bound({ address: '0.0.0.0', port: 0 }))
  const door = { address: a1, port: p1 }
  await fresh.must(door)
  const fromElsewhere = await fresh.gets(door, 'other-address')
  const fromOtherPort = await fresh.gets(door, 'other-port')

  const hairpin = await asker.hears({ address: first.seen, port: first.seenPort }, fresh)
  const behaviour: NatBehaviour = {
    mapping: same(first, otherAddress)
      ? 'endpoint-independent'
      : same(first, otherPort)
        ? 'address-dependent'
        : 'address-and-port-dependent',
    filtering: fromElsewhere
      ? 'endpoint-independent'
      : fromOtherPort
        ? 'address-dependent'
        : 'address-and-port-dependent',
    hairpin,
    portKept: first.seenPort === asker.port,
    mapped: `${first.seen}:${first.seenPort}`,
  }
  asker.close()
  fresh.close()
  return behaviour
}

/** One inside socket that asks and remembers every answer that came back. */
class Asker {
  readonly #socket: Socket
  readonly #answers = new Map<number, Answer>()
  readonly #greetings = new Set<number>()
  #nextId = 1

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (bytes: Buffer, _peer: RemoteInfo) => {
      const message = JSON.parse(bytes.toString()) as Partial<Answer> & { greeting?: number }
      if (message.greeting !== undefined) this.#greetings.add(message.greeting)
      else if (message.id !== undefined) this.#answers.set(message.id, message as Answer)
    })
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** Asks for an ordinary answer, again each 100 ms; throws after 5 s: then there is no network to judge. */
  async must(to: Place): Promise<Answer> {
    const id = this.#nextId++
    for (let tries = 0; tries < 50; tries++) {
      this.#send({ id, from: 'here' }, to)
      const answer = await this.#wait(() => this.#answers.get(id) ?? null, 100)
      if (answer !== null) return answer
    }
    throw new Error(`no answer from ${to.address}:${to.port}`)
  }

  /**
   * Whether an answer sent from elsewhere comes in. An ordinary answer asked for afterwards is the control: only
   * silence that is older than it, by a margin, counts as a closed door.
   */
  async gets(to: Place, from: Question['from']): Promise<boolean> {
    const ids: number[] = []
    for (let tries = 0; tries < 3; tries++) {
      const id = this.#nextId++
      ids.push(id)
      this.#send({ id, from }, to)
      await this.must(to)
      const came = await this.#wait(() => (ids.some((asked) => this.#answers.has(asked)) ? true : null), MARGIN_MS)
      if (came === true) return true
    }
    return false
  }

  /** Whether a packet that `from` sends to our outside address arrives here. */
  async hears(outside: Place, from: Asker): Promise<boolean> {
    for (let tries = 1; tries <= 3; tries++) {
      from.#socket.send(JSON.stringify({ greeting: tries }), outside.port, outside.address)
      if ((await this.#wait(() => (this.#greetings.size > 0 ? true : null), MARGIN_MS)) === true) return true
    }
    return false
  }

  close(): void {
    this.#socket.close()
  }

  #send(question: Question, to: Place): void {
    this.#socket.send(JSON.stringify(question), to.port, to.address)
  }

  async #wait<T>(probe: () => T | null, limitMs: number): Promise<T | null> {
    const end = performance.now() + limitMs
    for (;;) {
      const found = probe()
      if (found !== null || performance.now() > end) return found
      await pause(3)
    }
  }
}

function bound(place: Place): Promise<Socket> {
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(place.port, place.address, () => resolve(socket))
  })
}

const [mode, address1 = '', address2 = '', port1 = '', port2 = ''] = process.argv.slice(2)
if (mode === 'see') {
  const asker = new Asker(await bound({ address: '0.0.0.0', port: Number(port1) }))
  const { seen, seenPort } = await asker.must({ address: address1, port: Number(address2) })
  process.stdout.write(`${seen}:${seenPort}\n`)
  asker.close()
}
if (mode === 'serve') await serve([address1, address2], [Number(port1), Number(port2)])
if (mode === 'ask') {
  const behaviour = await ask([address1, address2], [Number(port1), Number(port2)])
  process.stdout.write(`${JSON.stringify(behaviour)}\n`)
}
