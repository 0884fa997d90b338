#include "join.h"

void join_begin(join_set *s, uint32_t most, void (*finished)(void *, const flow *), void *context) {
  s->most = most < 0xffff ? most : 0xffff;
  s->finished = finished;
  s->context = context;
  s->last = NULL;
  s->count = s->stamp = 0;
}

/* Makes the headers say the whole, and forgets the flow; the last one takes its place. */
static void close_flow(join_set *s, flow *f) {
  if (f->count > 1) {
    uint32_t total = f->total;
    if (f->v.version == 4) {
      put16(f->head + 2, (uint16_t)total);
      inet_set_ip4_checksum(f->head, f->v.l4);
    } else {
      put16(f->head + 4, (uint16_t)(total - 40));
    }
    if (f->v.proto == INET_UDP) put16(f->head + f->v.l4 + 4, (uint16_t)(total - f->v.l4));
    s->finished(s->context, f);
  }
  uint32_t at = (uint32_t)(f - s->flows), end = --s->count;
  if (s->last == f)
    s->last = NULL;
  else if (s->last == &s->flows[end])
    s->last = f;
  s->flows[at] = s->flows[end];
  s->hashes[at] = s->hashes[end];
}

void join_end(join_set *s) {
  while (s->count > 0) close_flow(s, &s->flows[s->count - 1]);
}

void join_close(join_set *s, uint32_t key) {
  /* From the end: closing one moves the last into its place. */
  for (uint32_t i = s->count; i-- > 0;)
    if (s->flows[i].key == key) close_flow(s, &s->flows[i]);
}

static uint32_t word(const uint8_t *p) {
  uint32_t w;
  memcpy(&w, p, 4);
  return w;
}

static uint32_t hash_of(const uint8_t *p, const inet_view *v) {
  uint32_t h = word(p + v->l4) ^ v->proto;
  const uint8_t *a = p + (v->version == 4 ? 12 : 8), *end = p + (v->version == 4 ? 20 : 40);
  for (; a < end; a += 4) h = (h ^ word(a)) * 0x9e3779b1u;
  return h;
}

static bool same_flow(const flow *f, const uint8_t *p, const inet_view *v) {
  const uint8_t *q = f->head;
  if (f->v.version != v->version || f->v.proto != v->proto) return false;
  if (word(q + f->v.l4) != word(p + v->l4)) return false;
  return v->version == 4 ? memcmp(q + 12, p + 12, 8) == 0 : memcmp(q + 8, p + 8, 32) == 0;
}

static flow *find(join_set *s, const uint8_t *p, const inet_view *v, uint32_t hash) {
  for (uint32_t i = 0; i < s->count; i++)
    if (s->hashes[i] == hash && same_flow(&s->flows[i], p, v)) return &s->flows[i];
  return NULL;
}

/* A packet whose flow can be told from its ports. */
static bool has_flow(const uint8_t *p, uint32_t len, inet_view *v) {
  return inet_parse(p, len, false, v) && v->end == len && v->plain && inet_is_whole(p, v);
}

/* What can be part of a super-packet at all: payload, and nothing in the headers that concerns this one packet alone. */
static bool can_join(const uint8_t *p, const inet_view *v) {
  if (v->end == v->payload) return false;
  if (v->proto == INET_TCP) return (p[v->l4 + 13] & ~TCP_PSH) == TCP_ACK;
  /* Without a checksum it would get one when it is cut again. */
  return get16(p + v->l4 + 6) != 0;
}

static bool same_headers(const uint8_t *a, const uint8_t *b, const inet_view *v) {
  if (v->version == 4) {
    /* Version, header length, type of service; flags; time to live. */
    if (a[0] != b[0] || a[1] != b[1] || a[6] != b[6] || a[7] != b[7] || a[8] != b[8]) return false;
  } else if (word(a) != word(b) || a[7] != b[7]) {
    /* Version, traffic class, flow label; hop limit. */
    return false;
  }
  if (v->proto == INET_UDP) return true;
  const uint8_t *s = a + v->l4, *t = b + v->l4;
  /* Acknowledgement; data offset; window; urgent pointer; options. */
  return word(s + 8) == word(t + 8) && s[12] == t[12] && s[14] == t[14] && s[15] == t[15] && s[18] == t[18] && s[19] == t[19] &&
         memcmp(s + 20, t + 20, v->payload - v->l4 - 20u) == 0;
}

/* IPv4 identification counts up by one, or stays the same where fragmenting is forbidden; decided by the second packet. */
static bool id_continues(const flow *f, const uint8_t *p, bool *fixed) {
  if (f->v.version == 6) return true;
  uint16_t id = get16(p + 4), step = (uint16_t)(id - f->last_id);
  if (f->count > 1) return step == (f->id_fixed ? 0 : 1);
  *fixed = step == 0;
  return step == 1 || (step == 0 && (p[6] & 0x40) != 0);
}

static bool continues(const flow *f, const uint8_t *p, const inet_view *v, uint32_t key, bool *fixed) {
  uint32_t data = v->end - v->payload;
  if (f->ended || f->key != key || v->payload != f->v.payload || data > f->each || f->total + data > f->room) return false;
  if (v->proto == INET_TCP ? get32(p + v->l4 + 4) != f->next_seq : f->count >= JOIN_UDP_MOST) return false;
  return same_headers(f->head, p, v) && id_continues(f, p, fixed) && inet_checksum_right(p, v);
}

flow *join_packet(join_set *s, uint8_t *p, uint32_t len, uint32_t key, uint8_t **payload, uint8_t **tail) {
  inet_view v;
  if (!has_flow(p, len, &v)) {
    join_pass(s, p, len, key);
    return NULL;
  }
  flow *f = find(s, p, &v, hash_of(p, &v));
  if (f == NULL) return NULL;
  bool fixed = f->id_fixed;
  if (!can_join(p, &v) || !continues(f, p, &v, key, &fixed)) {
    close_flow(s, f);
    return NULL;
  }
  uint32_t data = v.end - v.payload;
  *payload = p + v.payload;
  *tail = f->head + f->total;
  f->total += data;
  f->next_seq += data;
  f->count++;
  f->id_fixed = fixed;
  if (v.version == 4) f->last_id = get16(p + 4);
  f->stamp = ++s->stamp;
  if (v.proto == INET_TCP && (p[v.l4 + 13] & TCP_PSH) != 0) {
    f->head[v.l4 + 13] |= TCP_PSH;
    f->ended = true;
  }
  if (data < f->each) f->ended = true;
  s->last = f->ended ? NULL : f;
  return f;
}

static flow *oldest(join_set *s) {
  flow *f = &s->flows[0];
  for (uint32_t i = 1; i < s->count; i++)
    if (s->flows[i].stamp < f->stamp) f = &s->flows[i];
  return f;
}

void join_start(join_set *s, uint8_t *p, uint32_t len, uint32_t room, uint32_t key, uint32_t slot) {
  inet_view v;
  s->last = NULL;
  if (!has_flow(p, len, &v) || !can_join(p, &v)) return;
  /* A push, or a wrong checksum, which must reach the receiver as it is: nothing follows. */
  if ((v.proto == INET_TCP && (p[v.l4 + 13] & TCP_PSH) != 0) || !inet_checksum_right(p, &v)) return;
  if (s->count == JOIN_FLOWS) close_flow(s, oldest(s));
  flow *f = &s->flows[s->count];
  uint32_t data = v.end - v.payload;
  s->hashes[s->count++] = hash_of(p, &v);
  *f = (flow){.head = p,
              .total = len,
              .room = room < s->most ? room : s->most,
              .slot = slot,
              .key = key,
              .each = data,
              .count = 1,
              .next_seq = v.proto == INET_TCP ? get32(p + v.l4 + 4) + data : 0,
              .stamp = ++s->stamp,
              .last_id = v.version == 4 ? get16(p + 4) : 0,
              .v = v};
  s->last = f;
}

void join_pass(join_set *s, const uint8_t *p, uint32_t len, uint32_t key) {
  inet_view v;
  if (has_flow(p, len, &v)) {
    flow *f = find(s, p, &v, hash_of(p, &v));
    if (f != NULL) close_flow(s, f);
  } else if (inet_parse(p, len, false, &v) && (v.proto == INET_TCP || v.proto == INET_UDP || v.fragment)) {
    /* It may belong to any of them. */
    join_close(s, key);
  }
}
