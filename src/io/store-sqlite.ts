import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { type NodeId, nodeId } from '#ntm-lib/addr/ids.ts'
import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import {
  type ContractRow,
  type CoordinatorStore,
  type ForeignRow,
  type HostRow,
  type Member,
  type NumberKey,
  pairKey,
  type ServerRow,
  type Token,
} from '#ntm-lib/ports/coordinator-store.ts'
import { IoFault } from './fault.ts'
import { WriteAheadLog } from './store-sqlite-log.ts'
import { openDatabase } from './store-sqlite-schema.ts'

/**
 * The coordinator's state in one SQLite file (WAL: a `-wal` and a `-shm` file stand beside it while open). Throws
 * `IoFault` when the file cannot be used; see `openDatabase`.
 */
export class SqliteStore implements CoordinatorStore {
  readonly #db: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()
  readonly #log: WriteAheadLog
  constructor(path: string) {
    this.#db = openDatabase(path)
    this.#log = new WriteAheadLog(this.#db, `${path}-wal`)
  }

  transaction<T>(work: () => T, disk: 'now' | 'soon' = 'now'): T {
    if (this.#db.isTransaction) return work()
    if (disk === 'soon') return this.#log.behind(() => this.transaction(work))
    this.#exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#exec('COMMIT')
      return result
    } catch (cause) {
      // A full disk may have rolled back by itself.
      if (this.#db.isTransaction) this.#exec('ROLLBACK')
      throw cause
    }
  }

  member(node: NodeId): Member | null {
    return this.#one('SELECT * FROM member WHERE node = ?', [node], memberOf)
  }
  memberByName(name: string): Member | null {
    return this.#one('SELECT * FROM member WHERE name = ?', [name], memberOf)
  }
  memberByVip(vip: Ip): Member | null {
    return this.#one(`SELECT * FROM member WHERE ${isIp4(vip) ? 'vip4' : 'vip6'} = ?`, [vip], memberOf)
  }
  members(): Member[] {
    return this.#all('SELECT * FROM member ORDER BY name', [], memberOf)
  }
  putMember(m: Member): void {
    // An upsert on the key alone: a clash of name or address must fail, not replace the other member.
    this.#run(
      `INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node) DO UPDATE SET static_key = excluded.static_key,
       name = excluded.name, roles = excluded.roles, chain = excluded.chain, vip4 = excluded.vip4, vip6 = excluded.vip6,
       revoked = excluded.revoked, path_ended = excluded.path_ended`,
      [
        m.node,
        m.staticKey,
        m.name,
        m.roles,
        packed(m.chain),
        m.pair.vip4,
        m.pair.vip6,
        m.revoked ? 1 : 0,
        whole(m.pathEnded),
      ],
    )
  }

  token(id: Uint8Array): Token | null {
    return this.#one('SELECT * FROM token WHERE id = ?', [id], tokenOf)
  }
  putToken(t: Token): void {
    this.#run('INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', [
      t.id,
      t.psk,
      t.name,
      t.roles,
      t.grant,
      whole(t.expires),
      t.usedBy,
      whole(t.usedAt),
      t.failures,
    ])
  }

  pinnedTo(name: string): NodeId | null {
    return this.#one('SELECT node FROM pin WHERE name = ?', [name], (r) => nodeId(blob(r, 'node')))
  }
  pin(name: string, node: NodeId): void {
    this.#run('INSERT OR REPLACE INTO pin VALUES (?, ?)', [name, node])
  }

  host(node: NodeId, host: Uint8Array): HostRow | null {
    return this.#one('SELECT * FROM host WHERE node = ? AND host = ?', [node, host], hostOf)
  }
  hostByVip(vip: Ip): HostRow | null {
    return this.#one(`SELECT * FROM host WHERE ${isIp4(vip) ? 'vip4' : 'vip6'} = ?`, [vip], hostOf)
  }
  hostsOf(node: NodeId): HostRow[] {
    return this.#all('SELECT * FROM host WHERE node = ? ORDER BY vip4', [node], hostOf)
  }
  putHost(h: HostRow): void {
    this.#run(
      `INSERT INTO host VALUES (?, ?, ?, ?, ?) ON CONFLICT (node, host) DO UPDATE SET name = excluded.name,
       vip4 = excluded.vip4, vip6 = excluded.vip6`,
      [h.node, h.host, h.name, h.pair.vip4, h.pair.vip6],
    )
  }
  highestNodeVip4(): Ip4 | null {
    const sql = 'SELECT max(v) AS v FROM (SELECT max(vip4) AS v FROM member UNION ALL SELECT max(vip4) FROM host)'
    return this.#one(sql, [], (r) => (r['v'] === null ? null : ip4FromWord(number(r, 'v'))))
  }

  servers(): ServerRow[] {
    return this.#all('SELECT * FROM server', [], serverOf)
  }
  putServer(s: ServerRow): void {
    this.#run(
      `INSERT INTO server VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node, name) DO UPDATE SET vip4 = excluded.vip4,
       vip6 = excluded.vip6, last_used = excluded.last_used, quarantined_until = excluded.quarantined_until`,
      [s.node, s.name, s.pair.vip4, s.pair.vip6, whole(s.lastUsed), whole(s.quarantinedUntil)],
    )
  }
  removeServer(node: NodeId, name: string): void {
    this.#run('DELETE FROM server WHERE node = ? AND name = ?', [node, name])
  }

  contract(a: NodeId, b: NodeId): ContractRow | null {
    return this.#one('SELECT * FROM contract WHERE pair = ?', [pairKey(a, b)], contractOf)
  }
  contractByHash(hash: Uint8Array): ContractRow | null {
    return this.#one('SELECT * FROM contract WHERE hash = ?', [hash], contractOf)
  }
  contractsOf(node: NodeId): ContractRow[] {
    return this.#all('SELECT * FROM contract WHERE initiator = ? OR correspondent = ?', [node, node], contractOf)
  }
  contractCount(node: NodeId): number {
    const sql = 'SELECT count(*) AS n FROM contract WHERE initiator = ? OR correspondent = ?'
    return this.#one(sql, [node, node], (r) => number(r, 'n')) ?? 0
  }
  putContract(c: ContractRow): void {
    this.#run('INSERT OR REPLACE INTO contract VALUES (?, ?, ?, ?, ?, ?)', [
      pairKey(c.initiator, c.correspondent),
      c.initiator,
      c.correspondent,
      c.hash,
      c.bytes,
      whole(c.leaseUntil),
    ])
  }
  removeContract(a: NodeId, b: NodeId): void {
    this.#run('DELETE FROM contract WHERE pair = ?', [pairKey(a, b)])
  }

  foreign(node: NodeId): ForeignRow | null {
    return this.#one('SELECT * FROM foreigner WHERE node = ?', [node], foreignOf)
  }
  putForeign(f: ForeignRow): void {
    this.#run('INSERT OR REPLACE INTO foreigner VALUES (?, ?, ?, ?)', [f.node, f.zone, f.name, packed(f.chain)])
  }

  number(key: NumberKey): number {
    return this.#one('SELECT value FROM number WHERE key = ?', [key], (r) => number(r, 'value')) ?? 0
  }
  putNumber(key: NumberKey, value: number): void {
    this.#run('INSERT OR REPLACE INTO number VALUES (?, ?)', [key, value])
  }

  close(): void {
    this.#log.close()
    this.#db.close()
  }

  #one<T>(sql: string, values: readonly SQLInputValue[], read: (row: Row) => T): T | null {
    const row = this.#guard(sql, (s) => s.get(...values))
    return row === undefined ? null : read(row)
  }

  #all<T>(sql: string, values: readonly SQLInputValue[], read: (row: Row) => T): T[] {
    return this.#guard(sql, (s) => s.all(...values)).map(read)
  }

  #run(sql: string, values: readonly SQLInputValue[]): void {
    this.#guard(sql, (s) => s.run(...values))
  }

  #exec(sql: 'BEGIN IMMEDIATE' | 'COMMIT' | 'ROLLBACK'): void {
    this.#run(sql, [])
  }

  #guard<T>(sql: string, use: (statement: StatementSync) => T): T {
    try {
      let statement = this.#prepared.get(sql)
      if (statement === undefined) {
        statement = this.#db.prepare(sql)
        this.#prepared.set(sql, statement)
      }
      return use(statement)
    } catch (cause) {
      throw new IoFault(`coordinator database: ${sql.slice(0, 40)}`, cause)
    }
  }
}

type Row = Record<string, SQLOutputValue>

function memberOf(r: Row): Member {
  return {
    node: nodeId(blob(r, 'node')),
    staticKey: blob(r, 'static_key'),
    name: text(r, 'name'),
    roles: number(r, 'roles'),
    chain: unpacked(blob(r, 'chain')),
    pair: pairOf(r),
    revoked: number(r, 'revoked') === 1,
    pathEnded: wallTime(number(r, 'path_ended')),
  }
}

function tokenOf(r: Row): Token {
  return {
    id: blob(r, 'id'),
    psk: blob(r, 'psk'),
    name: text(r, 'name'),
    roles: number(r, 'roles'),
    grant: r['grant_cert'] === null ? null : blob(r, 'grant_cert'),
    expires: wallTime(number(r, 'expires')),
    usedBy: r['used_by'] === null ? null : nodeId(blob(r, 'used_by')),
    usedAt: wallTime(number(r, 'used_at')),
    failures: number(r, 'failures'),
  }
}

const hostOf = (r: Row): HostRow => ({
  node: nodeId(blob(r, 'node')),
  host: blob(r, 'host'),
  name: text(r, 'name'),
  pair: pairOf(r),
})
const serverOf = (r: Row): ServerRow => ({
  node: nodeId(blob(r, 'node')),
  name: text(r, 'name'),
  pair: pairOf(r),
  lastUsed: wallTime(number(r, 'last_used')),
  quarantinedUntil: wallTime(number(r, 'quarantined_until')),
})
const contractOf = (r: Row): ContractRow => ({
  initiator: nodeId(blob(r, 'initiator')),
  correspondent: nodeId(blob(r, 'correspondent')),
  hash: blob(r, 'hash'),
  bytes: blob(r, 'bytes'),
  leaseUntil: wallTime(number(r, 'lease_until')),
})
const foreignOf = (r: Row): ForeignRow => ({
  node: nodeId(blob(r, 'node')),
  zone: text(r, 'zone'),
  name: text(r, 'name'),
  chain: unpacked(blob(r, 'chain')),
})
const pairOf = (r: Row): VirtualPair => ({
  vip4: ip4FromWord(number(r, 'vip4')),
  vip6: ip6FromBytes(blob(r, 'vip6')),
})

// STRICT tables hold the column types, so a wrong one here is a wrong query of ours.
const blob = (r: Row, column: string): Uint8Array => new Uint8Array(r[column] as Uint8Array)
const text = (r: Row, column: string): string => r[column] as string
const number = (r: Row, column: string): number => r[column] as number
/** STRICT integer columns refuse fractions; a calendar may give them. */
const whole = (t: WallTime): number => Math.trunc(t)

/** Certificates one after the other, each behind its length in two bytes. */
const packed = (chain: readonly Uint8Array[]): Uint8Array =>
  concat(...chain.flatMap((c) => [Uint8Array.of(c.length >> 8, c.length & 255), c]))

function unpacked(bytes: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    out.push(bytes.slice(at + 2, at + 2 + length))
    at += 2 + length
  }
  return out
}
