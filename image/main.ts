import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ImageError } from './fault.ts'
import { buildImage } from './image.ts'
import { boardOf, REPOSITORY, readLayout, WORK } from './layout.ts'

/** `make image BOARD=…`: builds one board's image. Exit code 1 with one message when it cannot be built. */
// Debian keeps half of what is needed where only root looks.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
process.umask(0o022)

const { values, positionals } = options()
if (values.help) {
  process.stdout.write(`Usage: scripts/run-node image/main.ts BOARD [--fast] [--out DIR]
  --fast     less compression: quicker, larger, for trying things out
  --out DIR  where the image goes; dist/BOARD unless told
NTM_IMAGE_WORK=DIR   working files and finished stages; .run/image unless told
NTM_UPDATE_KEY=FILE NTM_UPDATE_CERT=FILE   the key that signs updates, and its certificate (PEM)
NTM_APT_SOURCES=FILE   a sources.list to take Debian's packages from; this machine's own unless told
`)
} else {
  try {
    const layout = readLayout()
    const board = boardOf(layout, positionals[0] ?? '')
    const store = resolve(process.env['NTM_IMAGE_STORE'] ?? join(WORK, 'store'))
    const work = resolve(process.env['NTM_IMAGE_WORK'] ?? WORK)
    const out = resolve(values.out ?? join(REPOSITORY, 'dist', board.name))
    for (const dir of [work, out]) mkdirSync(dir, { recursive: true })
    await buildImage({ layout, board, fast: values.fast, store, work: join(work, `work-${board.name}`), out })
  } catch (fault) {
    // Expected: a machine or a clone that something is wrong with. Everything else is ours and shows where.
    process.stderr.write(
      `image: ${fault instanceof ImageError ? fault.message : fault instanceof Error ? fault.stack : String(fault)}\n`,
    )
    process.exitCode = 1
  }
}

/** The command line. A word nobody knows ends the program with how it is used. */
function options() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        fast: { type: 'boolean', default: false },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (fault) {
    process.stderr.write(`image: ${fault instanceof Error ? fault.message : String(fault)}\n`)
    process.exit(2)
  }
}
