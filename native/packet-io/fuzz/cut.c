/*
 * Any bytes with any gso: cut into slots, and sealed. What comes out must be right by itself, the same on both ways, and the
 * payload of what went in.
 */
#include "fuzz.h"

enum { SLOTS = 64, SLOT = 2048, HEAD = 7 };

static void check_segment(const uint8_t *p, uint32_t len, uint32_t most) {
  inet_view v;
  MUST(len <= most);
  MUST(inet_parse(p, len, false, &v) && v.end == len && inet_is_whole(p, &v) && inet_checksum_right(p, &v));
  MUST(v.version == 6 || inet_fold(inet_sum(p, v.l4, 0)) == 0xffff);
}

/* Seals the packet, opens it without joining, and compares with what cutting gave. */
static void check_sealed(const uint8_t *packet, uint32_t len, uint32_t gso, uint32_t most, int cut, const slots *made, input *in) {
  key_table sealing, opening;
  uint32_t out_bytes = take(in, 1) == 0 ? take(in, 2) : 1 << 17, run_room = 1 + take(in, 1) % 3;
  uint8_t *arena = copy_of(packet, len), *out = block(out_bytes), *headers = block(AEAD_HEADER);
  int32_t *runs = (int32_t *)block(sizeof(int32_t) * RUN_WORDS * run_room);
  int32_t job[SEAL_WORDS] = {2, 0, 0, (int32_t)len, (int32_t)gso, 0x30, (int32_t)most, 0};
  int8_t *status = (int8_t *)block(1);
  seal_call s = {job, 0, 1, headers, 1, arena, len, out, out_bytes, runs, run_room, status};
  seal_result r;
  MUST(keys_init(&sealing, 0, 0) && keys_init(&opening, 0, 0));
  MUST(keys_set_seal(&sealing, 2, 1, FUZZ_KEY, FUZZ_NONCE, 1 << 20, 1 << 30));
  MUST(keys_set_open(&opening, 0, 1, FUZZ_KEY, FUZZ_NONCE, 65536));
  MUST(seal_job_fits(&s, job));
  seal_jobs(&sealing, &s, &r);
  MUST(r.jobs == 1);
  if (cut == -2) MUST(*status == MALFORMED || *status == TOO_BIG);
  MUST(*status == DONE || r.datagrams == 0);
  if (*status == DONE && cut >= 0) MUST(r.datagrams == (uint32_t)cut);
  uint8_t *slot = block(SLOT);
  uint32_t n = 0, covered = 0;
  for (uint32_t k = 0; k < r.runs; k++) {
    const int32_t *run = runs + k * RUN_WORDS;
    MUST(run[0] == 0 && (uint32_t)run[1] == covered && run[3] > 0);
    for (uint32_t at = 0; at < (uint32_t)run[2]; at += (uint32_t)run[3], n++) {
      uint32_t bytes = (uint32_t)run[2] - at < (uint32_t)run[3] ? (uint32_t)run[2] - at : (uint32_t)run[3];
      if (cut < 0 || bytes - SEALED_MORE > SLOT) continue;
      int32_t open[OPEN_WORDS] = {0, run[1] + (int32_t)at, (int32_t)bytes, 3}, meta[META_WORDS];
      uint32_t got;
      uint16_t got_gso;
      int8_t opened;
      open_call o = {open, 0, 1, out, out_bytes, {slot, SLOT, 0, 1, &got, &got_gso, meta}, false, 65535, &opened};
      open_result or;
      open_jobs(&opening, &o, &or);
      MUST(opened == DONE && or.slots == 1 && got == made->lens[n]);
      MUST(memcmp(slot, made->memory + (size_t)n * SLOT + HEAD, got) == 0);
    }
    covered += (uint32_t)run[2];
  }
  MUST(n == r.datagrams && covered == r.bytes);
  keys_free(&sealing);
  keys_free(&opening);
  free(arena), free(out), free(headers), free(runs), free(status), free(slot);
}

/* Makes the lengths right, which chance seldom does, so that what lies behind them is reached as well. */
static void mend(uint8_t *p, uint32_t len, uint32_t how) {
  inet_view v;
  if (len < 40) return;
  if ((p[0] >> 4) == 4) put16(p + 2, (uint16_t)len);
  if ((p[0] >> 4) == 6) put16(p + 4, (uint16_t)(len - 40));
  if (inet_parse(p, len, false, &v) && v.proto == INET_UDP && !v.fragment && (how & 2)) put16(p + v.l4 + 4, (uint16_t)(len - v.l4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  uint32_t gso = take(&in, 2), most = take(&in, 2), count = 1 + take(&in, 1) % SLOTS, lens[SLOTS];
  input options = in;
  take(&in, 4);
  uint32_t how = take(&in, 1);
  uint8_t *packet = copy_of(in.p, in.left);
  uint32_t len = (uint32_t)in.left;
  if (how & 1) mend(packet, len, how);
  slots out = {.memory = block((size_t)count * SLOT), .slot_bytes = SLOT, .headroom = HEAD, .count = count, .lens = lens};
  int n = segment_packet(packet, len, gso, most, &out);
  MUST(n >= -2 && n <= (int)count);
  inet_view v;
  if (n > 0 && gso != 0) {
    MUST(inet_parse(packet, len, false, &v));
    uint32_t at = v.payload;
    for (int i = 0; i < n; i++) {
      const uint8_t *p = out.memory + (size_t)i * SLOT + HEAD;
      check_segment(p, lens[i], most);
      MUST(memcmp(p + v.payload, packet + at, lens[i] - v.payload) == 0);
      at += lens[i] - v.payload;
    }
    MUST(at == len);
  }
  check_sealed(packet, len, gso, most, n, &out, &options);
  free(packet);
  free(out.memory);
  return 0;
}
