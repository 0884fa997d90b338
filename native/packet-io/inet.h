/*
 * IPv4, IPv6, TCP and UDP headers, read in place and checked against the bytes there are; the Internet checksum (RFC 1071).
 * Free of Node, so that the fuzzers link it. Sums are of 16-bit words in memory order: ones-complement addition does not mind.
 */
#ifndef INET_H
#define INET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { INET_TCP = 6, INET_UDP = 17 };
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_URG = 0x20, TCP_CWR = 0x80 };

/* All offsets count from the first byte given to `inet_parse`. */
typedef struct {
  uint8_t version;  /* 4 or 6 */
  uint8_t proto;    /* what follows the IP header and the IPv6 extension headers that we know */
  uint16_t l3;      /* IP header */
  uint16_t l4;      /* transport header, or whatever `proto` is */
  uint16_t payload; /* behind the TCP or UDP header; = l4 for another protocol and for fragments */
  uint32_t end;     /* of the packet, by its own length field; bytes behind it are padding */
  bool fragment;    /* IPv4 with an offset or more to come, IPv6 with a Fragment header: no transport header was looked at */
  bool plain;       /* neither IPv4 options nor IPv6 extension headers */
  bool routed;      /* a Routing header with segments left: the checksum covers another address than the one in the header */
} inet_view;

/*
 * False when the bytes are no IPv4 or IPv6 packet, when they contradict themselves or do not hold the headers that they announce.
 * `ethernet`: a link header stands in front, with up to two VLAN tags. A UDP length field is not judged (`inet_udp_honest`).
 */
bool inet_parse(const uint8_t *p, size_t len, bool ethernet, inet_view *out);
/* Whether TCP, or UDP whose length field says what the IP header says; only such packets are cut, joined or completed. */
bool inet_is_whole(const uint8_t *p, const inet_view *v);

/* Adds up `bytes` bytes, an odd last one padded with zero. `p` lies at an even distance from the first byte summed. */
uint64_t inet_sum(const uint8_t *p, size_t bytes, uint64_t sum);
/* Folds to 16 bits, not complemented. */
uint16_t inet_fold(uint64_t sum);
/* Pseudo-header for `bytes` of transport header and payload. */
uint64_t inet_pseudo(const uint8_t *p, const inet_view *v, uint32_t bytes);
/* Offset of the checksum field from the transport header. */
static inline uint16_t inet_checksum_at(const inet_view *v) {
  return v->proto == INET_TCP ? 16 : 6;
}
/* Makes the TCP or UDP checksum of the packet as it stands. The view must be whole (`inet_is_whole`). */
void inet_set_checksum(uint8_t *p, const inet_view *v);
/* Puts in what a virtio-net header with NEEDS_CSUM asks for: the sum of the pseudo-header alone, not complemented. */
void inet_set_partial(uint8_t *p, const inet_view *v);
/* Whether the checksum is right. A UDP checksum of zero is right over IPv4 (none was made) and wrong over IPv6. */
bool inet_checksum_right(const uint8_t *p, const inet_view *v);
/* Makes the checksum of the IPv4 header of `bytes` bytes at `ip`. */
void inet_set_ip4_checksum(uint8_t *ip, size_t bytes);

static inline uint16_t get16(const uint8_t *p) {
  return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void put16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v) {
  put16(p, (uint16_t)(v >> 16));
  put16(p + 2, (uint16_t)v);
}

#endif
