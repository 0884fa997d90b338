/* What the UDP files of this addon share. */
#ifndef UDP_H
#define UDP_H

/* First: it says which C library we mean. */
#include "packet_io.h"

#include <netinet/in.h>
#include <sys/socket.h>

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
/* The open UDP port behind a handle, of the kind that joins datagrams or the other; NULL with an exception pending. */
port *get_udp(napi_env env, napi_value v, bool runs);

#endif
