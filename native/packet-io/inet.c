#include "inet.h"

enum { ETH_BYTES = 14, VLAN_TAG_BYTES = 4, MOST_TAGS = 2, MOST_EXTENSIONS = 16 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION = 60 };

/* Walks the extension headers; `out->l4` and `out->proto` move on. */
static bool parse_extensions(const uint8_t *p, inet_view *out) {
  for (int i = 0; i < MOST_EXTENSIONS; i++) {
    if (out->proto != HOP_BY_HOP && out->proto != ROUTING && out->proto != FRAGMENT && out->proto != DESTINATION) return true;
    if (out->l4 + 8u > out->end) return false;
    const uint8_t *h = p + out->l4;
    uint32_t bytes = out->proto == FRAGMENT ? 8 : 8u + 8u * h[1];
    if (out->l4 + bytes > out->end) return false;
    if (out->proto == ROUTING && h[3] != 0) out->routed = true;
    out->plain = false;
    if (out->proto == FRAGMENT) out->fragment = true;
    bool later_fragment = out->proto == FRAGMENT && (get16(h + 2) & 0xfff8) != 0;
    out->proto = h[0];
    out->l4 = (uint16_t)(out->l4 + bytes);
    /* What follows is the middle of something. */
    if (later_fragment) return true;
  }
  return false;
}

static bool parse_ip(const uint8_t *p, size_t len, inet_view *out) {
  const uint8_t *ip = p + out->l3;
  size_t room = len - out->l3;
  if (room < 20) return false;
  out->version = ip[0] >> 4;
  if (out->version == 4) {
    uint32_t header = 4u * (ip[0] & 15), total = get16(ip + 2);
    if (header < 20 || total < header || total > room) return false;
    out->end = out->l3 + total;
    out->l4 = (uint16_t)(out->l3 + header);
    out->proto = ip[9];
    out->plain = header == 20;
    out->fragment = (get16(ip + 6) & 0x3fff) != 0;
    return true;
  }
  if (out->version != 6 || room < 40) return false;
  uint32_t total = 40u + get16(ip + 4);
  if (total > room) return false;
  out->end = out->l3 + total;
  out->l4 = (uint16_t)(out->l3 + 40);
  out->proto = ip[6];
  out->plain = true;
  return parse_extensions(p, out);
}

bool inet_parse(const uint8_t *p, size_t len, bool ethernet, inet_view *out) {
  memset(out, 0, sizeof *out);
  if (ethernet) {
    size_t at = ETH_BYTES;
    if (len < at) return false;
    uint16_t type = get16(p + at - 2);
    for (int i = 0; i < MOST_TAGS && (type == 0x8100 || type == 0x88a8); i++) {
      at += VLAN_TAG_BYTES;
      if (len < at) return false;
      type = get16(p + at - 2);
    }
    if (type != 0x0800 && type != 0x86dd) return false;
    out->l3 = (uint16_t)at;
    if (len == at || (p[at] >> 4) != (type == 0x0800 ? 4 : 6)) return false;
  }
  if (!parse_ip(p, len, out)) return false;
  out->payload = out->l4;
  if (out->fragment) return true;
  uint32_t room = out->end - out->l4;
  if (out->proto == INET_UDP) {
    if (room < 8) return false;
    out->payload = (uint16_t)(out->l4 + 8);
  } else if (out->proto == INET_TCP) {
    if (room < 20) return false;
    uint32_t header = 4u * (p[out->l4 + 12] >> 4);
    if (header < 20 || header > room) return false;
    out->payload = (uint16_t)(out->l4 + header);
  }
  return true;
}

bool inet_is_whole(const uint8_t *p, const inet_view *v) {
  if (v->fragment || v->routed) return false;
  if (v->proto == INET_UDP) return get16(p + v->l4 + 4) == v->end - v->l4;
  return v->proto == INET_TCP;
}

/* Four 64-bit words in one register of the machine, or in as many as it needs. */
typedef uint64_t words __attribute__((vector_size(32)));

/* Whole 64-byte blocks; 32-bit halves gather in 64-bit lanes, which cannot overflow here. Returns what it added. */
static inline __attribute__((always_inline)) uint64_t sum_blocks(const uint8_t *p, size_t blocks) {
  words low = {0}, high = {0};
  const words half = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
  for (; blocks > 0; blocks--, p += 64) {
    words a, b;
    memcpy(&a, p, 32);
    memcpy(&b, p + 32, 32);
    low += (a & half) + (b & half);
    high += (a >> 32) + (b >> 32);
  }
  low += high;
  return low[0] + low[1] + low[2] + low[3];
}

#if defined(__x86_64__)
/* Not every x86 has AVX2, and the addon is built for all of them. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t blocks) {
  return sum_blocks(p, blocks);
}
#endif

static uint64_t sum_any(const uint8_t *p, size_t blocks) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return sum_avx2(p, blocks);
#endif
  return sum_blocks(p, blocks);
}

uint64_t inet_sum(const uint8_t *p, size_t bytes, uint64_t sum) {
  if (bytes >= 64) {
    size_t blocks = bytes / 64;
    sum += sum_any(p, blocks);
    p += blocks * 64;
    bytes %= 64;
  }
  for (; bytes >= 8; p += 8, bytes -= 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    sum += (w & 0xffffffff) + (w >> 32);
  }
  if (bytes >= 4) {
    uint32_t w;
    memcpy(&w, p, 4);
    sum += w;
    p += 4;
    bytes -= 4;
  }
  if (bytes >= 2) {
    uint16_t w;
    memcpy(&w, p, 2);
    sum += w;
    p += 2;
    bytes -= 2;
  }
  if (bytes == 1) {
    uint16_t w = 0;
    memcpy(&w, p, 1);
    sum += w;
  }
  return sum;
}

uint16_t inet_fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

uint64_t inet_pseudo(const uint8_t *p, const inet_view *v, uint32_t bytes) {
  uint8_t tail[8] = {0};
  put32(tail, bytes);
  tail[7] = v->proto;
  uint64_t sum = inet_sum(tail, 8, 0);
  return v->version == 4 ? inet_sum(p + v->l3 + 12, 8, sum) : inet_sum(p + v->l3 + 8, 32, sum);
}

void inet_set_checksum(uint8_t *p, const inet_view *v) {
  uint8_t *field = p + v->l4 + inet_checksum_at(v);
  memset(field, 0, 2);
  uint32_t bytes = v->end - v->l4;
  uint16_t value = (uint16_t)~inet_fold(inet_sum(p + v->l4, bytes, inet_pseudo(p, v, bytes)));
  /* Zero means "none was made" in UDP; 0xffff is the same number. */
  if (value == 0 && v->proto == INET_UDP) value = 0xffff;
  memcpy(field, &value, 2);
}

void inet_set_partial(uint8_t *p, const inet_view *v) {
  uint16_t value = inet_fold(inet_pseudo(p, v, v->end - v->l4));
  memcpy(p + v->l4 + inet_checksum_at(v), &value, 2);
}

bool inet_checksum_right(const uint8_t *p, const inet_view *v) {
  if (v->proto == INET_UDP && get16(p + v->l4 + 6) == 0) return v->version == 4;
  uint32_t bytes = v->end - v->l4;
  return inet_fold(inet_sum(p + v->l4, bytes, inet_pseudo(p, v, bytes))) == 0xffff;
}

void inet_set_ip4_checksum(uint8_t *ip, size_t bytes) {
  memset(ip + 10, 0, 2);
  uint16_t value = (uint16_t)~inet_fold(inet_sum(ip, bytes, 0));
  memcpy(ip + 10, &value, 2);
}
