/* What the UDP files of this addon share. */
#ifndef UDP_H
#define UDP_H

/* First: it says which C library we mean. */
#include "packet_io.h"

#include <netinet/in.h>
#include <sys/socket.h>

extern const uint8_t V4_MAPPED[12];

/* The kernel's own limit since Linux 6.9; it was half as many before, which the first refusal tells. */
enum { UDP_MOST_SEGMENTS = 128, UDP_FEWER_SEGMENTS = 64 };

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} address;

/* Writes the socket address for 16 bytes and a port; false when an IPv4 socket cannot reach it. */
bool to_address(bool ipv4only, const uint8_t *bytes, uint16_t port_number, address *out, socklen_t *length);
void from_address(const address *a, uint8_t *bytes, uint16_t *port_number);
/* Reads `addrs` (16 bytes per slot) and `ports` (one word per slot). */
bool get_peers(napi_env env, const napi_value *a, uint32_t slots, uint8_t **addrs, uint16_t **ports);
/* Errors an earlier datagram left on the socket; they say nothing about the call that returns them. */
bool is_left_over(int error);

/*
 * A via: how the datagrams of a row leave. 16 bytes of our address (IPv4 as v4-mapped, zeros: any), then the interface's index in the machine's
 * order (0: any). All zeros: the kernel chooses.
 */
enum { VIA_BYTES = ADDR_BYTES + 4, VIA_SPACE = CMSG_SPACE(sizeof(struct in6_pktinfo)) };
/* `null`, or a Uint8Array of `VIA_BYTES` per row. */
bool get_vias(napi_env env, napi_value v, size_t rows, const uint8_t **vias);
/* Writes the control message that sends a datagram for `to` by a via (`VIA_SPACE` at most); returns its bytes, 0 where the kernel chooses. */
size_t put_via(bool ipv4only, const uint8_t *via, const address *to, struct cmsghdr *at);
/*
 * The socket that sends to `to` by a via. To IPv6 the kernel looks at the interface of a control message only where several routes have one
 * metric, unless the source is left open (ip6_route_output_flags): who names both needs a socket that is bound to the interface. IPv4 does what it is told.
 */
int way_fd(port *p, const uint8_t *via, const address *to);
/* Makes a new socket number 0 of a group of its own, which further sockets may join and get nothing. */
way_sockets make_group(int fd);
/* What the kernel says when the address or the interface of a via is not there, or leads nowhere. Other things are said so too. */
bool is_via_error(int error);
/* The open UDP port behind a handle, of the kind that joins datagrams or the other; NULL with an exception pending. */
port *get_udp(napi_env env, napi_value v, bool runs);

#endif
