import { type NodeId, nodeKey, type PathId } from '../addr/ids.ts'
import type { Ip } from '../addr/ip.ts'
import { host, type Prefix } from '../addr/prefix.ts'
import { AddressMap } from './address-map.ts'
import type { Path } from './paths.ts'

/** The tunnel table: paths by Path ID (receive), by inner destination (send), by contract and by peer. */
export class Paths {
  readonly #byKey = new Map<string, Path>()
  readonly #byPeer = new Map<string, Set<Path>>()
  readonly #byId = new Map<number, Path>()
  readonly #byDestination = new AddressMap<Path>()
  /** Single addresses bound by their user: a terminator's pool is shared by many, its servers are not. */
  readonly #bound = new AddressMap<Path>()
  readonly #bindings = new Map<Path, Prefix[]>()

  get size(): number {
    return this.#byKey.size
  }

  all(): IterableIterator<Path> {
    return this.#byKey.values()
  }

  byId(id: number): Path | null {
    return this.#byId.get(id) ?? null
  }

  byKey(key: string): Path | null {
    return this.#byKey.get(key) ?? null
  }

  byPeer(node: NodeId): Path[] {
    return [...(this.#byPeer.get(nodeKey(node)) ?? [])]
  }

  /** Whether one of the ids already names another path here. */
  idsTaken(ids: readonly PathId[]): boolean {
    return ids.some((id) => this.#byId.has(id))
  }

  add(path: Path): void {
    this.#byKey.set(path.key, path)
    const others = this.#byPeer.get(path.peerKey)
    if (others === undefined) this.#byPeer.set(path.peerKey, new Set([path]))
    else others.add(path)
    for (const id of path.contract.pathIds) this.#byId.set(id, path)
  }

  /** From now on inner packets to the peer's prefixes find this path. */
  lead(path: Path): void {
    for (const prefix of path.peerPrefixes) this.#byDestination.add(prefix, path)
  }

  /** `path` takes over what leads to `old`, which from now on only receives. */
  inherit(old: Path, path: Path): void {
    for (const prefix of old.peerPrefixes) this.#byDestination.remove(prefix, old)
    for (const prefix of this.#bindings.get(old) ?? [])
      if (this.#bound.find(prefix.base) === old) this.bind(prefix.base, path)
    this.#bindings.delete(old)
  }

  /** Sends inner packets to one virtual address into this path, whatever its prefixes say. */
  bind(ip: Ip, path: Path): void {
    const prefix = host(ip)
    this.unbind(ip)
    this.#bound.add(prefix, path)
    this.#bindings.set(path, [...(this.#bindings.get(path) ?? []), prefix])
  }

  unbind(ip: Ip): void {
    const path = this.#bound.find(ip)
    if (path !== undefined) this.#bound.remove(host(ip), path)
  }

  remove(path: Path): void {
    this.#byKey.delete(path.key)
    const others = this.#byPeer.get(path.peerKey)
    if (others?.delete(path) === true && others.size === 0) this.#byPeer.delete(path.peerKey)
    for (const id of path.contract.pathIds) if (this.#byId.get(id) === path) this.#byId.delete(id)
    for (const prefix of path.peerPrefixes) this.#byDestination.remove(prefix, path)
    for (const prefix of this.#bindings.get(path) ?? []) this.#bound.remove(prefix, path)
    this.#bindings.delete(path)
  }

  /** The path for an inner IPv4 destination given as an unsigned word. */
  to4(ip: number): Path | null {
    return this.#bound.find4(ip) ?? this.#byDestination.find4(ip) ?? null
  }

  to(ip: Ip): Path | null {
    return this.#bound.find(ip) ?? this.#byDestination.find(ip) ?? null
  }
}
