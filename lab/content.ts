import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT } from './netns.ts'

/** Size of the file for downloads and uploads: 100 MB, as people count megabytes. */
export const BIG_BYTES = 100_000_000

/** SHA-256 of the big file: the AES-128-CTR key stream of an all-zero key and counter, so every machine makes the same. */
export const BIG_SHA256 = 'fe52a660107db982ec4a7e894f611077bd419769022046030edc25e56c11be1b'

/** Path of the big file; made once per clone and kept. It cannot be compressed, so no shortcut can fake its transfer. */
export function bigFile(): string {
  const path = join(ROOT, '.run/cache/100m.bin')
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true })
    const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
    const half = `${path}.${process.pid}`
    writeFileSync(half, stream.update(Buffer.alloc(BIG_BYTES)))
    renameSync(half, path)
  }
  return path
}

/** SHA-256 of a file, as hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
