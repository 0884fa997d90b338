#include "join.h"
#include "seal.h"

static void on_finished(void *context, const flow *f) {
  int32_t *job = (int32_t *)context + (size_t)f->slot * SEND_WORDS;
  job[1] = (int32_t)f->total;
  job[2] = (int32_t)f->each;
}

uint32_t coalesce_jobs(uint8_t *arena, uint32_t arena_bytes, int32_t *jobs, uint32_t count, uint32_t room, uint32_t most) {
  join_set set;
  uint32_t kept = 0;
  join_begin(&set, most, on_finished, jobs);
  for (uint32_t i = 0; i < count; i++) {
    int32_t w[SEND_WORDS];
    memcpy(w, jobs + (size_t)i * SEND_WORDS, sizeof w);
    /* Read once, judged again: the array may be shared. */
    if (w[0] < 0 || w[1] < 0 || (uint32_t)w[0] > arena_bytes || (uint32_t)w[1] > arena_bytes - (uint32_t)w[0]) break;
    uint8_t *packet = arena + w[0], *payload, *tail;
    uint32_t len = (uint32_t)w[1], most_room = arena_bytes - (uint32_t)w[0];
    if (w[2] == 0) {
      flow *f = join_packet(&set, packet, len, 0, &payload, &tail);
      if (f != NULL) {
        memmove(tail, payload, (size_t)(packet + len - payload));
        continue;
      }
    } else {
      join_pass(&set, packet, len, 0);
    }
    memcpy(jobs + (size_t)kept * SEND_WORDS, w, sizeof w);
    if (w[2] == 0) join_start(&set, packet, len, room < most_room ? room : most_room, 0, kept);
    kept++;
  }
  join_end(&set);
  return kept;
}
