import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../netns.ts'
import { type Role, type Settings, type TomlValue, withSettings } from '../programs.ts'
import type { Files } from './fat.ts'

/** `[appliance]` of a box's ntm.toml; `ports` is its own table. */
export type ApplianceTable = Readonly<Record<string, TomlValue>> & { readonly ports?: never }
export type Ports = { readonly host?: string; readonly net?: string }

export type BoxPlan = {
  readonly role: Role
  readonly settings?: Settings
  readonly appliance?: ApplianceTable
  readonly ports?: Ports
  /** An enrolment token's text, laid beside as `token`. */
  readonly token?: string
  /** More files: `network/…` of a coordinator, `factory-reset`. */
  readonly files?: Files
}

/** What a person lays onto a stick or the boot partition to make a box this: the example of its role, changed, and what goes beside. */
export function boxFiles(plan: BoxPlan): Files {
  return {
    'ntm.toml': boxToml(plan),
    ...(plan.token === undefined ? {} : { token: plan.token }),
    ...plan.files,
  }
}

function boxToml({ role, settings = {}, appliance = {}, ports }: BoxPlan): string {
  const example = readFileSync(join(ROOT, `examples/${role}.toml`), 'utf8')
  return [
    withSettings(example, settings),
    table('appliance', appliance),
    ports === undefined ? '' : table('appliance.ports', ports),
  ].join('\n')
}

function table(name: string, values: Readonly<Record<string, TomlValue | undefined>>): string {
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  return [`[${name}]`, ...lines, ''].join('\n')
}
