/* The three ciphers of Capsulated Packets behind one face; `aead.c` is Node's own OpenSSL, the fuzzers bring another. */
#ifndef AEAD_H
#define AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AEAD_NONCE = 12, AEAD_TAG = 16, AEAD_HEADER = 16, AEAD_KEY_MOST = 32, AEAD_SUITES = 3 };

typedef struct aead aead;

/* Bytes of a key of the suite: 0 ChaCha20-Poly1305, 1 AES-128-GCM, 2 AES-256-GCM. 0 for no suite. */
size_t aead_key_bytes(uint32_t suite);
/* A context for one key and one direction. NULL when there is no memory for it. */
aead *aead_new(uint32_t suite, const uint8_t *key, bool seals);
/* Erases the key, too. NULL is allowed. */
void aead_free(aead *a);
/* `out` takes `bytes` + 16. `header`: the 16 bytes authenticated beside. */
bool aead_seal(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out);
/* `in` holds `bytes` + 16. False: not genuine, and what was written to `out` is worth nothing; the caller wipes it. */
bool aead_open(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out);
/* Overwrites; never optimised away. */
void aead_wipe(void *memory, size_t bytes);

#endif
