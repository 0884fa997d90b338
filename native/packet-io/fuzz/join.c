/*
 * A peer that sends anything, over a network that does anything: opened with joining, opened without, and joined in place. The three
 * must tell the same packets; cutting what was joined must give them back.
 */
#include "fuzz.h"

enum { PACKETS = 24, MOST = 512, SLOT = 4096, HEAD = 3, DATAGRAM = MOST + SEALED_MORE };

typedef struct {
  uint32_t seq[4];
  uint16_t id;
} world;

/* A packet of one of four flows that mostly continues it, then changed here and there; or bytes as they come. */
static uint32_t make_packet(input *in, world *w, uint8_t *p) {
  uint32_t how = take(in, 1), n = how & 3, flow = how >> 2 & 3, data = take(in, 1);
  memset(p, 0, MOST);
  if (n == 3) {
    for (uint32_t i = 0; i < data; i++) p[i] = (uint8_t)take(in, 1);
    return data;
  }
  bool four = (flow & 1) == 0, tcp = flow < 2;
  uint32_t l4 = four ? 20 : 40, header = l4 + (tcp ? 20 : 8), len = header + data;
  if (four) {
    p[0] = 0x45, p[6] = 0x40, p[8] = 64, p[9] = tcp ? INET_TCP : INET_UDP;
    put16(p + 2, (uint16_t)len);
    put16(p + 4, w->id++);
  } else {
    p[0] = 0x60, p[6] = tcp ? INET_TCP : INET_UDP, p[7] = 64;
    put16(p + 4, (uint16_t)(len - 40));
  }
  put32(p + l4, 0x10001 + flow);
  if (tcp) {
    p[l4 + 12] = 0x50, p[l4 + 13] = TCP_ACK;
    put32(p + l4 + 4, w->seq[flow]);
    w->seq[flow] += data;
  } else {
    put16(p + l4 + 4, (uint16_t)(data + 8));
  }
  for (uint32_t i = header; i < len; i++) p[i] = (uint8_t)(i * 7 + data);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = take(in, 1) % (header + 8);
    if (at < len) p[at] = (uint8_t)take(in, 1);
  }
  inet_view v;
  if ((how & 0x10) == 0 && inet_parse(p, len, false, &v) && v.end == len && inet_is_whole(p, &v)) {
    if (v.version == 4) inet_set_ip4_checksum(p, v.l4);
    inet_set_checksum(p, &v);
  }
  return len;
}

typedef struct {
  slots s;
  uint32_t lens[PACKETS], count;
  uint16_t gso[PACKETS];
  int32_t meta[PACKETS * META_WORDS];
  int8_t status[PACKETS];
} opened;

static void open_all(opened *o, const int32_t *jobs, uint32_t count, const uint8_t *arena, uint32_t bytes, bool join, uint32_t most) {
  key_table keys;
  open_result r;
  o->s = (slots){block((size_t)PACKETS * SLOT), SLOT, HEAD, PACKETS, o->lens, o->gso, o->meta};
  open_call call = {jobs, 0, count, arena, bytes, o->s, join, most, o->status};
  MUST(keys_init(&keys, 1, 1) && keys_set_open(&keys, 0, 1, FUZZ_KEY, FUZZ_NONCE, 64));
  open_jobs(&keys, &call, &r);
  MUST(r.jobs == count && r.slots <= count);
  for (uint32_t i = 0; i < PACKETS; i++)
    for (int k = 0; k < HEAD; k++) MUST(o->s.memory[(size_t)i * SLOT + k] == 0xa5);
  o->count = r.slots;
  keys_free(&keys);
}

/* The packets that a list stands for, in order; without identification and checksum of IPv4 headers, which cutting gives anew. */
typedef struct {
  uint8_t bytes[PACKETS][MOST];
  uint32_t lens[PACKETS], count;
} told;

static void tell(told *t, const uint8_t *p, uint32_t len, uint32_t gso) {
  uint8_t *memory = block(PACKETS * SLOT);
  uint32_t lens[PACKETS];
  slots out = {.memory = memory, .slot_bytes = SLOT, .headroom = 0, .count = PACKETS, .lens = lens};
  int n = segment_packet(p, len, gso, SLOT, &out);
  MUST(n > 0 && (gso == 0) == (n == 1));
  for (int i = 0; i < n; i++) {
    MUST(t->count < PACKETS && lens[i] <= MOST);
    uint8_t *to = t->bytes[t->count];
    memcpy(to, memory + (size_t)i * SLOT, lens[i]);
    if (lens[i] >= 20 && to[0] == 0x45) memset(to + 4, 0, 2), memset(to + 10, 0, 2);
    t->lens[t->count++] = lens[i];
  }
  free(memory);
}

/* Names the flow: the first bytes of a transport header behind the addresses, where there is one. */
static uint32_t flow_of(const uint8_t *p, uint32_t len) {
  inet_view v;
  if (!inet_parse(p, len, false, &v) || !v.plain || !inet_is_whole(p, &v) || v.end != len) return 0;
  uint32_t h = v.version * 31u + v.proto;
  for (uint32_t i = v.version == 4 ? 12 : 8; i < (v.version == 4 ? 20u : 40u); i++) h = h * 33 + p[i];
  for (uint32_t i = 0; i < 4; i++) h = h * 33 + p[v.l4 + i];
  return h | 1;
}

/* The same packets, and those of one flow in the same order. */
static void must_agree(const told *a, const told *b) {
  bool used[PACKETS] = {false};
  MUST(a->count == b->count);
  for (uint32_t i = 0; i < a->count; i++) {
    uint32_t flow = flow_of(a->bytes[i], a->lens[i]), k = 0;
    for (; k < b->count; k++) {
      bool same = a->lens[i] == b->lens[k] && memcmp(a->bytes[i], b->bytes[k], a->lens[i]) == 0;
      if (!used[k] && same) break;
      /* Something of the same flow that was not told yet stands in front. */
      MUST(used[k] || flow == 0 || flow_of(b->bytes[k], b->lens[k]) != flow);
    }
    MUST(k < b->count);
    used[k] = true;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static told apart, joined, coalesced;
  input in = {data, size};
  world w = {{0, 0xffffff80, 0, 0}, 0xfffe};
  uint32_t most = 100 + take(&in, 1) * 16, count = 0, at = 0;
  uint8_t *arena = block(PACKETS * DATAGRAM), headers[AEAD_HEADER] = {0};
  int32_t jobs[PACKETS * OPEN_WORDS];
  key_table keys;
  MUST(keys_init(&keys, 1, 1) && keys_set_seal(&keys, 0, 1, FUZZ_KEY, FUZZ_NONCE, 1000, 1 << 20));
  while (in.left > 0 && count < PACKETS) {
    uint8_t packet[MOST], fate = (uint8_t)take(&in, 1);
    uint32_t len = make_packet(&in, &w, packet);
    int32_t job[SEAL_WORDS] = {0, 0, 0, (int32_t)len, 0, 0, MOST, 0}, run[RUN_WORDS];
    int8_t status;
    seal_result r;
    seal_call s = {job, 0, 1, headers, 1, packet, MOST, arena + at, DATAGRAM, run, 1, &status};
    seal_jobs(&keys, &s, &r);
    MUST(status == DONE && r.bytes == len + SEALED_MORE);
    if ((fate & 15) == 1) arena[at + take(&in, 2) % r.bytes] ^= 0x40;
    uint32_t cut = (fate & 15) == 2 && r.bytes > 0 ? take(&in, 1) % r.bytes : 0;
    int32_t words[OPEN_WORDS] = {(fate & 15) == 3 ? 1 : 0, (int32_t)at, (int32_t)(r.bytes - cut), (fate & 15) == 4 ? 4 : 0};
    /* Sometimes what came before comes again. */
    if ((fate & 15) == 5 && count > 0) memcpy(words, jobs + (take(&in, 1) % count) * OPEN_WORDS, sizeof words);
    /* Sometimes it overtakes. */
    uint32_t place = (fate & 15) == 6 && count > 0 ? count - 1 : count;
    if (place < count) memcpy(jobs + count * OPEN_WORDS, jobs + place * OPEN_WORDS, sizeof words);
    memcpy(jobs + place * OPEN_WORDS, words, sizeof words);
    count++;
    at += r.bytes;
  }
  keys_free(&keys);
  /* The same bytes in a block that ends where they end. */
  uint8_t *wire = copy_of(arena, at);
  free(arena);

  static opened a, j;
  open_all(&a, jobs, count, wire, at, false, most);
  open_all(&j, jobs, count, wire, at, true, most);
  MUST(memcmp(a.status, j.status, count) == 0);
  apart.count = joined.count = coalesced.count = 0;
  for (uint32_t i = 0; i < a.count; i++) tell(&apart, a.s.memory + (size_t)i * SLOT + HEAD, a.lens[i], 0);
  uint32_t told_jobs = 0;
  for (uint32_t i = 0; i < j.count; i++) {
    MUST(j.gso[i] == 0 || j.lens[i] <= most);
    uint32_t before = joined.count;
    tell(&joined, j.s.memory + (size_t)i * SLOT + HEAD, j.lens[i], j.gso[i]);
    MUST(joined.count - before == (uint32_t)j.meta[i * META_WORDS + 1]);
    told_jobs += (uint32_t)j.meta[i * META_WORDS + 1];
  }
  MUST(told_jobs == a.count);
  must_agree(&apart, &joined);

  int32_t sends[PACKETS * SEND_WORDS];
  for (uint32_t i = 0; i < a.count; i++) {
    sends[i * SEND_WORDS] = (int32_t)(i * SLOT + HEAD);
    sends[i * SEND_WORDS + 1] = (int32_t)a.lens[i];
    sends[i * SEND_WORDS + 2] = 0;
  }
  uint32_t kept = coalesce_jobs(a.s.memory, PACKETS * SLOT, sends, a.count, SLOT - HEAD, most);
  for (uint32_t i = 0; i < kept; i++) {
    const int32_t *s = sends + i * SEND_WORDS;
    tell(&coalesced, a.s.memory + s[0], (uint32_t)s[1], (uint32_t)s[2]);
  }
  must_agree(&apart, &coalesced);
  free(wire);
  free(a.s.memory);
  free(j.s.memory);
  return 0;
}
