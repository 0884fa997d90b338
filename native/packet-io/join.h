/* Consecutive packets of one TCP or UDP flow made one super-packet, by the rules of the kernel's GRO. Free of Node. */
#ifndef JOIN_H
#define JOIN_H

#include "inet.h"

/* Interleaved flows that can grow at the same time; segments of one super-packet that UDP may have (the kernel's own limit). */
enum { JOIN_FLOWS = 16, JOIN_UDP_MOST = 64 };

typedef struct {
  uint8_t *head;  /* the packet it began with, growing in place */
  uint32_t total; /* its bytes now */
  uint32_t room;  /* bytes it may have */
  uint32_t slot;  /* the caller's name for it */
  uint32_t key;   /* packets under another key are never joined to it */
  uint32_t each;  /* payload of its segments */
  uint32_t count; /* segments */
  uint32_t next_seq, stamp;
  uint16_t last_id;
  bool id_fixed;
  bool ended; /* by a push or a shorter segment: closed when the next packet of the flow comes */
  inet_view v;
} flow;

typedef struct join_set join_set;
struct join_set {
  uint32_t most; /* bytes of a super-packet */
  /* Called once for every super-packet when nothing more can join it. */
  void (*finished)(void *context, const flow *f);
  void *context;
  flow *last; /* the flow that took or began with the last packet, as long as it can grow */
  uint32_t count, stamp;
  uint32_t hashes[JOIN_FLOWS];
  flow flows[JOIN_FLOWS];
};

void join_begin(join_set *s, uint32_t most, void (*finished)(void *, const flow *), void *context);
/*
 * Looks for the flow that an IP packet continues. When there is one, it has taken the packet: the caller now puts the payload,
 * which begins at `*payload`, where `*tail` points. NULL: the packet stands alone, and any flow that it would overtake is closed.
 */
flow *join_packet(join_set *s, uint8_t *packet, uint32_t len, uint32_t key, uint8_t **payload, uint8_t **tail);
/* A packet that `join_packet` left alone, in its final place: others may join it. */
void join_start(join_set *s, uint8_t *packet, uint32_t len, uint32_t room, uint32_t key, uint32_t slot);
/* A packet that nothing joins passes; what is in front of it stays in front. */
void join_pass(join_set *s, const uint8_t *packet, uint32_t len, uint32_t key);
/* Closes the flows under a key. */
void join_close(join_set *s, uint32_t key);
/* Closes all flows. */
void join_end(join_set *s);

#endif
