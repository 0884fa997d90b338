import type { UpdateKey } from './keys.ts'
import type { Board, Layout } from './layout.ts'
import type { Progress } from './progress.ts'
import type { Store } from './store.ts'
import type { Version } from './version.ts'

/** One build of one board's image, as every stage sees it. */
export type Build = {
  readonly layout: Layout
  readonly board: Board
  readonly version: Version
  readonly key: UpdateKey
  /** Quick and larger: for trying things out, not for boxes. */
  readonly fast: boolean
  /** This build's own directory, empty at its start. */
  readonly work: string
  /** Where finished stages lie for the next build. */
  readonly store: Store
  readonly progress: Progress
}

/** Debian's part, unpacked. */
export type Debian = {
  /** The root's tree, `usr` merged, without documentation; nothing of ours in it. To be copied, never changed. */
  readonly root: string
  /** Holds one tree for each of the board's `unpack` packages, named like the package, and `kernel`. */
  readonly unpacked: string
  readonly packages: readonly DebianPackage[]
}

/** `use`: in the root, or unpacked beside it (kernel, firmware, boot loader), of which parts are in the image. */
export type DebianPackage = {
  readonly name: string
  readonly version: string
  readonly source: string
  readonly sourceVersion: string
  readonly licences: readonly string[]
  readonly use: 'root' | 'unpacked'
  /** Who built it; Debian unless told. */
  readonly by?: 'Buildroot'
}

/** The kernel for this board, ready to boot. */
export type Kernel = {
  /** What `uname -r` will say. */
  readonly release: string
  /** The image, named as the board's `kernelFile`. */
  readonly image: string
  /** The `lib/modules/RELEASE` tree: whitelisted modules and what they need, with depmod's tables. */
  readonly modules: string
}

/** What a board does in its own way. */
export type BoardWays = {
  /** Commands of this board's stages that the machine must have. */
  readonly tools: readonly string[]
  /** Builds the native addon for the board's processor and names the file. */
  packetAddon(build: Build): Promise<string>
  /** Fills `dir` with what the boot partition holds: boot loader, its scripts. */
  bootFiles(build: Build, debian: Debian, dir: string): Promise<void>
  /** Files that go whole into raw partitions, by partition name (`state`, and a PC's `bios`). May write into `build.work`. */
  rawPartitions(build: Build, debian: Debian): Promise<Readonly<Record<string, string>>>
  /** Last touches on the finished disk image (a PC's boot sector). */
  finish(build: Build, debian: Debian, image: string): Promise<void>
}

/** What an image is, as `image.json` in its root and the manifest beside it say in the same words. */
export const imageFacts = ({ board, version, layout }: Build) => ({
  product: 'ntm',
  board: board.name,
  compatible: board.compatible,
  version: version.text,
  commit: version.commit,
  built: version.epoch,
  data_version: layout.dataVersion,
})
