import dnsPacket from 'dns-packet'
import { expect } from 'vitest'
import { Zone } from '#coordinator/zone.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Ip, parseIp } from '#ntm-lib/addr/ip.ts'
import { instant } from '#ntm-lib/base/time.ts'
import type { CoordinatorWorld } from './coordinator-world.ts'

type Decoded = {
  readonly rcode: string
  readonly answers?: readonly Row[]
  readonly authorities?: readonly Row[]
}
type Row = { readonly type: string; readonly data?: unknown }

/** Whoever asks in tests. */
export const ASKER = parseIp('192.0.2.53') as Ip

/** The zone as the world's coordinator serves it now; not after its restart. */
export const zoneOf = ({ store, settings, counters, core, network }: CoordinatorWorld): Zone =>
  new Zone({
    ...{ store, presences: core.presences, settings, counters, suite: nodeCrypto },
    ...{ fingerprint: network.root.fingerprint, coordinatorKey: network.coordinator.static.public },
  })

/** One question to a zone, and the answer as `dns-packet` reads it. */
export function ask(zone: Zone, name: string, type: string, transport: 'udp' | 'tcp' = 'udp') {
  const out = zone.answer(query(name, type), ASKER, transport, instant(0))
  const decoded = dnsPacket.decode(Buffer.from(out ?? [])) as Decoded
  return { ...decoded, answers: decoded.answers ?? [], authorities: decoded.authorities ?? [] }
}

export function query(name: string, type: string, udpPayloadSize = 0): Uint8Array {
  const additionals = udpPayloadSize === 0 ? [] : [{ type: 'OPT', name: '.', udpPayloadSize }]
  return dnsPacket.encode({ type: 'query', id: 7, questions: [{ name, type }], additionals } as never)
}

/** The data of the one record of an answer. */
export function raw(answer: { answers: readonly { data?: unknown }[] }): Uint8Array {
  expect(answer.answers.length).toBe(1)
  return new Uint8Array(answer.answers[0]?.data as Buffer)
}
