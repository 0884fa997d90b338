#include "aead.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

size_t aead_key_bytes(uint32_t suite) {
  static const uint8_t bytes[AEAD_SUITES] = {32, 16, 32};
  return suite < AEAD_SUITES ? bytes[suite] : 0;
}

static const EVP_CIPHER *cipher_of(uint32_t suite) {
  switch (suite) {
    case 0:
      return EVP_chacha20_poly1305();
    case 1:
      return EVP_aes_128_gcm();
    default:
      return EVP_aes_256_gcm();
  }
}

/* The key's schedule stays in the context; a packet sets no more than its nonce. */
aead *aead_new(uint32_t suite, const uint8_t *key, bool seals) {
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  if (c != NULL && EVP_CipherInit_ex2(c, cipher_of(suite), key, NULL, seals, NULL) == 1) return (aead *)c;
  EVP_CIPHER_CTX_free(c);
  return NULL;
}

void aead_free(aead *a) {
  EVP_CIPHER_CTX_free((EVP_CIPHER_CTX *)a);
}

bool aead_seal(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out) {
  EVP_CIPHER_CTX *c = (EVP_CIPHER_CTX *)a;
  int n;
  OSSL_PARAM tag[2] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out + bytes, AEAD_TAG),
                       OSSL_PARAM_construct_end()};
  return EVP_EncryptInit_ex2(c, NULL, NULL, nonce, NULL) == 1 && EVP_EncryptUpdate(c, NULL, &n, header, AEAD_HEADER) == 1 &&
         (bytes == 0 || EVP_EncryptUpdate(c, out, &n, in, (int)bytes) == 1) && EVP_EncryptFinal_ex(c, out + bytes, &n) == 1 &&
         EVP_CIPHER_CTX_get_params(c, tag) == 1;
}

bool aead_open(aead *a, const uint8_t *nonce, const uint8_t *header, const uint8_t *in, size_t bytes, uint8_t *out) {
  EVP_CIPHER_CTX *c = (EVP_CIPHER_CTX *)a;
  int n;
  const OSSL_PARAM tag[2] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(in + bytes), AEAD_TAG),
      OSSL_PARAM_construct_end()};
  return EVP_DecryptInit_ex2(c, NULL, NULL, nonce, tag) == 1 && EVP_DecryptUpdate(c, NULL, &n, header, AEAD_HEADER) == 1 &&
         (bytes == 0 || EVP_DecryptUpdate(c, out, &n, in, (int)bytes) == 1) && EVP_DecryptFinal_ex(c, out + bytes, &n) == 1;
}

void aead_wipe(void *memory, size_t bytes) {
  OPENSSL_cleanse(memory, bytes);
}
