import {
  chownSync,
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { IoFault } from './fault.ts'

/** Who may use a file; unless told, who runs us. */
export type Owner = { readonly uid: number; readonly gid: number }

/** Writes a whole file and waits for the disk. Nobody may look at it before: its name is not what it is found by, or its directory is not yet. */
export function writeDurably(file: string, data: string | Uint8Array, mode: number, owner: Owner | null = null): void {
  try {
    const fd = openSync(file, 'w', mode)
    try {
      // A mask, or a file that was there, must not decide who reads a secret.
      setMode(fd, mode)
      const bytes = typeof data === 'string' ? Buffer.from(data) : data
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    if (owner !== null && process.getuid?.() === 0) chownSync(file, owner.uid, owner.gid)
  } catch (e) {
    throw new IoFault(`write ${file}`, e)
  }
}

/** As `writeDurably`, for a file that others may read meanwhile: a power cut leaves the old or the new one, whole. */
export function replaceDurably(
  file: string,
  data: string | Uint8Array,
  mode = 0o644,
  owner: Owner | null = null,
): void {
  const fresh = `${file}.new`
  writeDurably(fresh, data, mode, owner)
  renameDurably(fresh, file)
}

/** The symbolic link `file` leads to `target` from now on; what was there of another kind gives way. */
export function linkDurably(file: string, target: string): void {
  const fresh = `${file}.new`
  try {
    rmSync(fresh, { recursive: true, force: true })
    symlinkSync(target, fresh)
  } catch (e) {
    throw new IoFault(`write ${fresh}`, e)
  }
  renameDurably(fresh, file)
}

export function renameDurably(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (e) {
    throw new IoFault(`rename ${from} to ${to}`, e)
  }
  syncDirectory(dirname(to))
  if (dirname(from) !== dirname(to)) syncDirectory(dirname(from))
}

/** Overwrites what an open file holds. A flash chip may keep a copy; whoever only reads the file system finds nothing. */
export function wipe(fd: number): void {
  const { size } = fstatSync(fd)
  const nothing = Buffer.alloc(Math.min(size, 1 << 20))
  for (let at = 0; at < size; ) at += writeSync(fd, nothing, 0, Math.min(nothing.length, size - at), at)
  fsyncSync(fd)
  ftruncateSync(fd, 0)
  fsyncSync(fd)
}

/** Replaces a file that holds a secret by one without it, then wipes the old content. */
export function replaceSecret(file: string, data: string): void {
  try {
    const old = openSync(file, 'r+')
    try {
      replaceDurably(file, data)
      wipe(old)
    } finally {
      closeSync(old)
    }
  } catch (e) {
    if (e instanceof IoFault) throw e
    throw new IoFault(`rewrite ${file}`, e)
  }
}

/** Wipes a file and takes it away. */
export function removeSecret(file: string): void {
  try {
    const fd = openSync(file, 'r+')
    try {
      wipe(fd)
    } finally {
      closeSync(fd)
    }
    rmSync(file)
    syncDirectory(dirname(file))
  } catch (e) {
    throw new IoFault(`remove ${file}`, e)
  }
}

/** Waits until the names in a directory are on the disk. */
export function syncDirectory(dir: string): void {
  try {
    const fd = openSync(dir, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (e) {
    throw new IoFault(`sync ${dir}`, e)
  }
}

/** FAT has no modes to set, and says so: who mounted it decides. */
function setMode(fd: number, mode: number): void {
  try {
    fchmodSync(fd, mode)
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && e.code === 'EPERM')) throw e
  }
}
