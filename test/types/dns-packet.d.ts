/** The part of dns-packet 5.6 that tests use as a second opinion; the package has no types of its own. */
declare module 'dns-packet' {
  type Packet = Readonly<Record<string, unknown>>
  type Decoded = { readonly [key: string]: unknown; readonly additionals?: readonly Packet[] }
  const dnsPacket: {
    readonly RECURSION_DESIRED: number
    readonly AUTHORITATIVE_ANSWER: number
    encode(packet: Packet): Buffer
    decode(bytes: Buffer): Decoded
  }
  export = dnsPacket
}
