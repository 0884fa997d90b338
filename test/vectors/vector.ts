import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import type { WireFault } from '#ntm-lib/base/decoded.ts'
import { unhex } from '#ntm-lib/base/hex.ts'

/** One golden vector: bytes and what they mean, or bytes and why they are refused. Written by hand from `docs/wire.md`. */
export type Vector = {
  readonly name: string
  readonly source: string
  readonly bytes: Uint8Array
} & ({ readonly value: unknown } | { readonly fault: WireFault })

export type VectorFile = { readonly file: string; readonly codec: string; readonly vectors: readonly Vector[] }

/**
 * Reads every JSON file of a directory. `hex` is lines of hex in groups, `xx*n` stands for n times that byte and "# …"
 * is a remark. In `value`, "hex:…" is bytes, "ip4:…" and "ip6:…" are addresses.
 */
export function readVectors(directory: string): VectorFile[] {
  return readdirSync(directory)
    .filter((f) => f.endsWith('.json'))
    .sort()
    .map((file) => {
      const { codec, vectors } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Raw
      return { file, codec, vectors: vectors.map((v) => vector(file, v)) }
    })
}

type Raw = { codec: string; vectors: readonly RawVector[] }
type RawVector = { name: string; source: string; hex: readonly string[]; value?: unknown; fault?: WireFault }

function vector(file: string, raw: RawVector): Vector {
  const { name, source, fault } = raw
  const bytes = spelled(`${file}: ${name}`, raw.hex.map((line) => line.replace(/#.*/, '')).join(' '))
  if ((fault === undefined) === !('value' in raw)) throw new Error(`${file}: ${name}: value or fault, not both`)
  return fault === undefined ? { name, source, bytes, value: revive(file, raw.value) } : { name, source, bytes, fault }
}

function revive(file: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((v) => revive(file, v))
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(file, v)]))
  if (typeof value !== 'string') return value
  const [, form, text = ''] = /^(hex|ip4|ip6):(.*)$/s.exec(value) ?? []
  if (form === undefined) return value
  const made = form === 'hex' ? spelled(`${file}: ${value}`, text) : form === 'ip4' ? parseIp4(text) : parseIp6(text)
  if (made === null) throw new Error(`${file}: ${value}`)
  return made
}

function spelled(where: string, text: string): Uint8Array {
  const bytes = unhex(
    text.replaceAll(/\b([0-9a-f]{2})\*(\d+)/g, (_, byte: string, n: string) => byte.repeat(Number(n))),
  )
  if (bytes === null) throw new Error(`${where}: not hex`)
  return bytes
}
