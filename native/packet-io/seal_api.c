/* Sealing, opening, joining and cutting for JavaScript: arguments are checked here, before anything happens. */
#include "packet_io.h"
#include "seal.h"

#include <stdlib.h>
#include <string.h>

/* Marks our objects, so that nothing else is taken for keys. Random, never changes. */
static const napi_type_tag KEYS_TAG = {0x51b0a7f3d2e84c96ull, 0x83e6c01d7f9ab245ull};
static const uint32_t ARENA_MOST = 1u << 30;

static void finalize_keys(napi_env env, void *memory, void *hint) {
  (void)env;
  (void)hint;
  keys_free(memory);
  free(memory);
}

static key_table *get_keys(napi_env env, napi_value v) {
  napi_valuetype type;
  bool ours = false;
  void *t = NULL;
  if (napi_typeof(env, v, &type) != napi_ok || type != napi_object ||
      napi_check_object_type_tag(env, v, &KEYS_TAG, &ours) != napi_ok || !ours || napi_unwrap(env, v, &t) != napi_ok) {
    throw_type(env, "keys: what newKeys returned");
    return NULL;
  }
  return t;
}

static napi_value no_memory(napi_env env) {
  napi_throw_error(env, "ERR_PACKET_IO_MEMORY", "no memory for keys");
  return NULL;
}

/* newKeys(seals, opens) */
napi_value js_new_keys(napi_env env, napi_callback_info info) {
  napi_value a[2], object;
  uint32_t seals, opens;
  if (!get_args(env, info, 2, a) || !get_u32(env, a[0], "seals: at most 2^20", KEYS_MOST, &seals) ||
      !get_u32(env, a[1], "opens: at most 2^20", KEYS_MOST, &opens))
    return NULL;
  key_table *t = malloc(sizeof *t);
  if (t == NULL) return no_memory(env);
  if (keys_init(t, seals, opens) && napi_create_object(env, &object) == napi_ok &&
      napi_type_tag_object(env, object, &KEYS_TAG) == napi_ok && napi_wrap(env, object, t, finalize_keys, NULL, NULL) == napi_ok)
    return object;
  keys_free(t);
  free(t);
  return no_memory(env);
}

typedef struct {
  key_table *table;
  uint32_t index, suite;
  const uint8_t *key, *nonce;
} key_args;

/* keys, index, suite, key, nonce, starting at `a`. */
static bool get_key_args(napi_env env, const napi_value *a, key_args *out) {
  void *key, *nonce;
  size_t key_bytes, nonce_bytes;
  if ((out->table = get_keys(env, a[0])) == NULL || !get_u32(env, a[1], "index: below 2^20", KEYS_MOST - 1, &out->index) ||
      !get_u32(env, a[2], "suite: 0, 1 or 2", AEAD_SUITES - 1, &out->suite) ||
      !get_array(env, a[3], "key: Uint8Array", napi_uint8_array, &key, &key_bytes) ||
      !get_array(env, a[4], "nonce: Uint8Array", napi_uint8_array, &nonce, &nonce_bytes))
    return false;
  if (key_bytes != aead_key_bytes(out->suite)) return throw_range(env, "key: 16 bytes for AES-128, 32 for the others");
  if (nonce_bytes != AEAD_NONCE) return throw_range(env, "nonce: 12 bytes");
  out->key = key;
  out->nonce = nonce;
  return true;
}

static bool get_limit(napi_env env, napi_value v, const char *what, uint64_t most, uint64_t *out) {
  double d;
  if (napi_get_value_double(env, v, &d) != napi_ok) return throw_type(env, what);
  if (!(d >= 0 && d <= (double)most) || d != (double)(uint64_t)d) return throw_range(env, what);
  *out = (uint64_t)d;
  return true;
}

/* setSeal(keys, index, suite, key, nonce, mostPackets, mostBytes) */
napi_value js_set_seal(napi_env env, napi_callback_info info) {
  napi_value a[7];
  key_args k;
  uint64_t packets, bytes;
  if (!get_args(env, info, 7, a) || !get_key_args(env, a, &k) ||
      !get_limit(env, a[5], "mostPackets: at most 2^48", COUNTER_END, &packets) ||
      !get_limit(env, a[6], "mostBytes: at most 2^53", (uint64_t)1 << 53, &bytes))
    return NULL;
  return keys_set_seal(k.table, k.index, k.suite, k.key, k.nonce, packets, bytes) ? NULL : no_memory(env);
}

/* setOpen(keys, index, suite, key, nonce, window) */
napi_value js_set_open(napi_env env, napi_callback_info info) {
  napi_value a[6];
  key_args k;
  uint32_t window;
  if (!get_args(env, info, 6, a) || !get_key_args(env, a, &k) ||
      !get_u32(env, a[5], "window: 32..65536, a multiple of 32", WINDOW_MOST, &window))
    return NULL;
  if (window < 32 || window % 32 != 0) {
    throw_range(env, "window: 32..65536, a multiple of 32");
    return NULL;
  }
  return keys_set_open(k.table, k.index, k.suite, k.key, k.nonce, window) ? NULL : no_memory(env);
}

static key_table *get_key_index(napi_env env, napi_callback_info info, uint32_t *index) {
  napi_value a[2];
  key_table *t;
  if (!get_args(env, info, 2, a) || (t = get_keys(env, a[0])) == NULL ||
      !get_u32(env, a[1], "index: below 2^20", KEYS_MOST - 1, index))
    return NULL;
  return t;
}

/* clearSeal(keys, index) */
napi_value js_clear_seal(napi_env env, napi_callback_info info) {
  uint32_t index;
  key_table *t = get_key_index(env, info, &index);
  if (t != NULL) keys_clear_seal(t, index);
  return NULL;
}

/* clearOpen(keys, index) */
napi_value js_clear_open(napi_env env, napi_callback_info info) {
  uint32_t index;
  key_table *t = get_key_index(env, info, &index);
  if (t != NULL) keys_clear_open(t, index);
  return NULL;
}

static key_table *get_key_lane(napi_env env, napi_callback_info info, uint32_t *index, uint32_t *lane) {
  napi_value a[3];
  key_table *t;
  if (!get_args(env, info, 3, a) || (t = get_keys(env, a[0])) == NULL ||
      !get_u32(env, a[1], "index: below 2^20", KEYS_MOST - 1, index) || !get_u32(env, a[2], "lane: 0..3", LANES - 1, lane))
    return NULL;
  return t;
}

/* nextCounter(keys, index, lane) */
napi_value js_next_counter(napi_env env, napi_callback_info info) {
  uint32_t index, lane;
  key_table *t = get_key_lane(env, info, &index, &lane);
  if (t == NULL) return NULL;
  const seal_key *k = seal_key_at(t, index);
  return number(env, k == NULL ? -1 : (double)k->next[lane]);
}

/* newestCounter(keys, index, lane) */
napi_value js_newest_counter(napi_env env, napi_callback_info info) {
  uint32_t index, lane;
  key_table *t = get_key_lane(env, info, &index, &lane);
  if (t == NULL) return NULL;
  const open_key *k = open_key_at(t, index);
  return number(env, k == NULL || k->lanes[lane] == NULL ? -1 : (double)k->lanes[lane]->newest);
}

/* A Uint8Array of at most 2^30 bytes. */
static bool get_bytes(napi_env env, napi_value v, const char *what, uint8_t **data, uint32_t *bytes) {
  void *memory;
  size_t length;
  if (!get_array(env, v, what, napi_uint8_array, &memory, &length)) return false;
  *data = memory;
  *bytes = (uint32_t)length;
  return length <= ARENA_MOST || throw_range(env, "an arena has at most 2^30 bytes");
}

/* Words of `each` per entry; how many whole entries there are. */
static bool get_words(napi_env env, napi_value v, const char *what, uint32_t each, int32_t **words, size_t *entries) {
  void *data;
  size_t length;
  if (!get_array(env, v, what, napi_int32_array, &data, &length)) return false;
  *words = data;
  *entries = length / each;
  return true;
}

/* At most 2^30: more jobs than any call has. */
static bool get_status(napi_env env, napi_value v, int8_t **status, uint32_t *room) {
  void *data;
  size_t length;
  if (!get_array(env, v, "status: Int8Array", napi_int8_array, &data, &length)) return false;
  *status = data;
  *room = at_most(length, ARENA_MOST);
  return true;
}

/* first, count (the end of the range of jobs), starting at `a`; a job needs its words and its status. */
static bool get_range(napi_env env, const napi_value *a, size_t jobs, uint32_t status_room, uint32_t *first, uint32_t *end) {
  if (!get_u32(env, a[1], "count: at most the jobs there are", at_most(jobs, ARENA_MOST), end)) return false;
  if (*end > status_room) return throw_range(env, "status: one per job");
  return get_u32(env, a[0], "first: at most count", *end, first);
}

static bool apart(napi_env env, const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
  return a_bytes == 0 || b_bytes == 0 || a + a_bytes <= b || b + b_bytes <= a || throw_range(env, "arena and out overlap");
}

typedef struct {
  key_table *table;
  seal_call s;
  size_t job_room;
  uint32_t status_room;
  int32_t *done;
} seal_memory;

/* keys, jobs, starting at `a`; headers, arena, out, runs, status, done, starting at `more` */
static bool get_seal(napi_env env, const napi_value *a, const napi_value *more, seal_memory *m) {
  seal_call *s = &m->s;
  int32_t *jobs;
  size_t run_room, results;
  uint8_t *headers;
  uint32_t header_bytes;
  memset(m, 0, sizeof *m);
  if ((m->table = get_keys(env, a[0])) == NULL || !get_words(env, a[1], "jobs: Int32Array", SEAL_WORDS, &jobs, &m->job_room) ||
      !get_bytes(env, more[0], "headers: Uint8Array", &headers, &header_bytes) ||
      !get_bytes(env, more[1], "arena: Uint8Array", &s->arena, &s->arena_bytes) ||
      !get_bytes(env, more[2], "out: Uint8Array", &s->out, &s->out_bytes) ||
      !get_words(env, more[3], "runs: Int32Array", RUN_WORDS, &s->runs, &run_room) ||
      !get_status(env, more[4], &s->status, &m->status_room) ||
      !get_words(env, more[5], "done: Int32Array", 1, &m->done, &results) ||
      !apart(env, s->arena, s->arena_bytes, s->out, s->out_bytes))
    return false;
  s->jobs = jobs;
  s->headers = headers;
  s->rows = header_bytes / AEAD_HEADER;
  s->run_room = at_most(run_room, ARENA_MOST);
  if (results < 4) return throw_range(env, "done: four words");
  return run_room > 0 || throw_range(env, "runs: room for one at least");
}

/* `range`: first, count. */
static napi_value seal(napi_env env, const seal_memory *m, const napi_value *range) {
  seal_call s = m->s;
  seal_result r;
  if (!get_range(env, range, m->job_room, m->status_room, &s.first, &s.end)) return NULL;
  for (uint32_t i = s.first; i < s.end; i++)
    if (!seal_job_fits(&s, s.jobs + (size_t)i * SEAL_WORDS)) {
      throw_range(env, "jobs: a row without header, or a packet outside the arena");
      return NULL;
    }
  seal_jobs(m->table, &s, &r);
  m->done[0] = (int32_t)r.jobs;
  m->done[1] = (int32_t)r.runs;
  m->done[2] = (int32_t)r.bytes;
  m->done[3] = (int32_t)r.datagrams;
  return number(env, r.jobs);
}

/* seal(keys, jobs, first, count, headers, arena, out, runs, status, done) */
napi_value js_seal(napi_env env, napi_callback_info info) {
  napi_value a[10];
  seal_memory m;
  return get_args(env, info, 10, a) && get_seal(env, a, a + 4, &m) ? seal(env, &m, a + 2) : NULL;
}

static napi_value bound_seal(napi_env env, napi_callback_info info) {
  napi_value range[2];
  const seal_memory *m = get_bound(env, info, 2, range);
  return m != NULL ? seal(env, m, range) : NULL;
}

/* bindSeal(keys, jobs, headers, arena, out, runs, status, done) => (first, count) */
napi_value js_bind_seal(napi_env env, napi_callback_info info) {
  napi_value a[8];
  seal_memory m;
  return get_args(env, info, 8, a) && get_seal(env, a, a + 2, &m) ? bind_call(env, a, 8, bound_seal, &m, sizeof m) : NULL;
}

/* out, outSlotBytes, headroom, lens, starting at `a`. */
static bool get_slots(napi_env env, const napi_value *a, slots *out) {
  batch b;
  if (!get_batch(env, a, &b)) return false;
  memset(out, 0, sizeof *out);
  out->memory = b.arena;
  out->slot_bytes = b.slot_bytes;
  out->headroom = b.headroom;
  out->count = b.slots;
  out->lens = b.lens;
  return true;
}

typedef struct {
  key_table *table;
  open_call o;
  size_t job_room;
  uint32_t status_room;
  int32_t *done;
} open_memory;

/* keys, jobs, starting at `a`; arena, out, outSlotBytes, headroom, lens, gso, meta, join, mostBytes, status, done, starting at `more` */
static bool get_open(napi_env env, const napi_value *a, const napi_value *more, open_memory *m) {
  open_call *o = &m->o;
  int32_t *jobs;
  size_t gso_room, meta_room, results;
  uint8_t *arena;
  void *gso;
  memset(m, 0, sizeof *m);
  if ((m->table = get_keys(env, a[0])) == NULL || !get_words(env, a[1], "jobs: Int32Array", OPEN_WORDS, &jobs, &m->job_room) ||
      !get_bytes(env, more[0], "arena: Uint8Array", &arena, &o->arena_bytes) || !get_slots(env, more + 1, &o->out) ||
      !get_array(env, more[5], "gso: Uint16Array", napi_uint16_array, &gso, &gso_room) ||
      !get_words(env, more[6], "meta: Int32Array", META_WORDS, &o->out.meta, &meta_room) ||
      !get_bool(env, more[7], "join: boolean", &o->join) || !get_u32(env, more[8], "mostBytes: at most 65535", 65535, &o->most) ||
      !get_status(env, more[9], &o->status, &m->status_room) ||
      !get_words(env, more[10], "done: Int32Array", 1, &m->done, &results) ||
      !apart(env, arena, o->arena_bytes, o->out.memory, o->out.slot_bytes * (size_t)o->out.count))
    return false;
  o->jobs = jobs;
  o->arena = arena;
  o->out.gso = gso;
  return (gso_room >= o->out.count && meta_room >= o->out.count && results >= 2) ||
         throw_range(env, "gso: one per slot; meta: three words per slot; done: two words");
}

/* `range`: first, count. */
static napi_value open_range(napi_env env, const open_memory *m, const napi_value *range) {
  open_call o = m->o;
  open_result r;
  if (!get_range(env, range, m->job_room, m->status_room, &o.first, &o.end)) return NULL;
  for (uint32_t i = o.first; i < o.end; i++)
    if (!open_job_fits(&o, o.jobs + (size_t)i * OPEN_WORDS)) {
      throw_range(env, "jobs: a datagram outside the arena, or unknown flags");
      return NULL;
    }
  open_jobs(m->table, &o, &r);
  m->done[0] = (int32_t)r.jobs;
  m->done[1] = (int32_t)r.slots;
  return number(env, r.jobs);
}

/* open(keys, jobs, first, count, arena, out, outSlotBytes, headroom, lens, gso, meta, join, mostBytes, status, done) */
napi_value js_open(napi_env env, napi_callback_info info) {
  napi_value a[15];
  open_memory m;
  return get_args(env, info, 15, a) && get_open(env, a, a + 4, &m) ? open_range(env, &m, a + 2) : NULL;
}

static napi_value bound_open(napi_env env, napi_callback_info info) {
  napi_value range[2];
  const open_memory *m = get_bound(env, info, 2, range);
  return m != NULL ? open_range(env, m, range) : NULL;
}

/* bindOpen(keys, jobs, arena, out, outSlotBytes, headroom, lens, gso, meta, join, mostBytes, status, done) => (first, count) */
napi_value js_bind_open(napi_env env, napi_callback_info info) {
  napi_value a[13];
  open_memory m;
  return get_args(env, info, 13, a) && get_open(env, a, a + 2, &m) ? bind_call(env, a, 13, bound_open, &m, sizeof m) : NULL;
}

/* coalesce(arena, jobs, count, room, mostBytes) */
napi_value js_coalesce(napi_env env, napi_callback_info info) {
  napi_value a[5];
  uint8_t *arena;
  uint32_t arena_bytes, count, room, most;
  int32_t *jobs;
  size_t job_room;
  if (!get_args(env, info, 5, a) || !get_bytes(env, a[0], "arena: Uint8Array", &arena, &arena_bytes) ||
      !get_words(env, a[1], "jobs: Int32Array", SEND_WORDS, &jobs, &job_room) ||
      !get_u32(env, a[2], "count: at most the jobs there are", at_most(job_room, ARENA_MOST), &count) ||
      !get_u32(env, a[3], "room: at most 2^20", 1u << 20, &room) ||
      !get_u32(env, a[4], "mostBytes: at most 65535", 65535, &most))
    return NULL;
  for (uint32_t i = 0; i < count; i++) {
    const int32_t *w = jobs + (size_t)i * SEND_WORDS;
    int32_t at = w[0], len = w[1], gso = w[2];
    if (at < 0 || len < 0 || (uint32_t)at > arena_bytes || (uint32_t)len > arena_bytes - (uint32_t)at || gso < 0 || gso > 0xffff) {
      throw_range(env, "jobs: a packet outside the arena");
      return NULL;
    }
  }
  return number(env, coalesce_jobs(arena, arena_bytes, jobs, count, room, most));
}

/* segment(arena, at, len, gso, mostBytes, out, outSlotBytes, headroom, lens) */
napi_value js_segment(napi_env env, napi_callback_info info) {
  napi_value a[9];
  uint8_t *arena;
  uint32_t arena_bytes, at, len, gso, most;
  slots out;
  if (!get_args(env, info, 9, a) || !get_bytes(env, a[0], "arena: Uint8Array", &arena, &arena_bytes) ||
      !get_u32(env, a[1], "at: inside the arena", arena_bytes, &at) ||
      !get_u32(env, a[2], "len: inside the arena", arena_bytes - at, &len) || !get_u32(env, a[3], "gso: 16 bits", 0xffff, &gso) ||
      !get_u32(env, a[4], "mostBytes: at most 2^20", 1u << 20, &most) || !get_slots(env, a + 5, &out) ||
      !apart(env, arena + at, len, out.memory, out.slot_bytes * (size_t)out.count))
    return NULL;
  return number(env, segment_packet(arena + at, len, gso, most, &out));
}
