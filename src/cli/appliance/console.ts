import { consoleScreen } from '#appliance/console-facts.ts'
import { paint, screenLines } from '#appliance/screen.ts'
import { BoxLook, type LookPlaces, lookAtProgram, roleOf } from './console-look.ts'
import { Tty } from './tty.ts'

export type Console = { close(): void }

/**
 * Shows the state of the box on terminals: looks every two seconds, draws where something changed, sleeps in between. The program is asked less often,
 * for its answer is work for it.
 */
export function startConsole(paths: readonly string[], places: LookPlaces): Console {
  const screens = paths.map((path) => ({ tty: new Tty(path), shows: '' }))
  // Until it was asked the first time.
  let status: Awaited<ReturnType<typeof lookAtProgram>> = { starting: true }
  let turn = 0
  const box = new BoxLook(places)
  let last = ''
  let lines: readonly string[] = []
  let asking = false
  const ask = (): void => {
    asking = true
    const heard = (said: typeof status): void => {
      status = said
      asking = false
    }
    lookAtProgram(places, roleOf(places)).then(heard, () => heard(null))
  }
  const look = (): void => {
    // Often while there is something to wait for.
    const every = status === null || isWaiting(status) ? SOON : RARELY
    if (turn++ % every === 0 && !asking) ask()
    const screen = consoleScreen(box.look(status, new Date()))
    const said = JSON.stringify(screen)
    if (said !== last) lines = screenLines(screen)
    last = said
    const picture = lines.join('\n')
    for (const screen of screens) {
      const { tty } = screen
      if (screen.shows === picture && !tty.isFresh) continue
      tty.write(paint(lines, tty.isFresh || screen.shows === ''), (taken) => {
        screen.shows = taken ? picture : ''
      })
    }
  }
  look()
  const timer = setInterval(look, EVERY_MS)
  return {
    close: () => {
      clearInterval(timer)
      for (const { tty } of screens) tty.close()
    },
  }
}

function isWaiting(status: Readonly<Record<string, unknown>>): boolean {
  const coordinator = status['coordinator']
  const state =
    typeof coordinator === 'object' && coordinator !== null && 'state' in coordinator ? coordinator.state : ''
  return status['starting'] === true || (state !== '' && state !== 'registered')
}

const EVERY_MS = 2000
/** Four seconds, ten seconds. */
const SOON = 2
const RARELY = 5
