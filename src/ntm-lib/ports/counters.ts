/** Counts by dotted name (`tt.drop.ttl-expired`). What happens to packets is counted, never logged. */
export interface Counters {
  count(name: string, by?: number): void
}

/** The plain implementation: a map that status pages and tests read. */
export class CounterMap implements Counters {
  readonly values = new Map<string, number>()

  count(name: string, by = 1): void {
    this.values.set(name, (this.values.get(name) ?? 0) + by)
  }

  get(name: string): number {
    return this.values.get(name) ?? 0
  }
}
