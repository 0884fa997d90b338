import { cpSync, linkSync, mkdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BoardWays, Build, Debian } from './build.ts'
import { makeFat } from './fat.ts'
import { ImageError } from './fault.ts'
import { type Board, type Partition, partitionOf, partitionUuid, REPOSITORY } from './layout.ts'
import { run } from './run.ts'

/** What a slot consists of. */
export type SlotFiles = { readonly root: string; readonly kernel: string }

/** Puts the whole disk together, `to`, by the layout: boot partition, raw partitions, the same slot twice, an empty data partition. */
export async function makeDisk(
  build: Build,
  ways: BoardWays,
  debian: Debian,
  slot: SlotFiles,
  to: string,
): Promise<void> {
  const dir = join(build.work, 'disk')
  mkdirSync(dir)
  const files: Record<string, string> = { ...(await ways.rawPartitions(build, debian)) }
  files['boot'] = await bootPartition(build, ways, debian)
  files['data'] = await dataPartition(build)
  for (const name of build.layout.slots) {
    files[`root${name}`] = slot.root
    files[`kernel${name}`] = slot.kernel
  }
  for (const { name } of build.board.partitions) {
    const file = files[name]
    if (file === undefined) throw new ImageError(`${build.board.name}: nobody fills the partition ${name}`)
    linkSync(file, join(dir, name))
  }
  writeFileSync(join(build.work, 'genimage.cfg'), genimageConfig(build.board))
  const [out, scratch] = [join(build.work, 'genimage'), join(build.work, 'genimage.tmp')]
  const empty = join(build.work, 'empty')
  mkdirSync(empty)
  const paths = ['--inputpath', dir, '--outputpath', out, '--tmppath', scratch, '--rootpath', empty]
  await run('genimage', ['--config', join(build.work, 'genimage.cfg'), ...paths])
  const image = join(out, 'disk.img')
  await ways.finish(build, debian, image)
  renameSync(image, to)
  for (const gone of [out, scratch, empty, dir]) rmSync(gone, { recursive: true, force: true })
}

/** genimage's description of a board's disk: every partition at its place from the layout, filled from a file of its name. */
export function genimageConfig(board: Board): string {
  let at = 1
  const partitions = board.partitions.map((partition) => {
    const text = genimagePartition(board, partition, at)
    at += partition.mib
    return text
  })
  const disk = `  hdimage {\n    partition-table-type = "${board.table}"\n    disk-uuid = "${board.diskUuid}"\n  }\n`
  return `image disk.img {\n${disk}${partitions.join('')}}\n`
}

function genimagePartition(board: Board, { name, type, mib, mbr }: Partition, at: number): string {
  const settings = [
    `partition-type-uuid = "${TYPES[type]}"`,
    `partition-uuid = "${partitionUuid(board, name)}"`,
    `offset = ${at}M`,
    `size = ${mib}M`,
    `image = "${name}"`,
    ...(mbr === undefined ? [] : [`partition-type = ${mbr}`]),
    ...(type === 'esp' ? ['bootable = true'] : []),
  ]
  return `  partition ${name} {\n${settings.map((line) => `    ${line}\n`).join('')}  }\n`
}

async function bootPartition(build: Build, ways: BoardWays, debian: Debian): Promise<string> {
  const [dir, to] = [join(build.work, 'boot'), join(build.work, 'boot.vfat')]
  mkdirSync(dir)
  // What a person finds who puts the disk into a computer.
  cpSync(join(REPOSITORY, 'board/common/boot'), dir, { recursive: true })
  await ways.bootFiles(build, debian, dir)
  const { mib } = partitionOf(build.board, 'boot')
  // FAT32: firmware of both boards reads it for certain.
  await makeFat(dir, to, {
    mib,
    label: build.layout.labels.boot,
    serial: '4e544d42',
    epoch: build.version.epoch,
    bits: 32,
  })
  return to
}

async function dataPartition(build: Build): Promise<string> {
  const [dir, to] = [join(build.work, 'data'), join(build.work, 'data.ext4')]
  mkdirSync(dir)
  writeFileSync(join(dir, 'version'), `${build.layout.dataVersion}\n`)
  await run('touch', ['-d', `@${build.version.epoch}`, join(dir, 'version'), dir])
  writeFileSync(to, '')
  truncateSync(to, partitionOf(build.board, 'data').mib * 1024 * 1024)
  const uuid = `${build.board.diskUuid.slice(0, -4)}da7a`
  const fixed = ['-U', uuid, '-E', `hash_seed=${uuid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0`]
  const env = { E2FSPROGS_FAKE_TIME: String(build.version.epoch), SOURCE_DATE_EPOCH: String(build.version.epoch) }
  await run('mke2fs', ['-q', '-t', 'ext4', '-L', build.layout.labels.data, '-d', dir, ...fixed, to], { env })
  // It copies everything from the file that was: also the time nobody can set there, and who builds.
  const commands = join(build.work, 'debugfs')
  const time = `@${build.version.epoch}`
  const fields = Object.entries({ ctime: time, atime: time, uid: '0', gid: '0' })
  writeFileSync(commands, fields.map(([field, value]) => `set_inode_field /version ${field} ${value}\n`).join(''))
  await run('debugfs', ['-w', '-f', commands, to], { env })
  return to
}

/** Refuses a file that does not fit its partition, before genimage cuts or complains. */
export function mustFit(board: Board, name: string, file: string): void {
  const { mib } = partitionOf(board, name)
  if (statSync(file).size > mib * 1024 * 1024)
    throw new ImageError(`${file} does not fit the ${mib} MiB of partition ${name}`)
}

const TYPES = {
  'bios-boot': '21686148-6449-6E6F-744E-656564454649',
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  linux: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
} as const
