import { systemClock } from '#io/clock.ts'
import { nativeEngine } from '#io/engine-native.ts'
import { IoFault } from '#io/fault.ts'
import { packetIo } from '#io/native.ts'
import { BEAT_MS } from '#io/thread-words.ts'
import { openUdpRuns, type UdpRuns } from '#io/udp-runs.ts'
import { Gates, gateMemory } from '../worker/gates.ts'
import { PacketLoop } from '../worker/packet-loop.ts'
import type { StartRole } from '../worker/role-plane.ts'
import type { PacketOrder, PacketSaid } from '../worker/words.ts'
import { type HostParts, Orders, type PacketHost } from './packet-host.ts'

export type InlineHostParts<Config, In, Out> = HostParts<Out> & {
  readonly startRole: StartRole<Config, In, Out>
  readonly role: Config
}

/**
 * Starts the packet side in this very thread, for ports that cannot live in another one (raw-socket). What it says comes in a turn of
 * its own, as from a thread.
 */
export async function startInlineHost<Config, In, Out>(
  parts: InlineHostParts<Config, In, Out>,
): Promise<PacketHost<In>> {
  const host = new InlineHost<Config, In, Out>(parts, openUdpRuns(parts.udp))
  await host.start()
  return host
}

class InlineHost<Config, In, Out> extends Orders<In, Out> implements PacketHost<In> {
  readonly #p: InlineHostParts<Config, In, Out>
  readonly #udp: UdpRuns
  readonly #gates = new Gates(gateMemory())
  #loop: PacketLoop | null = null
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  beat = 0
  started: unknown = null

  constructor(parts: InlineHostParts<Config, In, Out>, udp: UdpRuns) {
    super(parts.onOut)
    this.#p = parts
    this.#udp = udp
  }

  get udpPort(): number {
    return this.#udp.port
  }

  async start(): Promise<void> {
    const { cells, log, counters, startRole, role, onFail } = this.#p
    try {
      const { loop, started } = await PacketLoop.start(
        {
          udp: this.#udp,
          io: packetIo(),
          engine: nativeEngine(),
          cells,
          index: 0,
          workers: 1,
          clock: systemClock,
          counters,
          log,
          gates: this.#gates,
          say: (said) => queueMicrotask(() => this.#on(said)),
          fail: onFail,
        },
        (rest) => startRole(role, rest),
      )
      this.#loop = loop
      this.started = started
    } catch (e) {
      this.#udp.close()
      throw e
    }
    this.#timer = setInterval(() => {
      this.beat++
    }, BEAT_MS).unref()
  }

  async ask(input: In): Promise<unknown> {
    this.flush()
    if (this.#stopped) throw new IoFault('ask the packet side', new Error('it has ended'))
    return this.#loop?.ask(input)
  }

  async refresh(): Promise<void> {
    this.#loop?.countPorts()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.flush()
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#loop?.stop()
  }

  protected override post(orders: readonly PacketOrder[]): void {
    this.#loop?.obey(orders)
  }

  #on(said: PacketSaid): void {
    if (this.#stopped) return
    this.#gates.leave(said)
    this.heard(said)
  }
}
