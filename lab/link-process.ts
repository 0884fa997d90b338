import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { type InterfacePort, openTap } from '#io/packet-native.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { ETHER_BYTES, TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { batch, HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { dice, Lane, type LaneCounts, type Weather } from './weather.ts'

/**
 * A wire between two TAP devices, with weather. Run by `links.ts`:
 *
 *   link-process.ts TAP_A TAP_B FRAME_BYTES SEED WEATHER_A_TO_B WEATHER_B_TO_A CONTROL
 *
 * Prints `link.ready` when both devices exist. They may then be moved to other namespaces: the wire stays on them. CONTROL is a UNIX
 * socket: a line of JSON (`LinkOrder`) is answered by one, the counts of both directions (`LinkCounts`) from before the change.
 */
export type LinkOrder = { readonly there?: Weather; readonly back?: Weather }
export type LinkCounts = { readonly there: LaneCounts; readonly back: LaneCounts }

const SLOTS = 64
const LATE_KEPT = 10_000

type Waiting = { readonly due: number; readonly frame: Uint8Array }

const [tapA = '', tapB = '', frameBytes = '', seed = '', there = '{}', back = '{}', control = ''] =
  process.argv.slice(2)
const [a, b] = [openTap(tapA), openTap(tapB)]
const slotBytes = HEADROOM + Number(frameBytes)
const lanes = {
  there: new Lane(JSON.parse(there) as Weather, dice(Number(seed))),
  back: new Lane(JSON.parse(back) as Weather, dice(Number(seed) + 1)),
}
const counts = { there: wire(a, b, lanes.there), back: wire(b, a, lanes.back) }
rmSync(control, { force: true })
createServer((socket) => {
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    text += String(chunk)
    if (!text.endsWith('\n')) return
    const order = JSON.parse(text) as LinkOrder
    const answer: LinkCounts = { there: counts.there(), back: counts.back() }
    if (order.there !== undefined) lanes.there.weather = order.there
    if (order.back !== undefined) lanes.back.weather = order.back
    socket.end(`${JSON.stringify(answer)}\n`)
  })
}).listen(control, () => process.stdout.write('link.ready\n'))

/** Carries frames one way; what it gives says what became of them. */
function wire(from: InterfacePort, to: InterfacePort, lane: Lane): () => LaneCounts {
  const arrived = batch(SLOTS, slotBytes)
  const leaving = batch(SLOTS, slotBytes)
  let waiting: Waiting[] = []
  /** When the one pending wake-up is for; later ones are left to it, an earlier one replaces it. */
  let wakesFor = Number.POSITIVE_INFINITY
  let cancel = (): void => {}
  const seen = { taken: 0, arrived: 0, lost: 0, full: 0 }
  /** Of the latest deliveries. */
  const late = new Float64Array(LATE_KEPT)

  const deliver = (): void => {
    cancel()
    wakesFor = Number.POSITIVE_INFINITY
    const now = performance.now()
    let sent = 0
    while (sent < waiting.length && (waiting[sent]?.due ?? now + 1) <= now) {
      leaving.count = 0
      for (const { due, frame } of waiting.slice(sent, sent + SLOTS)) {
        if (due > now) break
        leaving.arena.set(frame, slotAt(leaving, leaving.count))
        leaving.lens[leaving.count] = frame.length
        leaving.count++
        late[seen.arrived++ % LATE_KEPT] = now - due
      }
      // What the far kernel does not take is lost there, as on a real card.
      to.send(leaving)
      sent += leaving.count
    }
    waiting = waiting.slice(sent)
    sleep()
  }

  // A Node timer is late by up to a millisecond, so it sleeps to just before and then looks each turn.
  const sleep = (): void => {
    const due = waiting[0]?.due ?? Number.POSITIVE_INFINITY
    if (due >= wakesFor) return
    cancel()
    wakesFor = due
    const ms = due - performance.now()
    if (ms > 1.5) {
      const timer = setTimeout(deliver, ms - 1)
      cancel = () => clearTimeout(timer)
    } else {
      const turn = setImmediate(deliver)
      cancel = () => clearImmediate(turn)
    }
  }

  from.onReadable(() => {
    while (from.recv(arrived) > 0) {
      const now = performance.now()
      for (let i = 0; i < arrived.count; i++) {
        const bytes = arrived.lens[i] ?? 0
        const to = lane.weather.delaysTo === undefined ? '' : destinationOf(arrived.view, slotAt(arrived, i))
        const fate = lane.take(bytes, now, to)
        seen.taken++
        if (fate.at !== 'arrives') {
          seen[fate.at]++
          continue
        }
        const at = slotAt(arrived, i)
        enqueue(waiting, { due: fate.ms, frame: arrived.arena.slice(at, at + bytes) })
      }
    }
    if ((waiting[0]?.due ?? Number.POSITIVE_INFINITY) <= performance.now()) deliver()
    else sleep()
  })
  return () => {
    const sorted = late.slice(0, Math.min(seen.arrived, LATE_KEPT)).sort()
    const lateMs = sorted[sorted.length >> 1] ?? 0
    return { ...seen, waiting: waiting.length, lateMs, latestMs: sorted.at(-1) ?? 0 }
  }
}

/** Where an Ethernet frame's IP packet goes; '' for anything else. */
function destinationOf(v: DataView, at: number): string {
  if (v.getUint16(at + 12) === TYPE_IP4) return ipText(ip4.destination(v, at + ETHER_BYTES))
  return v.getUint16(at + 12) === TYPE_IP6 ? ipText(ip6.destination(v, at + ETHER_BYTES)) : ''
}

/** Keeps `waiting` sorted by time; a frame goes behind those due at the same time. Nearly always it belongs at the end. */
function enqueue(waiting: Waiting[], one: Waiting): void {
  let at = waiting.length
  while (at > 0 && (waiting[at - 1]?.due ?? 0) > one.due) at--
  waiting.splice(at, 0, one)
}
