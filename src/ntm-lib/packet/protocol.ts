/** Protocol and next-header numbers this house knows. IANA "Assigned Internet Protocol Numbers". */
export const HOP_BY_HOP = 0
export const ICMP4 = 1
export const IGMP = 2
export const TCP = 6
export const UDP = 17
export const ROUTING = 43
export const FRAGMENT = 44
export const ICMP6 = 58
export const NO_NEXT = 59
export const DESTINATION_OPTIONS = 60
