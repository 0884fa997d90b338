import type { Lab } from '../netns.ts'
import { tapOf } from './plan.ts'

/**
 * Joins a tap to interface `link` of a room, by a switch of the two that learns nothing and keeps nothing back: what a box sends through
 * the tap is what comes out of the link. The room itself stays silent there.
 */
export function plugIn(lab: Lab, room: string, link: string): void {
  const [tap, joint] = [tapOf(link), `j-${link}`.slice(0, 15)]
  lab.sysctl(room, { 'net.ipv6.conf.default.disable_ipv6': 1, [`net.ipv6.conf.${link}.disable_ipv6`]: 1 })
  lab.ip(room, `tuntap add dev ${tap} mode tap`)
  lab.lanSwitch(room, joint, [link, tap])
  // Frames to group addresses of IEEE 802.1 are the box's business, not this switch's.
  const ports = [link, tap].flatMap((port) => [
    `link set ${port} type bridge_slave learning off group_fwd_mask 0xfffd`,
    `link set ${port} up`,
  ])
  lab.ip(room, ...ports)
}
