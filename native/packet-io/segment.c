#include "seal.h"

int segment_packet(const uint8_t *packet, uint32_t len, uint32_t gso, uint32_t most, const slots *out) {
  cutter c;
  if (cut_begin(packet, len, gso, most, &c) != DONE) return -2;
  if (c.count > out->count || c.header + (c.each > c.last ? c.each : c.last) > out->slot_bytes - out->headroom) return -1;
  for (uint32_t i = 0; i < c.count; i++) {
    uint32_t bytes = cut_bytes(&c, i);
    uint8_t *at = out->memory + (size_t)i * out->slot_bytes + out->headroom;
    memcpy(at + c.header, packet + c.header + (size_t)i * c.each, bytes - c.header);
    if (c.header != 0) cut_headers(&c, i, at);
    out->lens[i] = bytes;
  }
  return (int)c.count;
}
