import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { Job } from './direction-job.ts'

/** The directions under way: by goal, by the tag of what is asked of somebody, and by the pair a contract is made for. */
export class Jobs {
  readonly #jobs = new Map<string, Job>()
  readonly #byTag = new Map<string, Job>()
  /** Pair → the job that makes its contract. */
  readonly #locks = new Map<string, Job>()
  #tags = 0

  get size(): number {
    return this.#jobs.size
  }

  get(key: string): Job | undefined {
    return this.#jobs.get(key)
  }

  /** A copy: what is done with one job may end others, so look at `has` again. */
  all(): Job[] {
    return [...this.#jobs.values()]
  }

  has(job: Job): boolean {
    return this.#jobs.get(job.key) === job
  }

  countOf(initiator: NodeId): number {
    const key = nodeKey(initiator)
    return this.all().filter((job) => nodeKey(job.initiator) === key).length
  }

  add(job: Job): void {
    this.#jobs.set(job.key, job)
  }

  remove(job: Job): void {
    this.forget(job)
    this.#jobs.delete(job.key)
  }

  /** A tag under which an answer finds this job. */
  tag(job: Job): string {
    const tag = `direction ${++this.#tags} ${job.key}`
    this.#byTag.set(tag, job)
    return tag
  }

  /** The job that waits for this tag, once. */
  take(tag: string): Job | null {
    const job = this.#byTag.get(tag) ?? null
    this.#byTag.delete(tag)
    return job
  }

  /** Nobody waits for the answer to what this job asked last. */
  forget({ state }: Job): void {
    if (state.at !== 'queued') this.#byTag.delete(state.tag)
  }

  /** Who makes the contract of this pair now. */
  holder(lock: string): Job | null {
    return this.#locks.get(lock) ?? null
  }

  lock(job: Job, lock: string): void {
    job.lock = lock
    this.#locks.set(lock, job)
  }

  /** Gives the pair free; false when the job had none. */
  unlock(job: Job): boolean {
    const { lock } = job
    if (lock === null) return false
    job.lock = null
    if (this.#locks.get(lock) === job) this.#locks.delete(lock)
    return true
  }
}
