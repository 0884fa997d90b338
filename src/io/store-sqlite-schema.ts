import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { IoFault } from './fault.ts'

/**
 * Each entry brings a database from version i to i + 1; an entry that was ever released is never edited. The version is
 * SQLite's own `user_version`, written in the same transaction as the change.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE member (
     node BLOB PRIMARY KEY, static_key BLOB NOT NULL, name TEXT NOT NULL UNIQUE, roles INTEGER NOT NULL,
     chain BLOB NOT NULL, vip4 INTEGER NOT NULL UNIQUE, vip6 BLOB NOT NULL UNIQUE, revoked INTEGER NOT NULL,
     path_ended INTEGER NOT NULL) STRICT;
   CREATE TABLE token (
     id BLOB PRIMARY KEY, psk BLOB NOT NULL, name TEXT NOT NULL, roles INTEGER NOT NULL, grant_cert BLOB,
     expires INTEGER NOT NULL, used_by BLOB, used_at INTEGER NOT NULL, failures INTEGER NOT NULL) STRICT;
   CREATE TABLE pin (name TEXT PRIMARY KEY, node BLOB NOT NULL) STRICT;
   CREATE TABLE host (
     node BLOB NOT NULL, host BLOB NOT NULL, name TEXT NOT NULL, vip4 INTEGER NOT NULL UNIQUE,
     vip6 BLOB NOT NULL UNIQUE, PRIMARY KEY (node, host)) STRICT;
   CREATE TABLE server (
     node BLOB NOT NULL, name TEXT NOT NULL, vip4 INTEGER NOT NULL UNIQUE, vip6 BLOB NOT NULL UNIQUE,
     last_used INTEGER NOT NULL, quarantined_until INTEGER NOT NULL, PRIMARY KEY (node, name)) STRICT;
   CREATE TABLE contract (
     pair TEXT PRIMARY KEY, initiator BLOB NOT NULL, correspondent BLOB NOT NULL, hash BLOB NOT NULL UNIQUE,
     bytes BLOB NOT NULL, lease_until INTEGER NOT NULL) STRICT;
   CREATE INDEX contract_initiator ON contract (initiator);
   CREATE INDEX contract_correspondent ON contract (correspondent);
   CREATE TABLE number (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;`,
  `CREATE TABLE foreigner (
     node BLOB PRIMARY KEY, zone TEXT NOT NULL, name TEXT NOT NULL, chain BLOB NOT NULL) STRICT;`,
]

/** Marks the file as ours ("NTMC"), so that a path to somebody else's database is refused instead of migrated. */
const APPLICATION_ID = 0x4e544d43

/**
 * Opens and checks a coordinator database, creating or upgrading it. Throws `IoFault` with a sentence for the operator
 * when the file is not a database, is damaged, belongs to another program, or was written by a newer version.
 */
export function openDatabase(path: string, migrations: readonly string[] = MIGRATIONS): DatabaseSync {
  const op = `open coordinator database ${path}`
  let db: DatabaseSync
  try {
    // It holds tokens' keys: only the owner reads it. SQLite gives its side files the mode of the main one.
    closeSync(openSync(path, 'a', 0o600))
    db = new DatabaseSync(path, { timeout: 2000 })
  } catch (cause) {
    throw new IoFault(op, cause)
  }
  try {
    // WAL survives a crash at any point; FULL makes a committed direction survive a power cut too.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;')
    const sound = db.prepare('PRAGMA quick_check').get()?.['quick_check']
    if (sound !== 'ok') throw new IoFault(op, `the file is damaged (${String(sound)}): restore it from a backup`)
    migrate(db, op, migrations)
    return db
  } catch (cause) {
    db.close()
    throw cause instanceof IoFault ? cause : new IoFault(op, cause)
  }
}

function migrate(db: DatabaseSync, op: string, migrations: readonly string[]): void {
  const version = pragma(db, 'user_version')
  const owner = pragma(db, 'application_id')
  const empty = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0
  if (owner !== APPLICATION_ID && !(empty && owner === 0)) throw new IoFault(op, 'the file belongs to another program')
  if (version > migrations.length) {
    throw new IoFault(
      op,
      `written by a newer version (schema ${version}, this program knows ${migrations.length}): upgrade the program`,
    )
  }
  for (const [i, sql] of migrations.entries()) {
    if (i < version) continue
    db.exec('BEGIN IMMEDIATE')
    try {
      db.exec(`${sql} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${i + 1};`)
      db.exec('COMMIT')
    } catch (cause) {
      db.exec('ROLLBACK')
      throw cause
    }
  }
}

const pragma = (db: DatabaseSync, name: 'user_version' | 'application_id'): number =>
  Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
