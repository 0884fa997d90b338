import { type Ip, ipText, isIp4, parseIp, sameIp } from './ip.ts'

/** Where UDP datagrams go to or come from. `port` is 1–65535. */
export type Endpoint = { readonly ip: Ip; readonly port: number }

export const endpointText = (e: Endpoint): string =>
  isIp4(e.ip) ? `${ipText(e.ip)}:${e.port}` : `[${ipText(e.ip)}]:${e.port}`
export const sameEndpoint = (a: Endpoint, b: Endpoint): boolean => a.port === b.port && sameIp(a.ip, b.ip)

/** `192.0.2.1:4330` or `[2001:db8::1]:4330`; null for anything else. */
export function parseEndpoint(text: string): Endpoint | null {
  const m = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const ip = m === null ? null : parseIp((m[1] ?? m[2]) as string)
  const port = Number(m?.[3])
  if (m === null || ip === null || isIp4(ip) !== (m[1] === undefined) || port < 1 || port > 65535) return null
  return { ip, port }
}
