import { mode } from './mirror-mode.ts'

// Imported before a file of stories: all of them are told again, with packets in a worker.
mode.mirror = true
