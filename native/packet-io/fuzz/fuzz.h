/* What the fuzz targets share: their input read byte by byte, memory that ends where it ends, and a loud complaint. */
#ifndef FUZZ_H
#define FUZZ_H

#include "../seal.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(what) \
  do { \
    if (!(what)) { \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
      abort(); \
    } \
  } while (0)

typedef struct {
  const uint8_t *p;
  size_t left;
} input;

static inline uint32_t take(input *in, int bytes) {
  uint32_t v = 0;
  for (; bytes > 0; bytes--) {
    v = v << 8 | (in->left > 0 ? *in->p : 0);
    if (in->left > 0) in->p++, in->left--;
  }
  return v;
}

/* A block of exactly this size, so that the sanitizer sees one byte too far. */
static inline uint8_t *block(size_t bytes) {
  uint8_t *b = malloc(bytes > 0 ? bytes : 1);
  MUST(b != NULL);
  memset(b, 0xa5, bytes);
  return b;
}

static inline uint8_t *copy_of(const uint8_t *p, size_t bytes) {
  uint8_t *b = block(bytes);
  memcpy(b, p, bytes);
  return b;
}

static const uint8_t FUZZ_KEY[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint8_t FUZZ_NONCE[12] = {0xff, 0, 0xff};

#endif
