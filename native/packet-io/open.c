#include "join.h"
#include "seal.h"

enum { LANE_BITS = 3, ALONE = 4 };

typedef struct {
  uint32_t key, at, len, flags;
} open_job;

/* Words are read once: the array may be shared with a thread that changes it meanwhile. */
static bool read_job(const open_call *o, const int32_t *w, open_job *job) {
  int32_t copy[OPEN_WORDS];
  memcpy(copy, w, sizeof copy);
  for (int i = 0; i < OPEN_WORDS; i++)
    if (copy[i] < 0) return false;
  *job = (open_job){(uint32_t)copy[0], (uint32_t)copy[1], (uint32_t)copy[2], (uint32_t)copy[3]};
  return job->at <= o->arena_bytes && job->len <= o->arena_bytes - job->at && job->flags <= (LANE_BITS | ALONE);
}

bool open_job_fits(const open_call *o, const int32_t *w) {
  open_job job;
  return read_job(o, w, &job);
}

typedef struct {
  const open_call *o;
  open_result *r;
  join_set set;
} opener;

static uint8_t *slot_at(const slots *s, uint32_t i) {
  return s->memory + (size_t)i * s->slot_bytes + s->headroom;
}

static void on_finished(void *context, const flow *f) {
  const opener *w = context;
  w->o->out.lens[f->slot] = f->total;
  w->o->out.gso[f->slot] = (uint16_t)f->each;
}

/* Where a datagram is opened: behind the flow that it most likely continues, or in the next free slot. */
typedef struct {
  uint8_t *at;
  uint32_t saved_bytes; /* 0: a slot of its own */
  uint8_t saved[CUT_HEADER_MOST];
} place;

/*
 * Opened so that the payload comes to lie right behind the flow's and the headers over its end, which is kept aside. If the
 * guess was right, nothing needs to move.
 */
static void choose_place(const opener *w, const open_job *job, uint32_t bytes, place *to) {
  const flow *f = w->set.last;
  /* Never over the flow's own headers, which the packet is compared with. */
  bool behind = w->o->join && (job->flags & ALONE) == 0 && f != NULL && f->key == job->key && bytes > f->v.payload &&
                f->total >= 2u * f->v.payload && bytes - f->v.payload <= f->each && f->total + bytes - f->v.payload <= f->room;
  to->saved_bytes = behind ? f->v.payload : 0;
  to->at = behind ? f->head + f->total - f->v.payload : slot_at(&w->o->out, w->r->slots);
  memcpy(to->saved, to->at, to->saved_bytes);
}

static void restore(const place *to) {
  memcpy(to->at, to->saved, to->saved_bytes);
}

/* Gives the packet a slot and moves it there if it is not yet. */
static uint8_t *own_slot(opener *w, uint32_t job, uint32_t bytes, const place *to) {
  const slots *out = &w->o->out;
  uint32_t i = w->r->slots++;
  uint8_t *at = slot_at(out, i);
  if (to->at != at) memcpy(at, to->at, bytes);
  out->lens[i] = bytes;
  out->gso[i] = 0;
  int32_t *meta = out->meta + (size_t)i * META_WORDS;
  meta[0] = (int32_t)job;
  meta[1] = 1;
  meta[2] = (int32_t)bytes;
  return at;
}

/* A genuine packet finds its place. */
static void deliver(opener *w, const open_job *job, uint32_t index, uint32_t bytes, const place *to) {
  bool joins = w->o->join && (job->flags & ALONE) == 0;
  uint8_t *payload, *tail;
  flow *f = joins ? join_packet(&w->set, to->at, bytes, job->key, &payload, &tail) : NULL;
  if (f != NULL) {
    int32_t *meta = w->o->out.meta + (size_t)f->slot * META_WORDS;
    meta[1]++;
    meta[2] += (int32_t)bytes;
    if (payload != tail) memcpy(tail, payload, bytes - f->v.payload);
    restore(to);
    return;
  }
  uint32_t slot = w->r->slots, room = w->o->out.slot_bytes - w->o->out.headroom;
  uint8_t *at = own_slot(w, index, bytes, to);
  restore(to);
  if (joins)
    join_start(&w->set, at, bytes, room, job->key, slot);
  else if (w->o->join)
    join_close(&w->set, job->key);
}

static int open_one(key_table *keys, opener *w, const open_job *job, uint32_t index) {
  open_key *k = open_key_at(keys, job->key);
  if (k == NULL) return NO_KEY;
  if (job->len < SEALED_MORE) return SHORT;
  const uint8_t *datagram = w->o->arena + job->at;
  uint32_t lane = job->flags & LANE_BITS, bytes = job->len - SEALED_MORE;
  uint64_t counter = (uint64_t)get16(datagram + 10) << 32 | get32(datagram + 12);
  uint8_t nonce[AEAD_NONCE];
  place to;
  if (!open_key_fresh(k, lane, counter)) return REPLAY;
  if (bytes > w->o->out.slot_bytes - w->o->out.headroom) return TOO_BIG;
  aead *cipher = key_cipher(&k->c, false);
  if (cipher == NULL) return NO_KEY;
  key_nonce(&k->c, lane, counter, nonce);
  choose_place(w, job, bytes, &to);
  bool genuine = aead_open(cipher, nonce, datagram, datagram + AEAD_HEADER, bytes, to.at);
  /* Only a genuine packet may move the window: a forger could push it past the true ones. */
  if (!genuine || !open_key_commit(k, lane, counter)) {
    aead_wipe(to.at, bytes);
    restore(&to);
    return genuine ? NO_KEY : BAD_TAG;
  }
  deliver(w, job, index, bytes, &to);
  return DONE;
}

void open_jobs(key_table *keys, const open_call *o, open_result *result) {
  opener w;
  w.o = o;
  w.r = result;
  memset(result, 0, sizeof *result);
  join_begin(&w.set, o->most, on_finished, &w);
  for (uint32_t i = o->first; i < o->end && result->slots < o->out.count; i++) {
    open_job job;
    if (!read_job(o, o->jobs + (size_t)i * OPEN_WORDS, &job)) break;
    o->status[i] = (int8_t)open_one(keys, &w, &job, i);
    result->jobs++;
  }
  join_end(&w.set);
}
