/* Sealing and opening many packets in one call. Free of Node; arguments are checked by `seal_api.c`, jobs again here. */
#ifndef SEAL_H
#define SEAL_H

#include "cut.h"
#include "keys.h"

enum { SEAL_WORDS = 8, OPEN_WORDS = 4, RUN_WORDS = 4, META_WORDS = 3, SEND_WORDS = 3 };
enum { SEALED_MORE = AEAD_HEADER + AEAD_TAG };

typedef struct {
  const int32_t *jobs; /* SEAL_WORDS each */
  uint32_t first, end;
  const uint8_t *headers; /* 16 bytes per row */
  uint32_t rows;
  uint8_t *arena;
  uint32_t arena_bytes;
  uint8_t *out;
  uint32_t out_bytes;
  int32_t *runs; /* RUN_WORDS each */
  uint32_t run_room;
  int8_t *status; /* by job */
} seal_call;

typedef struct {
  uint32_t jobs, runs, bytes, datagrams;
} seal_result;

/* Whether a job's words lie within what they name. */
bool seal_job_fits(const seal_call *s, const int32_t *job);
void seal_jobs(key_table *keys, const seal_call *s, seal_result *result);

/* Slots for packets: slot `i`'s packet starts at `i * slot_bytes + headroom`. */
typedef struct {
  uint8_t *memory;
  uint32_t slot_bytes, headroom, count;
  uint32_t *lens;
  uint16_t *gso;
  int32_t *meta; /* META_WORDS each */
} slots;

typedef struct {
  const int32_t *jobs; /* OPEN_WORDS each */
  uint32_t first, end;
  const uint8_t *arena;
  uint32_t arena_bytes;
  slots out;
  bool join;
  uint32_t most;
  int8_t *status;
} open_call;

typedef struct {
  uint32_t jobs, slots;
} open_result;

bool open_job_fits(const open_call *o, const int32_t *job);
void open_jobs(key_table *keys, const open_call *o, open_result *result);

/* Joins plain IP packets of a batch in place, `jobs` of SEND_WORDS. Returns how many are left. All jobs lie inside the arena. */
uint32_t coalesce_jobs(uint8_t *arena, uint32_t arena_bytes, int32_t *jobs, uint32_t count, uint32_t room, uint32_t most);

/* Cuts one packet into slots. How many, -1 without room, -2 when it cannot be cut. */
int segment_packet(const uint8_t *packet, uint32_t len, uint32_t gso, uint32_t most, const slots *out);

#endif
