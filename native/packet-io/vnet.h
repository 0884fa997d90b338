/* The virtio-net header in front of a frame: what a received one may say, and making one to send. Free of Node. */
#ifndef VNET_H
#define VNET_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Since Linux 6.2; older headers lack it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* `gso` of a plain packet without its transport checksum; no segment can be as long. */
enum { VNET_CSUM_MISSING = 0xffff };

/*
 * Judges a received frame by its header: false when the header contradicts the frame. `gso` as recvSuper gives it. A checksum that
 * is missing in a packet whose transport we do not know is put in. `bytes` loses link padding behind a packet without its checksum.
 */
bool vnet_judge(uint8_t *frame, size_t *bytes, bool ethernet, const struct virtio_net_hdr *h, uint16_t *gso);

/*
 * Makes the header for a frame with this `gso`, from the frame itself; puts the pseudo-header's sum into the checksum field.
 * False when the frame is no whole TCP or UDP packet and `gso` says it were. `bytes` loses link padding.
 */
bool vnet_make(uint8_t *frame, size_t *bytes, bool ethernet, uint16_t gso, struct virtio_net_hdr *h);

/* Fills in the checksum that a header left to us. False when its offsets do not lie inside the frame. */
bool vnet_complete(uint8_t *frame, size_t bytes, bool ethernet, const struct virtio_net_hdr *h);

#endif
