import type { Endpoint } from '../addr/endpoint.ts'

/** UDP as the roles see it: one socket for control and data, both families (port 4330 by default). */
export interface DatagramPort {
  /** Never throws for the network's faults; a datagram the kernel refuses is counted and lost. `bytes` may be reused after. */
  send(to: Endpoint, bytes: Uint8Array): void
  /** `bytes` is only valid during the call. */
  onDatagram(take: (from: Endpoint, bytes: Uint8Array) => void): void
  close(): void
}
