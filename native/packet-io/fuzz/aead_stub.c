/* A cipher that a fuzzer can see through, and no more: as fast as copying, tags that tell a changed bit, text written before it is proven. */
#include "../aead.h"

#include <stdlib.h>
#include <string.h>

struct aead {
  uint8_t key[AEAD_KEY_MOST];
};

size_t aead_key_bytes(uint32_t suite) {
  return suite == 1 ? 16 : suite < AEAD_SUITES ? 32 : 0;
}

aead *aead_new(uint32_t suite, const uint8_t *key, bool seals) {
  (void)seals;
  aead *a = calloc(1, sizeof *a);
  if (a != NULL) memcpy(a->key, key, aead_key_bytes(suite));
  return a;
}

void aead_free(aead *a) {
  free(a);
}

static uint64_t mix(uint64_t h, const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3ull;
  return h;
}

static void make_tag(const aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *text, size_t n, uint8_t *tag) {
  uint64_t h = mix(0xcbf29ce484222325ull, a->key, AEAD_KEY_MOST);
  h = mix(mix(mix(h, nonce, AEAD_NONCE), header, AEAD_HEADER), text, n);
  memcpy(tag, &h, 8);
  h = ~h;
  memcpy(tag + 8, &h, 8);
}

static void turn(const aead *a, const uint8_t *nonce, const uint8_t *in, size_t n, uint8_t *out) {
  for (size_t i = 0; i < n; i++) out[i] = in[i] ^ a->key[i % 16] ^ nonce[i % AEAD_NONCE];
}

bool aead_seal(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out) {
  turn(a, nonce, in, bytes, out);
  make_tag(a, nonce, header, out, bytes, out + bytes);
  return true;
}

bool aead_open(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out) {
  uint8_t tag[AEAD_TAG];
  make_tag(a, nonce, header, in, bytes, tag);
  turn(a, nonce, in, bytes, out);
  return memcmp(tag, in + bytes, AEAD_TAG) == 0;
}

void aead_wipe(void *memory, size_t bytes) {
  memset(memory, 0, bytes);
}
