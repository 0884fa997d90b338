import type { PortCounters } from '#io/native.ts'

type Ports = Iterable<readonly [name: string, counts: PortCounters]>

/** Counts of ports that come and go under the same names: what closed ones had counted is kept. */
export class PortSums {
  readonly #closed = new Map<string, PortCounters>()

  /** These ports are closed. */
  add(ports: Ports): void {
    for (const [name, counts] of ports) {
      const before = this.#closed.get(name)
      this.#closed.set(name, before === undefined ? counts : plus(before, counts))
    }
  }

  /** All that were ever counted; `open` are those that are open now. */
  *with(open: Ports): Ports {
    const now = new Map(open)
    for (const name of new Set([...this.#closed.keys(), ...now.keys()])) {
      const counts = [this.#closed.get(name), now.get(name)].filter((c) => c !== undefined)
      yield [name, counts.reduce(plus)]
    }
  }
}

const plus = (a: PortCounters, b: PortCounters): PortCounters =>
  Object.fromEntries(Object.entries(a).map(([k, n]) => [k, n + b[k as keyof PortCounters]])) as PortCounters
