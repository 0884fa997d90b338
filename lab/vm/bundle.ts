import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { LabError } from '../ip.ts'
import { ROOT } from '../netns.ts'
import { partitionsOf } from './partitions.ts'

export type BundlePlan = {
  /** Image whose slot A is taken. */
  readonly image: string
  /** Name of the result, one per content. */
  readonly name: string
  readonly version: string
  /** RAUC's word for the board; the image's own unless told. */
  readonly compatible?: string
  /** Changes the unpacked root, whose version is written already. Without it and with the version's own content, nothing is packed anew. */
  readonly change?: (root: string) => void
  /** Signed by somebody else than whom the image trusts. */
  readonly stranger?: boolean
}

/**
 * An update of an image: its slot A with another version written into it, packed and signed with the keys the image was built with. Kept beside
 * the image's other test bundles until the image is built anew, for packing takes half a minute.
 */
export function makeBundle(plan: BundlePlan): string {
  const { size, mtimeMs } = statSync(plan.image)
  const kept = join(ROOT, '.run/image-tests', `${size.toString(36)}-${Math.round(mtimeMs).toString(36)}`)
  const file = join(kept, `${plan.name}.raucb`)
  if (existsSync(file)) return file
  dropOlder(dirname(kept))
  mkdirSync(kept, { recursive: true })
  const work = mkdtempSync(join(kept, 'work-'))
  try {
    pack(plan, work, join(work, 'bundle.raucb'))
    renameSync(join(work, 'bundle.raucb'), file)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return file
}

/** What an image says about itself: `/usr/lib/ntm/image.json` of slot A. */
export function imageFacts(image: string): {
  readonly version: string
  readonly compatible: string
  readonly data_version: number
} {
  const dir = mkdtempSync(join(ROOT, '.run', 'facts-'))
  try {
    extract(image, 'rootA', join(dir, 'root.squashfs'))
    return JSON.parse(run('unsquashfs', ['-cat', join(dir, 'root.squashfs'), IMAGE_JSON]))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function pack(plan: BundlePlan, work: string, out: string): void {
  const [root, content] = [join(work, 'root'), join(work, 'content')]
  mkdirSync(content)
  const packed = join(work, 'root.squashfs')
  extract(plan.image, 'rootA', packed)
  extract(plan.image, 'kernelA', join(content, 'kernel.img'))
  run('unsquashfs', ['-no-progress', '-d', root, packed])
  const facts = JSON.parse(readFileSync(join(root, IMAGE_JSON), 'utf8')) as { version: string; compatible: string }
  for (const name of [IMAGE_JSON, 'usr/lib/os-release', 'etc/os-release']) {
    const path = join(root, name)
    if (!existsSync(path)) continue
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(facts.version, plan.version))
  }
  plan.change?.(root)
  // The compressor the image's kernel knows, at its quickest.
  const compressor = /Compression (\w+)/.exec(run('unsquashfs', ['-s', packed]))?.[1] ?? 'gzip'
  const quick = compressor === 'zstd' || compressor === 'gzip' ? ['-Xcompression-level', '1'] : []
  run('mksquashfs', [root, join(content, 'rootfs.img'), '-comp', compressor, ...quick, '-no-progress', '-noappend'])
  const manifest = [
    ...['[update]', `compatible=${plan.compatible ?? facts.compatible}`, `version=${plan.version}`],
    ...['[bundle]', 'format=verity', '[image.rootfs]', 'filename=rootfs.img', '[image.kernel]', 'filename=kernel.img'],
  ]
  writeFileSync(join(content, 'manifest.raucm'), `${manifest.join('\n')}\n`)
  const { cert, key } = plan.stranger === true ? strangersKey(work) : updateKeys()
  run('rauc', ['bundle', `--cert=${cert}`, `--key=${key}`, content, out])
}

/** The keys of the last build (`image/keys.ts`). */
function updateKeys(): { readonly cert: string; readonly key: string } {
  const { NTM_UPDATE_CERT: cert, NTM_UPDATE_KEY: key } = process.env
  if (cert !== undefined && key !== undefined) return { cert, key }
  const dir = join(ROOT, '.run/image/keys')
  const made = { cert: join(dir, 'update.pem'), key: join(dir, 'update.key') }
  if (!existsSync(made.key)) throw new LabError(`no update key in ${dir}: make image`)
  return made
}

function strangersKey(work: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(work, 'stranger.pem'), join(work, 'stranger.key')]
  const subject = ['-subj', '/O=somebody else/CN=update', '-days', '3650']
  run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject])
  return { cert, key }
}

/** Copies a partition out of an image; of a squashfs only what it says it is long (bytes_used in its superblock). */
function extract(image: string, name: string, to: string): void {
  const partition = partitionsOf(image).find((p) => p.name === name)
  if (partition === undefined) throw new LabError(`${image} has no partition ${name}`)
  const { offset, bytes } = partition
  const block = ['bs=1M', 'iflag=skip_bytes,count_bytes', 'conv=sparse', 'status=none']
  run('dd', [`if=${image}`, `of=${to}`, `skip=${offset}`, `count=${bytes}`, ...block])
}

/** Keeps those of the images that were tested last. */
function dropOlder(dir: string): void {
  const names = existsSync(dir) ? readdirSync(dir) : []
  const byAge = names.map((name) => ({ path: join(dir, name), at: statSync(join(dir, name)).mtimeMs }))
  for (const { path } of byAge.sort((a, b) => b.at - a.at).slice(KEPT_IMAGES))
    rmSync(path, { recursive: true, force: true })
}

function run(command: string, args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (done.status !== 0) {
    throw new LabError(`${command} ${args.join(' ')}: ${done.error?.message ?? (done.stderr.trim() || done.stdout)}`)
  }
  return done.stdout
}

const KEPT_IMAGES = 3
const IMAGE_JSON = 'usr/lib/ntm/image.json'
