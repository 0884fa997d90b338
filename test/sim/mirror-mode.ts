import { type Millis, millis } from '#ntm-lib/base/time.ts'

/** How the stories of this test file are run: in one thread, or with packets elsewhere. */
export const mode: { mirror: boolean; lag: Millis } = { mirror: false, lag: millis(0) }
