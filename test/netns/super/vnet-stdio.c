/*
 * Runs vnet.c alone: one line in, one line out.
 *   judge ETHERNET HEADER FRAME  ->  "bad", or "GSO BYTES FRAME"
 *   make ETHERNET GSO FRAME      ->  "bad", or "HEADER BYTES FRAME"
 * HEADER and FRAME in hex. The frame lies in memory of exactly its length, so that a sanitizer sees every step outside.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vnet.h"

static size_t from_hex(const char *text, uint8_t *out) {
  size_t n = strlen(text) / 2;
  for (size_t i = 0; i < n; i++) {
    unsigned value = 0;
    sscanf(text + 2 * i, "%2x", &value);
    out[i] = (uint8_t)value;
  }
  return n;
}

static void print_hex(const void *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) printf("%02x", ((const uint8_t *)bytes)[i]);
}

int main(void) {
  static char line[300000], verb[8], third[32], hex[280000];
  static uint8_t scratch[140000];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int ethernet = 0;
    hex[0] = 0;
    if (sscanf(line, "%7s %d %31s %279999s", verb, &ethernet, third, hex) < 3) return 1;
    size_t bytes = from_hex(hex, scratch);
    uint8_t *frame = malloc(bytes > 0 ? bytes : 1);
    memcpy(frame, scratch, bytes);
    struct virtio_net_hdr h;
    uint16_t gso = 0;
    bool fit;
    if (verb[0] == 'j') {
      uint8_t header[16];
      if (from_hex(third, header) != sizeof h) return 1;
      memcpy(&h, header, sizeof h);
      fit = vnet_judge(frame, &bytes, ethernet != 0, &h, &gso);
      if (fit) printf("%u ", gso);
    } else {
      fit = vnet_make(frame, &bytes, ethernet != 0, (uint16_t)atoi(third), &h);
      if (fit) print_hex(&h, sizeof h), printf(" ");
    }
    if (fit) printf("%zu ", bytes), print_hex(frame, bytes);
    else printf("bad");
    printf("\n");
    free(frame);
  }
  return 0;
}
