#include "keys.h"

#include <stdlib.h>
#include <string.h>

static void cipher_set(cipher_key *c, uint32_t suite, const uint8_t *key, const uint8_t *nonce) {
  c->suite = (uint8_t)suite;
  memcpy(c->nonce, nonce, AEAD_NONCE);
  memcpy(c->key, key, aead_key_bytes(suite));
}

/* Pointers, not the keys, lie in the growing array: no copy of a key is ever left behind by realloc. */
static bool grow(void ***table, uint32_t *count, uint32_t wanted) {
  if (wanted <= *count) return true;
  uint32_t room = *count < 16 ? 16 : *count * 2;
  if (room < wanted) room = wanted;
  void **bigger = realloc(*table, room * sizeof(void *));
  if (bigger == NULL) return false;
  memset(bigger + *count, 0, (room - *count) * sizeof(void *));
  *table = bigger;
  *count = room;
  return true;
}

bool keys_init(key_table *t, uint32_t seals, uint32_t opens) {
  memset(t, 0, sizeof *t);
  return (seals == 0 || grow((void ***)&t->seals, &t->seal_count, seals)) &&
         (opens == 0 || grow((void ***)&t->opens, &t->open_count, opens));
}

bool keys_set_seal(key_table *t, uint32_t index, uint32_t suite, const uint8_t *key, const uint8_t *nonce,
                   uint64_t most_packets, uint64_t most_bytes) {
  seal_key *k = calloc(1, sizeof *k);
  if (k == NULL || !grow((void ***)&t->seals, &t->seal_count, index + 1)) {
    free(k);
    return false;
  }
  cipher_set(&k->c, suite, key, nonce);
  k->most_packets = most_packets;
  k->most_bytes = most_bytes;
  keys_clear_seal(t, index);
  t->seals[index] = k;
  return true;
}

bool keys_set_open(key_table *t, uint32_t index, uint32_t suite, const uint8_t *key, const uint8_t *nonce, uint32_t window) {
  open_key *k = calloc(1, sizeof *k);
  if (k == NULL || !grow((void ***)&t->opens, &t->open_count, index + 1)) {
    free(k);
    return false;
  }
  cipher_set(&k->c, suite, key, nonce);
  k->window = window;
  keys_clear_open(t, index);
  t->opens[index] = k;
  return true;
}

void keys_clear_seal(key_table *t, uint32_t index) {
  seal_key *k = seal_key_at(t, index);
  if (k == NULL) return;
  aead_free(k->c.cipher);
  aead_wipe(k, sizeof *k);
  free(k);
  t->seals[index] = NULL;
}

void keys_clear_open(key_table *t, uint32_t index) {
  open_key *k = open_key_at(t, index);
  if (k == NULL) return;
  aead_free(k->c.cipher);
  for (int i = 0; i < LANES; i++) free(k->lanes[i]);
  aead_wipe(k, sizeof *k);
  free(k);
  t->opens[index] = NULL;
}

void keys_free(key_table *t) {
  for (uint32_t i = 0; i < t->seal_count; i++) keys_clear_seal(t, i);
  for (uint32_t i = 0; i < t->open_count; i++) keys_clear_open(t, i);
  free(t->seals);
  free(t->opens);
  memset(t, 0, sizeof *t);
}

aead *key_cipher(cipher_key *k, bool seals) {
  if (k->cipher != NULL) return k->cipher;
  k->cipher = aead_new(k->suite, k->key, seals);
  if (k->cipher != NULL) aead_wipe(k->key, sizeof k->key);
  return k->cipher;
}

void key_nonce(const cipher_key *k, uint32_t lane, uint64_t counter, uint8_t out[AEAD_NONCE]) {
  memcpy(out, k->nonce, AEAD_NONCE);
  out[3] ^= (uint8_t)lane;
  for (int i = 11; i >= 6; i--, counter >>= 8) out[i] ^= (uint8_t)counter;
}

bool seal_key_allows(const seal_key *k, uint64_t packets, uint64_t bytes) {
  return k->packets + packets <= k->most_packets && k->bytes + bytes <= k->most_bytes;
}

static uint32_t ring_slot(const replay_window *w, uint64_t counter) {
  return (uint32_t)(counter / 32 % w->words);
}

bool open_key_fresh(const open_key *k, uint32_t lane, uint64_t counter) {
  const replay_window *w = k->lanes[lane];
  if (w == NULL || counter > w->newest) return true;
  if (w->newest - counter >= w->size) return false;
  return (w->ring[ring_slot(w, counter)] & (1u << (counter % 32))) == 0;
}

static replay_window *new_window(uint32_t size, uint64_t newest) {
  uint32_t words = size / 32 + 1;
  replay_window *w = calloc(1, sizeof *w + words * sizeof(uint32_t));
  if (w == NULL) return NULL;
  w->newest = newest;
  w->size = size;
  w->words = words;
  return w;
}

bool open_key_commit(open_key *k, uint32_t lane, uint64_t counter) {
  if (k->lanes[lane] == NULL && (k->lanes[lane] = new_window(k->window, counter)) == NULL) return false;
  replay_window *w = k->lanes[lane];
  if (counter > w->newest) {
    uint64_t from = w->newest / 32, to = counter / 32, steps = to - from;
    if (steps > w->words) steps = w->words;
    for (uint64_t i = 0; i < steps; i++) w->ring[(to - i) % w->words] = 0;
    w->newest = counter;
  }
  w->ring[ring_slot(w, counter)] |= 1u << (counter % 32);
  return true;
}
