import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { REPOSITORY } from './layout.ts'
import { choose, loadOrder, parseDependencies, parseWhitelist } from './modules.ts'

const NEEDS = parseDependencies(`kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz: kernel/drivers/ptp/ptp.ko.xz
kernel/drivers/ptp/ptp.ko.xz:
kernel/drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko: kernel/net/tls/tls.ko
kernel/net/tls/tls.ko:
kernel/fs/ext4x/other.ko:
`)

test('a directory takes what is below, what that needs, and nothing whose name only begins alike', () => {
  const chosen = choose(
    NEEDS,
    parseWhitelist('fs/ext4 # the data\n\ndrivers/net/ethernet\n! drivers/net/ethernet/mellanox\n'),
  )
  expect(chosen).toEqual([
    'kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz',
    'kernel/drivers/ptp/ptp.ko.xz',
    'kernel/fs/ext4/ext4.ko',
    'kernel/fs/jbd2/jbd2.ko',
    'kernel/fs/mbcache.ko',
    'kernel/lib/crc16.ko',
  ])
})

test('a single module is named without its suffix, and is there although its directory is left out when it is needed', () => {
  const whitelist = parseWhitelist('fs/mbcache\n!net\ndrivers/net/ethernet/mellanox')
  expect(choose(NEEDS, whitelist)).toContain('kernel/net/tls/tls.ko')
  expect(choose(NEEDS, parseWhitelist('fs/mbcache'))).toEqual(['kernel/fs/mbcache.ko'])
})

test('what a module needs is loaded before it, once; unknown names are of another board', () => {
  expect(loadOrder(NEEDS, ['ext4', 'mbcache', 'bcm2835-wdt', 'e1000e'])).toEqual([
    'kernel/lib/crc16.ko',
    'kernel/fs/mbcache.ko',
    'kernel/fs/jbd2/jbd2.ko',
    'kernel/fs/ext4/ext4.ko',
    'kernel/drivers/ptp/ptp.ko.xz',
    'kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz',
  ])
})

test('the list of the image keeps bridged frames away from iptables', () => {
  const { leave, take } = parseWhitelist(readFileSync(join(REPOSITORY, 'board/common/modules'), 'utf8'))
  expect(leave).toContain('net/bridge/br_netfilter')
  expect(take).toContain('net/bridge')
})
