/** Tells the builder's user what has been done, and when: `[ 12.3 s] squashfs 71 MB`. */
export class Progress {
  private readonly begun = performance.now()

  say(what: string): void {
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(1).padStart(5)
    process.stdout.write(`[${seconds} s] ${what}\n`)
  }
}

/** A size as people say it: `71 MB`. */
export function megabytes(bytes: number): string {
  const mb = bytes / 1e6
  return `${mb < 10 ? mb.toFixed(1) : Math.round(mb)} MB`
}
