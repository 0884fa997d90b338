import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { describeLab } from '#test/support/lab.ts'
import { isReceivedAt } from './link-tables.ts'

const at = (text: string): boolean => {
  const ip = parseIp(text)
  return ip !== null && isReceivedAt(ip)
}

describeLab('what the kernel says of addresses', () => {
  test('it takes in what comes for ours and for nobody else, in both families', () => {
    expect(['127.0.0.1', '::1', '192.0.2.77', '2001:db8::77'].map(at)).toEqual([true, true, false, false])
  })
})
