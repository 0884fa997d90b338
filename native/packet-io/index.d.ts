/**
 * What `build/packet-io.node` exports. `src/io/native.ts` is the only importer; README.md is the contract.
 * A function that returns `number` returns a count, or a negative errno for what the network or the kernel did. A wrong
 * call (type, range, closed or foreign port) throws.
 */

/** An open port. Closed by `close`, by garbage collection when nobody watches it, or with its thread. */
export type Port = { readonly __port: unique symbol }
export type FramePort = Port & { readonly ifindex: number; readonly name: string }
export type TunPort = FramePort & { readonly offload: number }
export type UdpPort = Port & { readonly port: number; readonly family: 0 | 4 | 6 }

/** Keys of one thread. Erased with `clear…`, by garbage collection, or with the thread. */
export type Keys = { readonly __keys: unique symbol }

/** `gso` of a plain packet whose transport checksum is missing. */
export type CsumMissing = 0xffff

export interface PacketIo {
  /**
   * `name` '' lets the kernel choose; `offload`: TUN_F_ flags, fewer when the kernel knows fewer (`TunPort.offload`: what is on for the
   * whole device, also when it was there before); `queuePackets` 0 leaves the kernel's queue length. With `multiQueue` every further
   * call with the same name is one more queue; the kernel keeps a flow on the queue that last sent for it.
   */
  openTun(
    name: string,
    tap: boolean,
    offload: number,
    persist: boolean,
    queuePackets: number,
    multiQueue: boolean,
  ): TunPort | number
  /**
   * `filter`: code, jt, jf, k per instruction. Without `receive` the socket only sends. `fanout` 1–65535: sockets of one group share
   * what arrives, both directions of a flow at the same one; 0 for none. `bypassQueue`: sends go to the driver without a qdisc.
   */
  openPacket(
    name: string,
    receive: boolean,
    vnet: boolean,
    ignoreOutgoing: boolean,
    promiscuous: boolean,
    filter: Uint32Array | null,
    bufferBytes: number,
    fanout: number,
    bypassQueue: boolean,
  ): FramePort | number
  /**
   * `address`: 16 bytes, IPv4 as v4-mapped, zeros for any. `family` 0: both, or IPv4 alone on a machine without IPv6. With `runs` it
   * is read with `recvRuns`, without with `recvUdp`.
   */
  openUdp(
    address: Uint8Array,
    port: number,
    family: number,
    bufferBytes: number,
    reusePort: boolean,
    mark: number,
    device: string,
    runs: boolean,
  ): UdpPort | number
  openNetlink(protocol: number, groups: number, bufferBytes: number): Port | number

  /** Slot `i` starts at `i * slotBytes + headroom`; there are `lens.length` slots. `virtio`: five words per slot. */
  recv(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    virtio: Uint16Array | null,
  ): number
  send(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    count: number,
    virtio: Uint16Array | null,
  ): number
  /** `addrs`: 16 bytes per slot; `ports`: one per slot. */
  recvUdp(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    addrs: Uint8Array,
    ports: Uint16Array,
  ): number
  /**
   * `vias`: how each leaves, 20 bytes per slot: our address (16 bytes, IPv4 as v4-mapped, zeros for any), then the number of the interface, 32 bits
   * in the machine's order (0 for any); all zeros, null for the whole, or an address of the other family than the peer's: the kernel chooses. One that the kernel does not let out that way is
   * lost (`viaRefusedOut`).
   */
  sendUdp(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    addrs: Uint8Array,
    ports: Uint16Array,
    vias: Uint8Array | null,
    count: number,
  ): number
  /** Empties the error queue: `codes` positive errnos, `mtus` the path MTU where the code is EMSGSIZE. */
  udpErrors(port: Port, addrs: Uint8Array, ports: Uint16Array, codes: Int32Array, mtus: Uint32Array): number

  // ---- Super-packets (`README.md`, Super-packets) ----

  /**
   * As `recv`, with super-packets: `gso[i]` is 0 for a complete packet, the payload bytes of one segment for a super-packet
   * (one TCP or UDP packet over IPv4 or IPv6 to be cut on its way), `CSUM_MISSING` for a plain packet whose transport checksum
   * was left to hardware and is still missing. Headers that contradict their packet: dropped, `badIn`.
   */
  recvSuper(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    gso: Uint16Array,
  ): number
  /**
   * Sends packets from anywhere in `arena`: `jobs` holds three words per packet, offset, length, gso as above. The virtio-net header
   * is made from the packet itself (link header where there is one, IPv4 or IPv6, TCP or UDP); the transport checksum field of a
   * super-packet and of a `CSUM_MISSING` one is written: the packet's memory changes, and need not hold anything there before. Link
   * padding behind such a packet is not sent. A `gso` that cannot be true of its packet: `refusedOut`; a super-packet that the kernel does
   * not take whole is cut here (`gsoRefused`, its parts count in `out`). Two jobs must not share memory. Counts and results as `send`.
   */
  sendSuper(port: Port, arena: Uint8Array, jobs: Int32Array, count: number): number

  /**
   * As `recvUdp`, with GRO: slot `i` holds datagrams of `segs[i]` bytes each, the last one may be shorter; neither is ever 0.
   * `locals`: 16 bytes per slot, the address they came to; or null. A run that does not fit its slot is lost whole (`oversizedIn`): 65,535 bytes hold any.
   */
  recvRuns(
    port: UdpPort,
    arena: Uint8Array,
    slotBytes: number,
    lens: Uint32Array,
    segs: Uint16Array,
    addrs: Uint8Array,
    ports: Uint16Array,
    locals: Uint8Array | null,
  ): number
  /**
   * Sends runs of datagrams: `runs` holds four words per run: row, offset, length, bytes of one datagram (the last may be shorter). Peer
   * and port are `addrs[16 * row…]` and `ports[row]`. Cut into as many GSO sends as the kernel takes; where it takes none they go
   * as single datagrams, and the next 1024 runs of the port too (`gsoRefused`). Returns how many datagrams the kernel took; the
   * rest is counted (`fullOut`, `refusedOut`). Works on any UDP port. `vias`: as for `sendUdp`, by row. Where the kernel refuses a row's, the rest
   * of the row goes in this call as the kernel chooses (`viaRefusedOut`, and `out`).
   */
  sendRuns(
    port: UdpPort,
    arena: Uint8Array,
    runs: Int32Array,
    count: number,
    addrs: Uint8Array,
    ports: Uint16Array,
    vias: Uint8Array | null,
  ): number
  /**
   * Of `group` sockets bound to one port with SO_REUSEPORT (in the order they were opened), the kernel gives a datagram to number
   * (byte 9 of its payload) mod `group`; anything whose first byte is not `first`, or that is shorter, goes to number 0. Called once, on any of
   * them. A run that the kernel joined goes where its first datagram belongs: the reader has to refuse the rest. 0 or a negative errno.
   */
  steer(port: UdpPort, group: number, first: number): number

  /**
   * The same calls with all that does not change from one to the next checked and kept once: what comes back is called with the rest. For the
   * calls of every packet, where looking up six arrays costs more than the work. Every array has to be over a SharedArrayBuffer (`TypeError` otherwise),
   * whose memory can neither go nor move; the function keeps the arrays, the port and the keys alive. A closed port throws.
   */
  bindRecvSuper(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    gso: Uint16Array,
  ): () => number
  bindSendSuper(port: Port, arena: Uint8Array, jobs: Int32Array): (count: number) => number
  bindRecvRuns(
    port: UdpPort,
    arena: Uint8Array,
    slotBytes: number,
    lens: Uint32Array,
    segs: Uint16Array,
    addrs: Uint8Array,
    ports: Uint16Array,
    locals: Uint8Array | null,
  ): () => number
  bindSendRuns(
    port: UdpPort,
    arena: Uint8Array,
    runs: Int32Array,
    addrs: Uint8Array,
    ports: Uint16Array,
    vias: Uint8Array | null,
  ): (count: number) => number
  bindSeal(
    keys: Keys,
    jobs: Int32Array,
    headers: Uint8Array,
    arena: Uint8Array,
    out: Uint8Array,
    runs: Int32Array,
    status: Int8Array,
    done: Int32Array,
  ): (first: number, count: number) => number
  bindOpen(
    keys: Keys,
    jobs: Int32Array,
    arena: Uint8Array,
    out: Uint8Array,
    outSlotBytes: number,
    headroom: number,
    lens: Uint32Array,
    gso: Uint16Array,
    meta: Int32Array,
    join: boolean,
    mostBytes: number,
    status: Int8Array,
    done: Int32Array,
  ): (first: number, count: number) => number

  // ---- Sealing ----

  /** A table of keys, `seals` to seal with and `opens` to open with, each named by its index; grows when set beyond. Not shared between threads. */
  newKeys(seals: number, opens: number): Keys
  /**
   * Puts a key at an index, replacing what was there. `suite` as on the wire: 0 ChaCha20-Poly1305, 1 AES-128-GCM, 2 AES-256-GCM. Nonce
   * of a packet: `nonce` (12 bytes, the epoch already XORed into bytes 4–5) with byte 3 XORed by the lane and bytes 6–11 XORed by the
   * packet's counter (u48, big endian). A sealing key owns its counters, one per lane 0–3, from 0 up, and refuses what would
   * exceed `mostPackets` (at most 2^48) or `mostBytes` (of inner packets, over all lanes). `key` is copied.
   */
  setSeal(
    keys: Keys,
    index: number,
    suite: number,
    key: Uint8Array,
    nonce: Uint8Array,
    mostPackets: number,
    mostBytes: number,
  ): void
  /** `window`: counters remembered per lane behind the newest, RFC 6479; a multiple of 32 up to 65,536. Made for a lane when it has opened its first. */
  setOpen(keys: Keys, index: number, suite: number, key: Uint8Array, nonce: Uint8Array, window: number): void
  /** Erases the key. Jobs that still name it are refused with `NO_KEY`. */
  clearSeal(keys: Keys, index: number): void
  clearOpen(keys: Keys, index: number): void
  /** The counter the lane's next packet will carry; -1 without a key. */
  nextCounter(keys: Keys, index: number, lane: number): number
  /** Newest counter that opened on the lane; -1 before the first and without a key. */
  newestCounter(keys: Keys, index: number, lane: number): number

  /**
   * Seals jobs `first` to `count` - 1, cutting super-packets into segments with headers and checksums of their own. Eight words per job:
   * key index, row, offset of the inner IP packet, its length, gso as in `recvSuper`, second byte of the header (flags with the
   * lane in bits 4–5), most inner bytes of one datagram, 0. The packet is destroyed. `headers`: 16 bytes per row, put before
   * every datagram with the flags in byte 1 and the counter in bytes 10–15. Datagram = header ‖ sealed ‖ 16-byte tag, header authenticated.
   * Segments of TCP super-packets longer than `most` are cut smaller; whatever else is longer gets `TOO_BIG`.
   * `runs`: four words per run as `sendRuns` takes them, consecutive datagrams of equal length of one row joined. `status`: one per
   * job, by its index: 0 sealed, else `NO_KEY`, `USED_UP` (a super-packet is sealed whole or not at all), `TOO_BIG` (for an empty `out`,
   * too), `MALFORMED` (gso on what is no whole TCP or UDP packet, or on what the flags call frames or a half). Stops before a job that may not fit what is left of `out` or `runs`.
   * `done`: [jobs done, runs, bytes of `out`, datagrams]. Returns jobs done by this call: go on at `first` + that.
   */
  seal(
    keys: Keys,
    jobs: Int32Array,
    first: number,
    count: number,
    headers: Uint8Array,
    arena: Uint8Array,
    out: Uint8Array,
    runs: Int32Array,
    status: Int8Array,
    done: Int32Array,
  ): number
  /**
   * Opens jobs `first` to `count` - 1 into the slots of `out`, each at `i * outSlotBytes + headroom`, from slot 0. Four words per job: key index,
   * offset, length, flags (bits 0–1 lane, bit 2: never joined with others). With `join`, consecutive TCP segments (and UDP datagrams of equal
   * length, the last may be shorter) of one flow and key become one super-packet, `gso` as in `recvSuper`, only when their checksums are right
   * and no header field differs that matters (RFC 9293 order; same rules as the kernel's GRO), up to `mostBytes`; the order within
   * a flow is kept. A packet that nothing joined is left as it was sealed, with gso 0. `meta`: three words per slot: first job, number of
   * jobs, inner bytes before they were joined (of a joined flow, other jobs may lie between). `status`: one per job, by its index: 0 opened,
   * else `SHORT`, `REPLAY`, `BAD_TAG`, `NO_KEY`, `TOO_BIG` (for a slot). Stops before a job when no slot is left; memory between a packet and
   * the end of its slot is written to. `done`: [jobs done, slots]. Returns jobs done by this call: go on at `first` + that.
   */
  open(
    keys: Keys,
    jobs: Int32Array,
    first: number,
    count: number,
    arena: Uint8Array,
    out: Uint8Array,
    outSlotBytes: number,
    headroom: number,
    lens: Uint32Array,
    gso: Uint16Array,
    meta: Int32Array,
    join: boolean,
    mostBytes: number,
    status: Int8Array,
    done: Int32Array,
  ): number
  /**
   * Joins plain IP packets of a batch in place (jobs of three words as `sendSuper`, rewritten), same rules as `open`; those with a gso stay as
   * they are. `room`: bytes that a packet may grow to from its own offset; nothing else may lie there. Returns how many are left.
   */
  coalesce(arena: Uint8Array, jobs: Int32Array, count: number, room: number, mostBytes: number): number
  /**
   * Cuts one packet into complete packets of at most `mostBytes` in the slots of `out`, by the rules of `seal`; the packet stays as it was.
   * Returns how many, or -1 when there is no room, -2 when it cannot be cut.
   */
  segment(
    arena: Uint8Array,
    at: number,
    len: number,
    gso: number,
    mostBytes: number,
    out: Uint8Array,
    outSlotBytes: number,
    headroom: number,
    lens: Uint32Array,
  ): number

  /** Sends one batch, then collects until `answers` final answers came or `waitMs` (at most 1000) passed. */
  talk(port: Port, bytes: Uint8Array, reply: Uint8Array, answers: number, waitMs: number): number
  recvNetlink(port: Port, into: Uint8Array): number

  /**
   * One datagram to the UNIX socket at `path` (`/…`, or `@…` for an abstract address; 2 to 107 bytes), 1 to 4096 bytes of text. 0, or a negative
   * errno: -ENOENT, -ECONNREFUSED where nobody listens, -EAGAIN where nobody reads. Never waits.
   */
  notify(path: string, text: string): number

  /** `status` 0: readable. Negative: -ENXIO or -EBADFD when the interface is gone, else an error that has passed. */
  watch(port: Port, callback: (status: number) => void): number
  unwatch(port: Port): void
  setRef(port: Port, keepsProcessAlive: boolean): void
  close(port: Port): void
  /**
   * Thirteen counts: in, out, oversizedIn, badIn, refusedOut, fullOut, downOut, errorsIn, superIn, superOut, gsoRefused, lostIn, viaRefusedOut. A
   * super-packet that went whole counts once in `in` and `out`, a run of datagrams as many times as it holds datagrams.
   */
  stats(port: Port, into: Float64Array): void
  openPorts(): number
}
