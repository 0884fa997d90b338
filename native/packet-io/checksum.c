/* The Internet checksum (RFC 1071), for frames whose sender left it to the network card. */
#include "packet_io.h"

#include <string.h>

/* Sum of 16-bit words in memory order; ones-complement addition does not mind the byte order. */
static uint16_t sum(const uint8_t *p, size_t bytes) {
  uint64_t s = 0;
  for (; bytes >= 4; p += 4, bytes -= 4) {
    uint32_t w;
    memcpy(&w, p, 4);
    s += w;
  }
  if (bytes >= 2) {
    uint16_t w;
    memcpy(&w, p, 2);
    s += w;
    p += 2;
    bytes -= 2;
  }
  if (bytes == 1) {
    uint16_t w = 0;
    memcpy(&w, p, 1);
    s += w;
  }
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return (uint16_t)s;
}

bool complete_checksum(uint8_t *frame, size_t bytes, const struct virtio_net_hdr *header) {
  size_t start = header->csum_start, field = start + header->csum_offset;
  if (start >= bytes || field + 2 > bytes) return false;
  /* The field already holds the pseudo-header's sum, so summing over it includes that. */
  uint16_t value = (uint16_t)~sum(frame + start, bytes - start);
  /* Zero would mean "no checksum" in UDP; 0xffff is the same number in ones-complement and right for every protocol. */
  if (value == 0) value = 0xffff;
  memcpy(frame + field, &value, 2);
  return true;
}
