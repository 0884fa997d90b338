#include "vnet.h"

#include <string.h>

#include "inet.h"

enum { INET_SCTP = 132, SCTP_CHECKSUM_AT = 8 };
/* What the kernel itself never goes below (TCP_MIN_GSO_SIZE) or beyond (UDP_MAX_SEGMENTS): more would be a flood from one frame. */
enum { TCP_LEAST_SEGMENT = 8, UDP_MOST_SEGMENTS = 128 };

/* CRC-32C as SCTP uses it (RFC 9260 appendix A), bit by bit: seldom needed, hardly ever twice. */
static uint32_t crc32c(const uint8_t *p, size_t bytes) {
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < bytes; i++) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
  }
  return ~crc;
}

bool vnet_complete(uint8_t *frame, size_t bytes, bool ethernet, const struct virtio_net_hdr *h) {
  size_t start = h->csum_start, field = start + h->csum_offset;
  if (start >= bytes || field + 2 > bytes) return false;
  inet_view v;
  if (inet_parse(frame, bytes, ethernet, &v)) {
    /* The sum ends with the packet: what pads the link does not belong to it. */
    if (start < v.end && field + 2 <= v.end) bytes = v.end;
    if (v.proto == INET_SCTP && !v.fragment && start == v.l4 && h->csum_offset == SCTP_CHECKSUM_AT) {
      /* The header cannot say so, but what SCTP leaves to hardware is no sum. */
      if (start + 12 > bytes) return false;
      memset(frame + field, 0, 4);
      uint32_t crc = crc32c(frame + start, bytes - start);
      for (int i = 0; i < 4; i++) frame[field + (size_t)i] = (uint8_t)(crc >> 8 * i);
      return true;
    }
  }
  /* The field already holds the pseudo-header's sum, so summing over it includes that. */
  uint16_t value = (uint16_t)~inet_fold(inet_sum(frame + start, bytes - start, 0));
  /* Zero would mean "no checksum" in UDP; 0xffff is the same number in ones-complement and right for every protocol. */
  if (value == 0) value = 0xffff;
  memcpy(frame + field, &value, 2);
  return true;
}

static bool type_fits(uint8_t type, const inet_view *v) {
  if (type == VIRTIO_NET_HDR_GSO_TCPV4) return v->proto == INET_TCP && v->version == 4;
  if (type == VIRTIO_NET_HDR_GSO_TCPV6) return v->proto == INET_TCP && v->version == 6;
  return type == VIRTIO_NET_HDR_GSO_UDP_L4 && v->proto == INET_UDP;
}

static bool judge_super(const uint8_t *frame, size_t bytes, bool ethernet, const struct virtio_net_hdr *h, uint16_t *gso) {
  uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
  uint32_t each = h->gso_size;
  inet_view v;
  /* Without either flag nobody vouches for the checksum, and ours would make a damaged packet look sound. */
  if (!(h->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))) return false;
  if (each == 0 || each == VNET_CSUM_MISSING) return false;
  if (!inet_parse(frame, bytes, ethernet, &v) || !inet_is_whole(frame, &v) || v.end != bytes || !type_fits(type, &v)) return false;
  if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && (h->csum_start != v.l4 || h->csum_offset != inet_checksum_at(&v))) return false;
  uint32_t data = v.end - v.payload;
  if (v.proto == INET_TCP) {
    /* Cutting would multiply what must come once. */
    if (data > each && (frame[v.l4 + 13] & (TCP_SYN | TCP_RST))) return false;
    if (each < TCP_LEAST_SEGMENT) return false;
  } else if (type != h->gso_type || (data + each - 1) / each > UDP_MOST_SEGMENTS) {
    return false;
  }
  *gso = data > each ? (uint16_t)each : VNET_CSUM_MISSING;
  return true;
}

bool vnet_judge(uint8_t *frame, size_t *bytes, bool ethernet, const struct virtio_net_hdr *h, uint16_t *gso) {
  *gso = 0;
  if (h->hdr_len > *bytes) return false;
  if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE) return judge_super(frame, *bytes, ethernet, h, gso);
  if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) return true;
  inet_view v;
  if (inet_parse(frame, *bytes, ethernet, &v) && inet_is_whole(frame, &v) && h->csum_start == v.l4 &&
      h->csum_offset == inet_checksum_at(&v)) {
    *gso = VNET_CSUM_MISSING;
    *bytes = v.end;
    return true;
  }
  /* Something inside something: only here is it known where the checksum belongs. */
  return vnet_complete(frame, *bytes, ethernet, h);
}

bool vnet_make(uint8_t *frame, size_t *bytes, bool ethernet, uint16_t gso, struct virtio_net_hdr *h) {
  memset(h, 0, sizeof *h);
  if (gso == 0) return true;
  inet_view v;
  if (!inet_parse(frame, *bytes, ethernet, &v) || !inet_is_whole(frame, &v)) return false;
  if (gso != VNET_CSUM_MISSING && v.end - v.payload > gso) {
    if (v.proto == INET_UDP)
      h->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
    else
      h->gso_type = v.version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    if (v.proto == INET_TCP && (frame[v.l4 + 13] & TCP_CWR)) h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    h->gso_size = gso;
  }
  h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  h->hdr_len = v.payload;
  h->csum_start = v.l4;
  h->csum_offset = inet_checksum_at(&v);
  inet_set_partial(frame, &v);
  /* The kernel sums to the last byte it is given: padding would be summed too. */
  *bytes = v.end;
  return true;
}
