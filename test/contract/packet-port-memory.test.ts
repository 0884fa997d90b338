import { test } from 'vitest'
import { wire } from '#io/port-memory.ts'
import { packetPortContract, type Rig } from './packet-port.ts'

for (const { name, run } of packetPortContract) test(`memory port: ${name}`, () => run(rig()))

function rig(): Rig {
  const [a, b] = wire({ maxBytes: 1500 })
  return {
    a,
    b,
    frame: (n, bytes) => Uint8Array.from({ length: bytes }, (_, i) => n + i * 7),
    same: (sent, got) => Buffer.compare(sent, got) === 0,
    refused: new Uint8Array(1501),
  }
}
