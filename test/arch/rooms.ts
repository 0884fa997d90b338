/**
 * The map of the house: each room, the rooms it may import, and whether it is pure (no clock, no chance, no I/O, no
 * `node:` module; of packages only those named). `rooms.test.ts` holds the source to it.
 */
export const ROOMS = {
  'ntm-lib': { may: [], pure: true, packages: ['dns-packet'] },
  dnsfn: { may: ['ntm-lib'], pure: true, packages: ['dns-packet'] },
  bridge: { may: ['ntm-lib', 'dnsfn'], pure: true, packages: [] },
  tt: { may: ['ntm-lib', 'dnsfn'], pure: true, packages: [] },
  coordinator: { may: ['ntm-lib', 'dnsfn'], pure: true, packages: ['dns-packet'] },
  node: { may: ['ntm-lib', 'dnsfn'], pure: true, packages: [] },
  relay: { may: ['ntm-lib'], pure: true, packages: [] },
  appliance: { may: ['ntm-lib'], pure: true, packages: ['uqr'] },
  io: { may: ['ntm-lib'], pure: false, packages: [] },
  cli: {
    may: ['ntm-lib', 'dnsfn', 'bridge', 'tt', 'coordinator', 'node', 'relay', 'appliance', 'io'],
    pure: false,
    packages: [],
  },
} as const satisfies Readonly<Record<string, { may: readonly string[]; pure: boolean; packages: readonly string[] }>>

/** Inside ntm-lib, lower floors never look up. */
export const FLOORS = ['base', 'addr', 'ports', 'wire', 'packet', 'dns', 'crypto', 'negotiate', 'plane'] as const
