/* Cutting a TCP or UDP super-packet into complete packets, and joining such packets into one. Free of Node. */
#ifndef CUT_H
#define CUT_H

#include "inet.h"

/* Results of jobs; `STATUS` in engine.ts. */
enum { DONE = 0, NO_KEY = -1, USED_UP = -2, TOO_BIG = -3, MALFORMED = -4, SHORT = -5, REPLAY = -6, BAD_TAG = -7 };

enum { CSUM_MISSING = 0xffff, CUT_HEADER_MOST = 256 };

/* How one packet is cut: its headers as they were, and what each segment changes. */
typedef struct {
  inet_view v;
  uint32_t header; /* bytes of IP and transport header */
  uint32_t each;   /* payload of every segment but the last */
  uint32_t last;   /* payload of the last */
  uint32_t count;
  uint64_t pseudo_each, pseudo_last;
  uint8_t headers[CUT_HEADER_MOST];
} cutter;

/*
 * Reads an IP packet of `len` bytes whose `gso` is as in index.d.ts, to be cut into packets of at most `most` bytes. One with gso 0
 * is not looked at: it goes as it is (`count` 1, `header` 0). DONE, TOO_BIG or MALFORMED.
 */
int cut_begin(const uint8_t *packet, uint32_t len, uint32_t gso, uint32_t most, cutter *out);
/* Bytes of segment `i`. */
static inline uint32_t cut_bytes(const cutter *c, uint32_t i) {
  return c->header + (i + 1 < c->count ? c->each : c->last);
}
/* Writes the headers of segment `i` at `at`; its payload already stands behind them. Not for `header` 0. */
void cut_headers(const cutter *c, uint32_t i, uint8_t *at);

#endif
