import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'

/** An interface's address with the length of its prefix. */
export type BoxAddress = { readonly ip: Ip; readonly bits: number }

/** The table `[appliance]` of a checked configuration. */
export type BoxSettings = {
  readonly hostname?: string | undefined
  readonly address: 'dhcp' | 'off' | BoxAddress
  readonly gateway?: Ip | undefined
  readonly address6: 'auto' | 'off' | BoxAddress
  readonly gateway6?: Ip | undefined
  /** DNS servers; empty: those that DHCP and router advertisements name. */
  readonly resolvers: readonly Ip[]
  readonly ntp: readonly string[]
  readonly ssh_keys: readonly string[]
  readonly log: 'ram' | 'data'
  readonly ports: { readonly host?: LinkAddr | undefined; readonly net?: LinkAddr | undefined }
}

/** What the image can be; a terminal is a person's machine. */
export type BoxRole = 'bridge' | 'tt' | 'relay' | 'coordinator'
export const isBoxRole = (role: string): role is BoxRole => ['bridge', 'tt', 'relay', 'coordinator'].includes(role)

/** The interface that carries the box's own address. */
export const ownLink = (role: BoxRole): 'br0' | 'net0' => (role === 'bridge' ? 'br0' : 'net0')
