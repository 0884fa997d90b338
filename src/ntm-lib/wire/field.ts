import { invariant } from '../base/invariant.ts'
import type { Reader } from './reader.ts'
import { clipUtf8, decodeUtf8, encodeUtf8, hasControls, withoutControls } from './utf8.ts'
import type { Writer } from './writer.ts'

/**
 * How one field crosses the wire. `read` never throws: it refuses through the reader. `type` and `size` (in bytes, as
 * text) are what `docs/wire.md` says about it; `parts` names the shapes it is made of, which get tables of their own.
 */
export interface Field<T> {
  readonly type: string
  readonly size: string
  readonly parts?: readonly Shape[]
  read(r: Reader): T
  write(w: Writer, v: T): void
}

/** One `Field` per property of a message, in wire order; `kind` travels outside as the code. */
export type Fields<M> = { readonly [K in keyof Omit<M, 'kind'>]-?: Field<M[K]> }

/** A named list of fields, as the wire page shows it. */
export type Shape = { readonly name: string; readonly fields: AnyFields }

/** A field whose value type is not known here. */
export type AnyField = Omit<Field<unknown>, 'write'> & { write(w: Writer, v: never): void }
export type AnyFields = Readonly<Record<string, AnyField>>

export const u8: Field<number> = { type: 'u8', size: '1', read: (r) => r.u8(), write: (w, v) => w.u8(v) }
export const u16: Field<number> = { type: 'u16', size: '2', read: (r) => r.u16(), write: (w, v) => w.u16(v) }
export const u32: Field<number> = { type: 'u32', size: '4', read: (r) => r.u32(), write: (w, v) => w.u32(v) }
export const u48: Field<number> = { type: 'u48', size: '6', read: (r) => r.u48(), write: (w, v) => w.u48(v) }
export const u64: Field<number> = { type: 'u64', size: '8', read: (r) => r.u64(), write: (w, v) => w.u64(v) }

/** Exactly `count` bytes; the decoded value is a copy. */
export const fixed = <T extends Uint8Array = Uint8Array>(count: number): Field<T> => ({
  type: 'bytes',
  size: `${count}`,
  read: (r) => r.bytes(count).slice() as T,
  write: (w, v) => {
    invariant(v.length === count, `field is ${count} bytes, got ${v.length}`)
    w.bytes(v)
  },
})

/** A u16 length and that many bytes. */
export const bytes16: Field<Uint8Array> = {
  type: 'bytes16',
  size: '2 + n',
  read: (r) => {
    const count = r.u16()
    return r.fault === null ? r.bytes(count).slice() : new Uint8Array(0)
  },
  write: (w, v) => {
    w.u16(v.length)
    w.bytes(v)
  },
}

/** A u8 length and that many bytes of valid UTF-8 without control characters; more than `max` bytes are `bad-value`. */
export const text8 = (max = 255): Field<string> => ({
  type: max === 255 ? 'text8' : `text8 ≤ ${max}`,
  size: '1 + n',
  read: (r) => {
    const bytes = r.bytes(r.u8())
    const text = bytes.length > max ? null : decodeUtf8(bytes)
    if (text === null || hasControls(text)) r.refuse('bad-value')
    return text ?? ''
  },
  write: (w, v) => {
    const bytes = encodeUtf8(v)
    invariant(bytes.length <= max, `text of ${bytes.length} bytes, at most ${max}`)
    invariant(!hasControls(v), 'text with control characters')
    w.u8(bytes.length)
    w.bytes(bytes)
  },
})

/** Text for people: written as `text8(max)`, cut to whole characters when longer, spaces for control characters. */
export const clipped8 = (max: number): Field<string> => {
  const inner = text8(max)
  return { ...inner, write: (w, v) => inner.write(w, clipUtf8(withoutControls(v), max)) }
}

export const list8 = <T>(item: Field<T>): Field<readonly T[]> => list(item, u8, 8)
export const list16 = <T>(item: Field<T>): Field<readonly T[]> => list(item, u16, 16)

/** One byte 0 (absent) or 1, then the value when present. */
export const optional = <T>(item: Field<T>): Field<T | null> => ({
  ...made('optional', item, '1'),
  read: (r) => {
    const there = r.u8()
    if (there > 1) r.refuse('bad-value')
    return there === 1 ? item.read(r) : null
  },
  write: (w, v) => {
    w.u8(v === null ? 0 : 1)
    if (v !== null) item.write(w, v)
  },
})

/** A closed set of names carried as one byte (or two); any other code refuses the message. */
export const oneOf = <N extends string>(codes: Readonly<Record<N, number>>, width: Field<number> = u8): Field<N> => {
  const names = new Map(Object.entries<number>(codes).map(([n, c]) => [c, n as N]))
  const [first] = names.values()
  return {
    type: `${width.type}: ${[...names].map(([c, n]) => `${c} ${n}`).join(', ')}`,
    size: width.size,
    read: (r) => {
      const name = names.get(width.read(r))
      if (name === undefined) r.refuse('bad-value')
      return name ?? (first as N)
    },
    write: (w, v) => width.write(w, codes[v]),
  }
}

/** An object as its fields one after the other, without any framing. */
export const record = <T>(name: string, fields: Fields<T>): Field<T> => {
  // A generic T hides that these are fields of its own properties, which is what `Fields<T>` has just checked.
  const each = fields as unknown as AnyFields
  return {
    type: `[${name}](#${name})`,
    size: sizeOf(each),
    parts: [{ name, fields: each }],
    read: (r) => readFields(each, r) as T,
    write: (w, v) => writeFields(each, w, v as Readonly<Record<string, unknown>>),
  }
}

/** A field followed by `count` zero bytes. */
export const padded = <T>(item: Field<T>, count: number): Field<T> => ({
  ...item,
  type: `${item.type}, then zero`,
  size: `${item.size} + ${count}`,
  read: (r) => {
    const value = item.read(r)
    r.zeros(count)
    return value
  },
  write: (w, v) => {
    item.write(w, v)
    w.zeros(count)
  },
})

/** A field whose values must also satisfy `holds`; `what` is what the wire page says about them. */
export const where = <T>(item: Field<T>, what: string, holds: (v: T) => boolean): Field<T> => ({
  ...item,
  type: `${item.type}, ${what}`,
  read: (r) => {
    const value = item.read(r)
    if (r.fault === null && !holds(value)) r.refuse('bad-value')
    return value
  },
  write: (w, v) => {
    invariant(holds(v), `field must be ${what}`)
    item.write(w, v)
  },
})

/** Reads every field in order. The result is only meaningful when the reader has no fault. */
export function readFields(fields: AnyFields, r: Reader): Record<string, unknown> {
  const value: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) value[name] = field.read(r)
  return value
}

export function writeFields(fields: AnyFields, w: Writer, value: Readonly<Record<string, unknown>>): void {
  for (const [name, field] of Object.entries(fields)) field.write(w, value[name] as never)
}

/** Total of fixed sizes, "≥ n" when a field varies. */
export function sizeOf(fields: AnyFields): string {
  const sizes = Object.values(fields).map((f) => f.size)
  const least = sizes.map(leastOf).reduce((a, b) => a + b, 0)
  return sizes.some((s) => /[^\d +]/.test(s)) ? `≥ ${least}` : `${least}`
}

function leastOf(size: string): number {
  return size
    .replace('≥ ', '')
    .split(' + ')
    .reduce((sum, part) => sum + (Number.parseInt(part, 10) || 0), 0)
}

function list<T>(item: Field<T>, count: Field<number>, width: number): Field<readonly T[]> {
  return {
    ...made(`list${width}`, item, count.size),
    read: (r) => {
      const items: T[] = []
      // The fault ends the loop: a lying count costs nothing once the bytes are used up.
      for (let n = count.read(r); n > 0 && r.fault === null; n--) items.push(item.read(r))
      return items
    },
    write: (w, v) => {
      count.write(w, v.length)
      for (const one of v) item.write(w, one)
    },
  }
}

function made<T>(word: string, item: Field<T>, size: string): Pick<Field<T>, 'type' | 'size' | 'parts'> {
  const type = `${word} of ${item.type}`
  return item.parts === undefined ? { type, size: `${size} + n` } : { type, size: `${size} + n`, parts: item.parts }
}
