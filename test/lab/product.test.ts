import { expect, test } from 'vitest'
import { withSettings } from '#lab/product.ts'

const EXAMPLE =
  '# comment\nrole = "tt"\nstate = "/var/lib/ntm"\n\n[tt]\nuplink = "eth0"   # why\nallow = []\n\n[log]\nlevel = "info"\n'

test('settings are replaced in their own table and nowhere else', () => {
  const text = withSettings(EXAMPLE, { state: '/tmp/x', 'tt.allow': ['10.0.0.0/8'], 'log.level': 'debug' })
  expect(text).toBe(
    '# comment\nrole = "tt"\nstate = "/tmp/x"\n\n[tt]\nuplink = "eth0"   # why\nallow = ["10.0.0.0/8"]\n\n[log]\nlevel = "debug"\n',
  )
})

test('a setting that the example does not have is an error, not a line nobody reads', () => {
  expect(() => withSettings(EXAMPLE, { 'log.uplink': 'eth1' })).toThrow('the example has no log.uplink')
  expect(() => withSettings(EXAMPLE, { level: 'debug' })).toThrow('the example has no level')
})
