#include "cut.h"

/* Flags that make no sense on more than one segment. */
static bool cuttable(const uint8_t *p, const inet_view *v) {
  return v->proto == INET_UDP || (p[v->l4 + 13] & (TCP_SYN | TCP_RST)) == 0;
}

int cut_begin(const uint8_t *p, uint32_t len, uint32_t gso, uint32_t most, cutter *c) {
  if (gso == 0 && len <= most) {
    c->header = 0;
    c->each = c->last = len;
    c->count = 1;
    return DONE;
  }
  if (gso == 0) return TOO_BIG;
  inet_view *v = &c->v;
  if (!inet_parse(p, len, false, v) || v->end != len || !inet_is_whole(p, v) || v->payload > CUT_HEADER_MOST) return MALFORMED;
  uint32_t header = v->payload, data = len - header, each = gso == CSUM_MISSING || gso > data ? data : gso;
  if (each < data && !cuttable(p, v)) return MALFORMED;
  /* Where one datagram takes less than the packet's own segments, only TCP may be cut anew. */
  if (header + each > most) {
    if (gso == CSUM_MISSING || v->proto != INET_TCP || header >= most || !cuttable(p, v)) return TOO_BIG;
    each = most - header;
  }
  c->header = header;
  c->count = data <= each ? 1 : (data + each - 1) / each;
  c->each = each;
  c->last = data - (c->count - 1) * each;
  memcpy(c->headers, p, header);
  memset(c->headers + v->l4 + inet_checksum_at(v), 0, 2);
  uint32_t transport = header - v->l4;
  c->pseudo_each = inet_pseudo(c->headers, v, transport + c->each);
  c->pseudo_last = inet_pseudo(c->headers, v, transport + c->last);
  return DONE;
}

void cut_headers(const cutter *c, uint32_t i, uint8_t *at) {
  const inet_view *v = &c->v;
  bool is_last = i + 1 == c->count;
  uint32_t bytes = cut_bytes(c, i), transport = bytes - v->l4;
  uint8_t *l4 = at + v->l4;
  memcpy(at, c->headers, c->header);
  if (v->version == 4) {
    put16(at + 2, (uint16_t)bytes);
    put16(at + 4, (uint16_t)(get16(c->headers + 4) + i));
    inet_set_ip4_checksum(at, v->l4);
  } else {
    put16(at + 4, (uint16_t)(bytes - 40));
  }
  if (v->proto == INET_TCP) {
    put32(l4 + 4, get32(c->headers + v->l4 + 4) + i * c->each);
    if (!is_last) l4[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (i > 0) l4[13] &= (uint8_t)~TCP_CWR;
  } else {
    put16(l4 + 4, (uint16_t)transport);
  }
  uint16_t sum = (uint16_t)~inet_fold(inet_sum(l4, transport, is_last ? c->pseudo_last : c->pseudo_each));
  /* Zero means "none was made" in UDP; 0xffff is the same number. */
  if (sum == 0 && v->proto == INET_UDP) sum = 0xffff;
  memcpy(l4 + inet_checksum_at(v), &sum, 2);
}
