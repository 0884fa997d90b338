import { expect, test } from 'vitest'
import { instant } from '#ntm-lib/base/time.ts'
import { Presence } from './presence.ts'

test('after a long absence nothing is asked for a second; a short one changes nothing', () => {
  let now = 1000
  const presence = new Presence({ now: () => instant(now) })
  const at = (ms: number): boolean => {
    now = ms
    return presence.isQuiet(instant(ms))
  }
  try {
    expect([at(1000), at(1250), at(3100)]).toEqual([false, false, false])
    // Its rules lapse three seconds after a refresh that may be a second old: two seconds are enough.
    expect([at(5100), at(5101), at(6099)]).toEqual([true, true, true])
    expect([at(6100), at(6300)]).toEqual([false, false])
  } finally {
    presence.stop()
  }
})
