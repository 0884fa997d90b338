import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'

/** Bytes of a disk, from its beginning. */
export type Stretch = { readonly offset: number; readonly bytes: number }

/**
 * A disk's file served to QEMU over a unix socket (NBD, fixed newstyle, simple replies: the protocol's doc/proto.md), so that a stretch of it
 * can begin to fail while the box runs, as the cells of a card do: reading and writing there is an input/output error from then on.
 */
export class ServedDisk {
  readonly socket: string
  readonly #server: Server
  readonly #fd: number
  readonly #size: number
  #bad: Stretch | null = null
  #what: 'all' | 'writes' = 'all'
  /** Requests that failed so far. */
  failed = 0

  private constructor(file: string, socket: string) {
    this.socket = socket
    this.#fd = openSync(file, 'r+')
    this.#size = fstatSync(this.#fd).size
    this.#server = createServer((client) => this.#serve(client))
  }

  /** Resolves when QEMU may connect. */
  static serve(file: string, socket: string): Promise<ServedDisk> {
    const disk = new ServedDisk(file, socket)
    return new Promise((resolve) => disk.#server.listen(socket, () => resolve(disk)))
  }

  /** From now on this stretch fails; `writes`: it can be read still. */
  dies(stretch: Stretch, what: 'all' | 'writes' = 'all'): void {
    this.#bad = stretch
    this.#what = what
  }

  close(): void {
    this.#server.close()
    closeSync(this.#fd)
  }

  #serve(client: Socket): void {
    // Asks for what it needs, one piece after the other: a conversation in the order of the protocol.
    const need = reader(client)
    client.on('error', () => {})
    client.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(FIXED_NEWSTYLE | NO_ZEROES)]))
    this.#talk(client, need).catch(() => client.destroy())
  }

  async #talk(client: Socket, need: Need): Promise<void> {
    await need(4)
    if (!(await this.#negotiate(client, need))) return
    for (;;) {
      const head = await need(28)
      const [type, offset, bytes] = [head.readUInt16BE(6), Number(head.readBigUInt64BE(16)), head.readUInt32BE(24)]
      const data = type === WRITE ? await need(bytes) : null
      if (type === DISCONNECT) return void client.end()
      const fault = this.#fails(type, offset, bytes) ? EIO : 0
      const said = fault === 0 ? this.#do(type, offset, bytes, data) : Buffer.alloc(0)
      client.write(Buffer.concat([u32(REPLY), u32(fault), head.subarray(8, 16), said]))
    }
  }

  /** Whether the client goes on to use the disk. */
  async #negotiate(client: Socket, need: Need): Promise<boolean> {
    const size = Buffer.alloc(8)
    size.writeBigUInt64BE(BigInt(this.#size))
    const about = Buffer.concat([size, u16(HAS_FLAGS | CAN_FLUSH)])
    for (;;) {
      const head = await need(16)
      const [option, bytes] = [head.readUInt32BE(8), head.readUInt32BE(12)]
      await need(bytes)
      const reply = (type: number, data = Buffer.alloc(0)): boolean =>
        client.write(Buffer.concat([OPTION_REPLY, u32(option), u32(type), u32(data.length), data]))
      if (option === EXPORT_NAME) {
        client.write(about)
        return true
      }
      if (option === GO || option === INFO) {
        reply(REP_INFO, Buffer.concat([u16(0), about]))
        reply(REP_ACK)
        if (option === GO) return true
      } else if (option === ABORT) {
        reply(REP_ACK)
        client.end()
        return false
      } else reply(REP_UNSUPPORTED)
    }
  }

  #fails(type: number, offset: number, bytes: number): boolean {
    const bad = this.#bad
    if (bad === null || (type !== WRITE && (type !== READ || this.#what === 'writes'))) return false
    const hit = offset < bad.offset + bad.bytes && offset + bytes > bad.offset
    if (hit) this.failed++
    return hit
  }

  #do(type: number, offset: number, bytes: number, data: Buffer | null): Buffer {
    if (data !== null) writeSync(this.#fd, data, 0, data.length, offset)
    if (type !== READ) return Buffer.alloc(0)
    const into = Buffer.alloc(bytes)
    readSync(this.#fd, into, 0, bytes, offset)
    return into
  }
}

type Need = (bytes: number) => Promise<Buffer>

/** Pieces of what a socket brings; rejects when it ends. */
function reader(socket: Socket): Need {
  let have: Buffer[] = []
  let length = 0
  let wake: () => void = () => {}
  let over = false
  socket.on('data', (chunk: Buffer) => {
    have.push(chunk)
    length += chunk.length
    wake()
  })
  socket.on('close', () => {
    over = true
    wake()
  })
  return async (bytes) => {
    while (length < bytes) {
      if (over) throw new Error('the client is gone')
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const all = Buffer.concat(have)
    have = [all.subarray(bytes)]
    length -= bytes
    return all.subarray(0, bytes)
  }
}

function u16(n: number): Buffer {
  const b = Buffer.alloc(2)
  b.writeUInt16BE(n)
  return b
}

function u32(n: number): Buffer {
  const b = Buffer.alloc(4)
  b.writeUInt32BE(n >>> 0)
  return b
}

// doc/proto.md, "Values".
const [FIXED_NEWSTYLE, NO_ZEROES] = [1, 2]
const [EXPORT_NAME, ABORT, INFO, GO] = [1, 2, 6, 7]
const [REP_ACK, REP_INFO, REP_UNSUPPORTED] = [1, 3, 0x8000_0001]
const [HAS_FLAGS, CAN_FLUSH] = [1, 4]
const [READ, WRITE, DISCONNECT] = [0, 1, 2]
const OPTION_REPLY = Buffer.from('0003e889045565a9', 'hex')
const REPLY = 0x67446698
const EIO = 5
