import { copyFileSync, mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Outcome } from '#lab/process.ts'
import { type Board, builtImage, IN_LINE, type InLine } from '#lab/scenes/box-in-line.ts'
import { imageFacts, makeBundle } from '#lab/vm/bundle.ts'

/** The version in the image with another release number in front: `0.1.0+…` becomes `0.2.0+…`. */
export const releaseOf = (version: string, release: string): string => version.replace(/^[\d.]+/, release)

export type TestBundle = { readonly file: string; readonly version: string }

/** An update of the board's image to `release`, good in every respect unless told otherwise. */
export function bundleOf(
  board: Board,
  release: string,
  more: {
    readonly name?: string
    readonly change?: (root: string) => void
    readonly stranger?: boolean
    readonly compatible?: string
  } = {},
): TestBundle {
  const image = builtImage(board)
  const version = releaseOf(imageFacts(image).version, release)
  const { name = 'good', ...rest } = more
  return { file: makeBundle({ image, name: `${board}-${name}-${release}`, version, ...rest }), version }
}

/** A web server in room `lan` that has bundles: where `ntm update URL` fetches them from. */
export class BundleServer {
  readonly #dir: string

  private constructor(dir: string) {
    this.#dir = dir
  }

  static async start({ lab }: Pick<InLine, 'lab'>): Promise<BundleServer> {
    const dir = join(lab.dir, 'bundles')
    mkdirSync(dir, { recursive: true })
    const args = ['-u', '-m', 'http.server', `${PORT}`, '--bind', IN_LINE.lan.ip4, '--directory', dir]
    await lab.spawn('lan', 'bundle-server', 'python3', args).line(/Serving HTTP/)
    return new BundleServer(dir)
  }

  url(bundle: TestBundle): string {
    const name = basename(bundle.file)
    copyFileSync(bundle.file, join(this.#dir, name))
    return `http://${IN_LINE.lan.ip4}:${PORT}/${name}`
  }
}

/** `ntm update` in the box, to its end. Minutes under emulation. */
export const update = ({ shell }: InLine, url: string, ...more: readonly string[]): Promise<Outcome> =>
  shell.run(['ntm', 'update', url, ...more].join(' '), 420_000)

const PORT = 8080
