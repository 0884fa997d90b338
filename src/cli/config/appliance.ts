import { z } from 'zod'
import { isOpenSshKey } from '#appliance/ssh-key.ts'
import { family, type Ip, ipBytes, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { isGroup, type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { contains, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { ip, parsed } from './values.ts'

/** An interface's address with the length of its prefix. */
export type BoxAddress = { readonly ip: Ip; readonly bits: number }

const oneOf = <W extends string>(words: readonly W[], of: 4 | 6, example: string): z.ZodType<W | BoxAddress, string> =>
  parsed(`${words.map((w) => `"${w}"`).join(', ')} or an IPv${of} ADDRESS/BITS`, example, (text) => {
    const word = words.find((w) => w === text)
    return word ?? addressOf(text, of)
  })

/** Null for anything that a machine cannot have as its own address in a network. */
function addressOf(text: string, of: 4 | 6): BoxAddress | null {
  const [addr, bitsText, ...rest] = text.split('/')
  if (addr === undefined || bitsText === undefined || rest.length > 0 || !/^\d{1,3}$/.test(bitsText)) return null
  const own = parseIp(addr)
  const bits = Number(bitsText)
  if (own === null || family(own) !== of || bits < 1 || bits > (of === 4 ? 32 : 128)) return null
  if (isIp4(own)) {
    const first = own >>> 24
    if (first === 0 || first === 127 || first >= 224) return null
    // The network's own address and its broadcast: the classic slip of the keyboard.
    const hosts = bits >= 31 ? 0 : 2 ** (32 - bits) - 1
    return hosts > 0 && ((own & hosts) >>> 0 === 0 || (own & hosts) >>> 0 === hosts >>> 0) ? null : { ip: own, bits }
  }
  return own[0] === 0xff || own.every((byte, i) => byte === (i === 15 ? own[15] : 0) && (own[15] ?? 0) < 2)
    ? null
    : { ip: own, bits }
}

const ofFamily = (of: 4 | 6, example: string): z.ZodType<Ip, string> =>
  parsed(`an IPv${of} address`, example, (text) => {
    const found = parseIp(text)
    return found !== null && family(found) === of ? found : null
  })

/** Of one port: an Ethernet address that is a station's. */
const linkAddr: z.ZodType<LinkAddr, string> = parsed('a link address', '52:54:00:00:00:01', (text) => {
  const link = parseLink(text.replaceAll('-', ':'))
  return link === null || link === 0 || isGroup(link) ? null : link
})

/** RFC 1123 §2.1: one label, lower case. */
const hostname: z.ZodType<string, string> = parsed('a host name of letters, digits and hyphens', 'plc-7', (text) =>
  /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : null,
)

/** A name or an address. */
const server: z.ZodType<string, string> = parsed('a host name or an address', '192.0.2.123', (text) =>
  parseIp(text) !== null || /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]{1,63}$/i.test(text)
    ? text
    : null,
)

const sshKey: z.ZodType<string, string> = parsed('an OpenSSH public key', 'ssh-ed25519 AAAAC3Nza… you@desk', (text) =>
  isOpenSshKey(text) ? text.trim() : null,
)

const fields = z.strictObject({
  hostname: hostname.optional(),
  address: oneOf(['dhcp', 'off'], 4, '192.0.2.7/24').prefault('dhcp'),
  gateway: ofFamily(4, '192.0.2.1').optional(),
  address6: oneOf(['auto', 'off'], 6, '2001:db8::7/64').prefault('auto'),
  gateway6: ofFamily(6, 'fe80::1').optional(),
  resolvers: z.array(ip).max(8).default([]),
  ntp: z.array(server).max(8).default([]),
  ssh_keys: z.array(sshKey).max(64).default([]),
  log: z.enum(['ram', 'data']).default('ram'),
  ports: z.strictObject({ host: linkAddr.optional(), net: linkAddr.optional() }).prefault({}),
})

/** The box itself, for every role; only the appliance image reads it. `examples/appliance.toml` explains each key. */
export const appliance: z.ZodType<ApplianceConfig, z.input<typeof fields> | undefined> = fields
  .superRefine((a, ctx) => {
    const wrong = (path: string, message: string, right: string): void =>
      ctx.addIssue({ code: 'custom', path: path.split('.'), message, params: { right } })
    if (a.address === 'off' && a.address6 === 'off')
      wrong('address', 'the box has no address at all', 'Leave one of address and address6 on: it must reach others')
    for (const [key, own, gateway] of [
      ['gateway', a.address, a.gateway],
      ['gateway6', a.address6, a.gateway6],
    ] as const) {
      if (gateway === undefined) continue
      if (typeof own === 'string')
        wrong(key, `goes with an address of its own, not with "${own}"`, `Set the address too, or leave ${key} out`)
      else if (!isNear(gateway, own)) wrong(key, "is not in the address's own network", 'Check both, and the /BITS')
    }
    const { host, net } = a.ports
    if (host !== undefined && host === net)
      wrong('ports.net', 'both ports have the same link address', 'They are two; ip link, or the console, shows them')
  })
  .prefault({})
export type ApplianceConfig = z.output<typeof fields>

/** Whether it can be reached without a gateway. */
function isNear(gateway: Ip, own: BoxAddress): boolean {
  const bytes = ipBytes(gateway)
  if (!isIp4(gateway) && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80) return true
  const base = ipBytes(own.ip).map((byte, i) => byte & ~(0xff >> Math.min(8, Math.max(0, own.bits - 8 * i))))
  const text = isIp4(own.ip) ? base.join('.') : hexGroups(base)
  const net = parsePrefix(`${text}/${own.bits}`)
  return net !== null && contains(net, gateway)
}

const hexGroups = (b: Uint8Array): string =>
  Array.from({ length: 8 }, (_, i) => (((b[2 * i] ?? 0) << 8) | (b[2 * i + 1] ?? 0)).toString(16)).join(':')
