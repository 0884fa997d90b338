import { DatabaseSync } from 'node:sqlite'
import { IoFault } from './fault.ts'
import { SqliteStore } from './store-sqlite.ts'

/**
 * Gives a coordinator's database the enrolment tokens of another copy of it that it does not know; how many there were. Beside a running
 * coordinator. IoFault when either is none.
 */
export function mergeTokens(database: string, from: string): number {
  // Whatever version made it, it has today's tables from here on.
  new SqliteStore(from).close()
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(database)
    db.exec('PRAGMA busy_timeout = 5000')
    db.prepare('ATTACH DATABASE ? AS other').run(from)
    return Number(db.prepare('INSERT OR IGNORE INTO main.token SELECT * FROM other.token').run().changes)
  } catch (e) {
    throw new IoFault(`merge ${from} into ${database}`, e)
  } finally {
    db?.close()
  }
}
