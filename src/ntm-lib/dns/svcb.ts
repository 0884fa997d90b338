import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'

/** SvcParamKeys of RFC 9460 §14.3.2 that we use. */
export const KEY_MANDATORY = 0
export const KEY_PORT = 3
export const KEY_IPV4HINT = 4
export const KEY_IPV6HINT = 6

export type SvcParam = { readonly key: number; readonly value: Uint8Array }

/** Record data of type 64 (SVCB) or 65 (HTTPS). RFC 9460 §2.2. */
export type Svcb = {
  /** 0 is alias mode. */
  readonly priority: number
  /** Lower case, without trailing dot; '' is the root, which in service mode means the owner name. */
  readonly target: string
  /** Keys strictly rise. */
  readonly params: readonly SvcParam[]
}

export function encodeSvcb(s: Svcb): Uint8Array {
  const w = new Writer()
  w.u16(s.priority)
  writeTarget(w, s.target)
  let last = -1
  for (const { key, value } of s.params) {
    invariant(key > last, `parameter ${key} after ${last}`)
    last = key
    w.u16(key)
    w.u16(value.length)
    w.bytes(value)
  }
  return w.done()
}

/** Total. The target must not be compressed (RFC 9460 §2.2) and must be a host name in printable ASCII. */
export function decodeSvcb(rdata: Uint8Array): Decoded<Svcb> {
  const r = new Reader(rdata)
  const priority = r.u16()
  const target = readTarget(r)
  const params: SvcParam[] = []
  let last = -1
  while (r.left > 0 && r.fault === null) {
    const key = r.u16()
    const value = r.bytes(r.u16()).slice()
    if (key <= last) r.refuse('bad-value')
    last = key
    params.push({ key, value })
  }
  return r.fault === null ? ok({ priority, target, params }) : refuse(r.fault)
}

function writeTarget(w: Writer, target: string): void {
  const labels = target === '' ? [] : target.split('.')
  invariant(target.length <= MAX_TEXT && labels.every((l) => LABEL.test(l)), `not a host name: ${target}`)
  for (const label of labels) {
    w.u8(label.length)
    w.bytes(Uint8Array.from(label, (c) => c.charCodeAt(0)))
  }
  w.u8(0)
}

function readTarget(r: Reader): string {
  const labels: string[] = []
  for (let length = r.u8(); length > 0 && r.fault === null; length = r.u8()) {
    // 0xC0 and above would be a compression pointer, 64–191 is reserved: neither may stand here.
    if (length > 63) r.refuse('bad-value')
    const label = String.fromCharCode(...r.bytes(length)).toLowerCase()
    if (r.fault === null && !LABEL.test(label)) r.refuse('bad-value')
    labels.push(label)
    if (r.fault === null && labels.join('.').length > MAX_TEXT) r.refuse('bad-value')
  }
  return labels.join('.')
}

/** Printable ASCII but dot and backslash, which would need escapes in text. */
const LABEL = /^[!-\-/-[\]-~]{1,63}$/
/** 255 bytes on the wire are 253 characters of text. RFC 1035 §2.3.4. */
const MAX_TEXT = 253
