#include "seal.h"

enum { WHOLE_IP_FLAGS = 0x40 | 0x0c };

typedef struct {
  uint32_t key, row, at, len, gso, flags, most;
} seal_job;

/* Words are read once: the array may be shared with a thread that changes it meanwhile. */
static bool read_job(const seal_call *s, const int32_t *w, seal_job *job) {
  int32_t copy[SEAL_WORDS];
  memcpy(copy, w, sizeof copy);
  for (int i = 0; i < SEAL_WORDS; i++)
    if (copy[i] < 0) return false;
  *job = (seal_job){(uint32_t)copy[0], (uint32_t)copy[1], (uint32_t)copy[2], (uint32_t)copy[3],
                    (uint32_t)copy[4], (uint32_t)copy[5], (uint32_t)copy[6]};
  return job->row < s->rows && job->at <= s->arena_bytes && job->len <= s->arena_bytes - job->at && job->gso <= 0xffff &&
         job->flags <= 0xff;
}

bool seal_job_fits(const seal_call *s, const int32_t *w) {
  seal_job job;
  return read_job(s, w, &job);
}

/* Datagrams written so far, and the run that may still grow. */
typedef struct {
  seal_result *r;
  int32_t *run; /* NULL: the last datagram was shorter than its run's, or there is none */
} writer;

static void count_datagram(writer *w, const seal_call *s, uint32_t row, uint32_t bytes) {
  if (w->run == NULL || (uint32_t)w->run[0] != row || bytes > (uint32_t)w->run[3]) {
    w->run = s->runs + (size_t)w->r->runs++ * RUN_WORDS;
    w->run[0] = (int32_t)row;
    w->run[1] = (int32_t)w->r->bytes;
    w->run[2] = 0;
    w->run[3] = (int32_t)bytes;
  }
  w->run[2] += (int32_t)bytes;
  if (bytes < (uint32_t)w->run[3]) w->run = NULL;
  w->r->bytes += bytes;
  w->r->datagrams++;
}

/* One datagram behind the last. The counter is taken before sealing starts: a seal that fails has used it up. */
static bool seal_one(writer *w, const seal_call *s, const seal_job *job, seal_key *k, const uint8_t *inner, uint32_t bytes) {
  uint32_t lane = job->flags >> 4 & (LANES - 1);
  uint64_t counter = k->next[lane]++;
  uint8_t *datagram = s->out + w->r->bytes, nonce[AEAD_NONCE];
  k->packets++;
  k->bytes += bytes;
  memcpy(datagram, s->headers + (size_t)job->row * AEAD_HEADER, AEAD_HEADER);
  datagram[1] = (uint8_t)job->flags;
  put16(datagram + 10, (uint16_t)(counter >> 32));
  put32(datagram + 12, (uint32_t)counter);
  key_nonce(&k->c, lane, counter, nonce);
  if (!aead_seal(k->c.cipher, nonce, datagram, inner, bytes, datagram + AEAD_HEADER)) return false;
  count_datagram(w, s, job->row, bytes + SEALED_MORE);
  return true;
}

/* What the job needs of `out`. */
static uint64_t out_bytes(const cutter *c) {
  return (uint64_t)c->count * (c->header + SEALED_MORE) + (uint64_t)(c->count - 1) * c->each + c->last;
}

static int seal_packet(writer *w, const seal_call *s, const seal_job *job, seal_key *k, const cutter *c) {
  uint8_t *packet = s->arena + job->at;
  if (c->header == 0) return seal_one(w, s, job, k, packet, c->last) ? DONE : NO_KEY;
  for (uint32_t i = 0; i < c->count; i++) {
    /* The headers go in front of the segment's payload, over the end of a payload that has been sealed. */
    uint8_t *at = packet + (size_t)i * c->each;
    cut_headers(c, i, at);
    if (!seal_one(w, s, job, k, at, cut_bytes(c, i))) return NO_KEY;
  }
  return DONE;
}

/* False: the job needs more room than is left; it was not begun. */
static bool seal_job_at(key_table *keys, writer *w, const seal_call *s, const seal_job *job, int8_t *status) {
  seal_key *k = seal_key_at(keys, job->key);
  bool is_packet = (job->flags & WHOLE_IP_FLAGS) == 0;
  cutter c;
  int result = DONE;
  if (k == NULL || key_cipher(&k->c, true) == NULL) {
    result = NO_KEY;
  } else if (!is_packet && (job->gso != 0 || job->len > job->most)) {
    /* Frames and halves are no packets that could be cut. */
    result = job->gso != 0 ? MALFORMED : TOO_BIG;
  } else {
    result = cut_begin(s->arena + job->at, job->len, job->gso, job->most, &c);
  }
  if (result == DONE) {
    uint64_t needed = out_bytes(&c), sealed = needed - (uint64_t)c.count * SEALED_MORE;
    if (needed > s->out_bytes)
      result = TOO_BIG;
    else if (!seal_key_allows(k, c.count, sealed))
      result = USED_UP;
    else if (needed > s->out_bytes - w->r->bytes || w->r->runs == s->run_room)
      return false;
    else
      result = seal_packet(w, s, job, k, &c);
  }
  *status = (int8_t)result;
  return true;
}

void seal_jobs(key_table *keys, const seal_call *s, seal_result *result) {
  writer w = {.r = result};
  memset(result, 0, sizeof *result);
  for (uint32_t i = s->first; i < s->end; i++) {
    seal_job job;
    if (!read_job(s, s->jobs + (size_t)i * SEAL_WORDS, &job)) return;
    if (!seal_job_at(keys, &w, s, &job, s->status + i)) return;
    result->jobs++;
  }
}
