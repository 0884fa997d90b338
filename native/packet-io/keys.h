/* Keys of one thread: their ciphers, nonces, limits and replay windows. Free of Node. */
#ifndef KEYS_H
#define KEYS_H

#include "aead.h"

enum { LANES = 4, KEYS_MOST = 1 << 20, WINDOW_MOST = 65536 };
/* Counters are 48 bits. No key may seal more packets, so none of its lanes can come to the end. */
#define COUNTER_END ((uint64_t)1 << 48)

/* What sealing and opening keys have in common. The cipher is made at first use: most of ten thousand tunnels are idle. */
typedef struct {
  aead *cipher;
  uint8_t suite;
  uint8_t nonce[AEAD_NONCE];
  uint8_t key[AEAD_KEY_MOST]; /* wiped once the cipher has it */
} cipher_key;

typedef struct {
  cipher_key c;
  uint64_t next[LANES];
  uint64_t packets, bytes, most_packets, most_bytes;
} seal_key;

/* RFC 6479: a ring of words one longer than the window, so that moving on clears whole words. */
typedef struct {
  uint64_t newest;
  uint32_t size, words;
  uint32_t ring[];
} replay_window;

typedef struct {
  cipher_key c;
  uint32_t window;
  replay_window *lanes[LANES]; /* made when a lane has proven itself */
} open_key;

typedef struct {
  seal_key **seals;
  open_key **opens;
  uint32_t seal_count, open_count;
} key_table;

/* All of these return false only when there is no memory. */
bool keys_init(key_table *t, uint32_t seals, uint32_t opens);
bool keys_set_seal(key_table *t, uint32_t index, uint32_t suite, const uint8_t *key, const uint8_t *nonce,
                   uint64_t most_packets, uint64_t most_bytes);
bool keys_set_open(key_table *t, uint32_t index, uint32_t suite, const uint8_t *key, const uint8_t *nonce, uint32_t window);
void keys_clear_seal(key_table *t, uint32_t index);
void keys_clear_open(key_table *t, uint32_t index);
void keys_free(key_table *t);

/* NULL when there is no such key. */
static inline seal_key *seal_key_at(const key_table *t, uint32_t index) {
  return index < t->seal_count ? t->seals[index] : NULL;
}
static inline open_key *open_key_at(const key_table *t, uint32_t index) {
  return index < t->open_count ? t->opens[index] : NULL;
}
/* The cipher, made now if it was not; NULL when there is no memory. */
aead *key_cipher(cipher_key *k, bool seals);
/* nonce ⊕ (u16 0 ‖ u16 lane ‖ u16 0 ‖ u48 counter). */
void key_nonce(const cipher_key *k, uint32_t lane, uint64_t counter, uint8_t out[AEAD_NONCE]);
/* Whether the key may seal `packets` more of `bytes` in all. */
bool seal_key_allows(const seal_key *k, uint64_t packets, uint64_t bytes);
/* Whether the counter has not been committed and is not too old to tell. */
bool open_key_fresh(const open_key *k, uint32_t lane, uint64_t counter);
/* Marks a fresh counter whose packet has proven genuine. False without memory for the lane's window: not to be accepted. */
bool open_key_commit(open_key *k, uint32_t lane, uint64_t counter);

#endif
