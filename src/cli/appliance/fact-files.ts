import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Facts, factsText, parseFacts } from '#appliance/facts.ts'
import { IoFault } from '#io/fault.ts'

/** What such a file says; nothing when it is not there. */
export function readFacts(file: string): Facts {
  try {
    return parseFacts(readFileSync(file, 'utf8'))
  } catch {
    // Not there yet, or its disk is dying: nothing is known.
    return {}
  }
}

/** Replaces the file whole: a power cut leaves the old one or the new one. IoFault when it cannot be written. */
export function writeFacts(file: string, facts: Facts): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    const made = openSync(`${file}.new`, 'w', 0o644)
    try {
      writeSync(made, factsText(facts))
      fsyncSync(made)
    } finally {
      closeSync(made)
    }
    renameSync(`${file}.new`, file)
    const dir = openSync(dirname(file), 'r')
    try {
      fsyncSync(dir)
    } finally {
      closeSync(dir)
    }
  } catch (cause) {
    throw new IoFault(`write ${file}`, cause)
  }
}
