import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publishedFields, recordFields } from '#ntm-lib/dns/records.ts'
import { TIMERS } from '#ntm-lib/negotiate/timers.ts'
import { ip4, ip6 } from '#ntm-lib/wire/address-field.ts'
import { certificateFields } from '#ntm-lib/wire/certificate.ts'
import { MESSAGES } from '#ntm-lib/wire/codec.ts'
import { contractFields } from '#ntm-lib/wire/contract.ts'
import { envelopeHeader } from '#ntm-lib/wire/envelope.ts'
import type { AnyField, AnyFields, Shape } from '#ntm-lib/wire/field.ts'
import { FRAMES } from '#ntm-lib/wire/frames.ts'
import { HANDSHAKES, type HandshakeName, handshakeBytes } from '#ntm-lib/wire/handshake.ts'
import { PAYLOADS } from '#ntm-lib/wire/payloads.ts'
import { RELAY_LEG, type RelayLegKind, relayLegBytes } from '#ntm-lib/wire/relay-leg.ts'
import { rowNotes, type TypeNotes, typeNotes, typesByKind } from './doc-comments.ts'

const ROOT = join(import.meta.dirname, '..')
export const PAGE = join(ROOT, 'docs/wire.md')

/** The whole page: prose from `wire-prose.md`, every table from the codec, every remark from the source's comments. */
export function render(): string {
  const prose = readFileSync(join(import.meta.dirname, 'wire-prose.md'), 'utf8')
  return prose.replaceAll(/^\{\{(\w+)\}\}$/gm, (_, name: string) => {
    const make = SECTIONS[name]
    if (make === undefined) throw new Error(`wire-prose.md asks for an unknown section ${name}`)
    return make()
  })
}

const source = readSources()
const notes = typeNotes(source)
const kinds = typesByKind(source)

const SECTIONS: Readonly<Record<string, () => string>> = {
  handshakes,
  payloads,
  envelope: () => table(envelopeHeader, ['Envelope'], 0),
  messages,
  shapes,
  contract: () => table(contractFields, ['Contract'], 1),
  certificate: () => table(certificateFields, ['Certificate'], 5),
  hosted: () => certificateShapes(),
  frames,
  relayLeg,
  ntmv4: () => dnsRecord(recordFields(ip4), publishedFields(ip4)),
  ntmv6: () => dnsRecord(recordFields(ip6), publishedFields(ip6)),
  timers,
}

function handshakes(): string {
  return Object.entries(HANDSHAKES)
    .map(([name, row]) => {
      const types = [TYPE_OF_HANDSHAKE[name as HandshakeName], 'FirstFields', 'SecondFields', 'Tags', ...HELPERS]
      const head = `#### ${title(name)}: class ${row.cls}, type ${row.type}, ${handshakeBytes(name as HandshakeName)} bytes`
      return `${head}\n\n${about(types)}${table(row.fields, types, 16)}`
    })
    .join('\n\n')
}

function payloads(): string {
  return Object.entries(PAYLOADS)
    .map(([name, fields]) => {
      const type = `${pascal(name)}Payload`
      const types = [type, 'TunnelOpening', 'Opening', 'Published']
      return `#### Payload of ${title(name)}\n\n${about(types)}${table(fields, types, 0)}`
    })
    .join('\n\n')
}

function messages(): string {
  const rows = Object.entries(MESSAGES)
  const list = rows.map(
    ([kind, row]) =>
      `| ${code(row.code)} | ${row.as} | [${title(kind)}](#${kind}) | ${cell(noteOf(kind)?.about ?? '')} |`,
  )
  const overview = ['| code | as | message | |', '|---|---|---|---|', ...list].join('\n')
  const each = rows.map(([kind, row]) => {
    const types = [kinds.get(kind) ?? '']
    const fields = Object.keys(row.fields).length === 0 ? 'No body.' : table(row.fields, types, 0)
    return `<a id="${kind}"></a>\n\n#### ${code(row.code)} ${title(kind)} (${row.as})\n\n${about(types)}${fields}`
  })
  return [overview, ...each].join('\n\n')
}

/** Every named shape inside messages, once. */
function shapes(): string {
  const found = new Map<string, Shape>()
  for (const row of Object.values(MESSAGES)) for (const shape of shapesIn(row.fields)) found.set(shape.name, shape)
  return [...found.values()].map(shapeSection).join('\n\n')
}

const certificateShapes = (): string => shapesIn(certificateFields).map(shapeSection).join('\n\n')

function shapesIn(fields: AnyFields): Shape[] {
  return Object.values(fields).flatMap((f) => (f.parts ?? []).flatMap((s) => [...shapesIn(s.fields), s]))
}

function shapeSection({ name, fields }: Shape): string {
  const types = [pascal(name)]
  return `<a id="${name}"></a>\n\n#### ${name}\n\n${about(types)}${table(fields, types, 0)}`
}

function frames(): string {
  const rows = Object.entries(FRAMES).map(([kind, row]) => {
    const types = [kinds.get(kind) ?? '']
    const body = Object.entries(row.fields as AnyFields).map(([name, f]) => {
      const note = fieldNote(types, name)
      return `${name}: ${f.type} (${f.size})${note === '' ? '' : `, ${note}`}`
    })
    return `| ${row.code} | ${kind} | ${cell(body.join(' · ') || 'none')} | ${cell(noteOf(kind)?.about ?? '')} |`
  })
  return ['| type | frame | body | |', '|---|---|---|---|', ...rows].join('\n')
}

function relayLeg(): string {
  return Object.entries(RELAY_LEG)
    .map(([kind, row]) => {
      const types = [kinds.get(kind) ?? '', ...LEG_HELPERS]
      const head = `#### ${title(kind)}: type ${row.type}, ${relayLegBytes(kind as RelayLegKind)} bytes`
      const own = kind === 'bind' ? ['BindFields'] : kind === 'notice' ? ['NoticeFields'] : []
      return `${head}\n\n${about(types)}${table(row.fields, [...own, ...types.slice(1)], 16)}`
    })
    .join('\n\n')
}

function dnsRecord(record: AnyFields, published: AnyFields): string {
  const types = ['NtmRecord', 'Published', 'Head']
  return `${table(record, types, 0)}\n\nWith flag bit 0 there follow:\n\n${table(published, types, totalOf(record))}`
}

function timers(): string {
  const said = rowNotes(readFileSync(join(ROOT, 'src/ntm-lib/negotiate/timers.ts'), 'utf8'))
  const rows = Object.entries(TIMERS).map(
    ([name, t]) =>
      `| ${name} | ${t.millis} | ${cell([said.get(name) ?? '', t.source.replace(/^wire[:;,]?\s*/, '')].filter((s) => s !== '').join(' — '))} |`,
  )
  return ['| timer | ms | |', '|---|---|---|', ...rows].join('\n')
}

/** One row per field; `at` counts while sizes are fixed, then it is "…". */
function table(fields: AnyFields, types: readonly string[], start: number): string {
  let at: number | null = start
  const rows = Object.entries(fields).map(([name, field]) => {
    const row = `| ${at ?? '…'} | ${name} | ${field.size} | ${cell(field.type)} | ${cell(fieldNote(types, name))} |`
    const size = fixedSize(field)
    at = at === null || size === null ? null : at + size
    return row
  })
  return ['| at | field | bytes | type | |', '|---|---|---|---|---|', ...rows].join('\n')
}

function fixedSize(field: AnyField): number | null {
  return /^[\d +]+$/.test(field.size) ? field.size.split(' + ').reduce((sum, n) => sum + Number(n), 0) : null
}

const totalOf = (fields: AnyFields): number =>
  Object.values(fields).reduce((sum, field) => sum + (fixedSize(field) ?? 0), 0)

function about(types: readonly string[]): string {
  const text = notes.get(types[0] ?? '')?.about ?? ''
  return text === '' ? '' : `${text}\n\n`
}

const fieldNote = (types: readonly string[], field: string): string =>
  types.map((type) => notes.get(type)?.fields.get(field)).find((text) => text !== undefined) ?? ''

const noteOf = (kind: string): TypeNotes | undefined => notes.get(kinds.get(kind) ?? '')

function readSources(): string {
  const wire = join(ROOT, 'src/ntm-lib/wire')
  const files = readdirSync(wire, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((f) => join(wire, f))
  return [...files, join(ROOT, 'src/ntm-lib/dns/records.ts')]
    .filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts'))
    .map((f) => readFileSync(f, 'utf8'))
    .join('\n')
}

const TYPE_OF_HANDSHAKE: Readonly<Record<HandshakeName, string>> = {
  hello: 'HelloDatagram',
  welcome: 'WelcomeDatagram',
  'control-cookie': 'CookieDatagram',
  'enrol-hello': 'EnrolHello',
  'enrol-welcome': 'EnrolWelcome',
  'tunnel-request': 'TunnelRequestDatagram',
  'tunnel-response': 'TunnelResponseDatagram',
  'tunnel-cookie': 'CookieDatagram',
  knock: 'KnockDatagram',
}
const HELPERS = ['TokenFields', 'CookieFields', 'KnockFields']
const LEG_HELPERS = ['LegCookieFields', 'ProbeFields', 'LegTag']

const cell = (text: string): string => text.replaceAll('|', '\\|')
const code = (n: number): string => n.toString(16).padStart(2, '0').toUpperCase()
const title = (kind: string): string =>
  kind
    .replace(/^ntm\b/, 'NTM')
    .replaceAll(/(^|-)(\w)/g, (_, dash: string, c: string) => (dash ? ' ' : '') + c.toUpperCase())
const pascal = (name: string): string => title(name).replaceAll(' ', '')

if (import.meta.main) {
  const page = render()
  if (!process.argv.includes('--check')) writeFileSync(PAGE, page)
  else if (readFileSync(PAGE, 'utf8') !== page) {
    console.error('docs/wire.md is stale: run `npm run docs`')
    process.exitCode = 1
  }
}
