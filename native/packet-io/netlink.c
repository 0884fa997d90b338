/* Netlink sockets: raw bytes of a batch in, raw answers out; and events of multicast groups. */
#include "packet_io.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* openNetlink(protocol, groups, bufferBytes): `groups` is a bit mask of multicast groups 1..32. */
napi_value js_open_netlink(napi_env env, napi_callback_info info) {
  napi_value a[3];
  uint32_t protocol, groups, buffer;
  if (!get_args(env, info, 3, a) || !get_u32(env, a[0], "protocol: 0..31", 31, &protocol) ||
      !get_u32(env, a[1], "groups: 32 bits", UINT32_MAX, &groups) ||
      !get_u32(env, a[2], "bufferBytes: 0..2^30", 1u << 30, &buffer))
    return NULL;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)protocol), one = 1;
  if (fd < 0) return number(env, -errno);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, buffer);
  /* An error then repeats only the header of the request, so that a big batch cannot flood its own answers. */
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = groups};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
    int error = -errno;
    close(fd);
    return number(env, error);
  }
  port *p;
  napi_value object = port_new(env, KIND_NETLINK, fd, &p);
  if (object == NULL) return NULL;
  p->grouped = groups != 0;
  return object;
}

/* Receives one datagram that the kernel itself sent; others are dropped. Returns bytes, 0 for none, or -errno. */
static ssize_t recv_one(port *p, uint8_t *into, size_t room) {
  for (;;) {
    struct sockaddr_nl from = {0};
    struct iovec part = {into, room};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? 0 : -errno;
    if (m.msg_flags & MSG_TRUNC) {
      p->stats.oversized_in++;
      return -EMSGSIZE;
    }
    /* Any local process may send to a netlink socket; only port id 0 is the kernel. */
    if (from.nl_pid != 0) {
      p->stats.bad_in++;
      continue;
    }
    p->stats.in++;
    if (n > 0) return n;
  }
}

/* Counts final answers (acknowledgement, error, end of a dump) among `bytes` at `at`. */
static uint32_t count_answers(const uint8_t *at, size_t bytes) {
  uint32_t found = 0;
  while (bytes >= sizeof(struct nlmsghdr)) {
    struct nlmsghdr h;
    memcpy(&h, at, sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > bytes) break;
    if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_DONE) found++;
    size_t step = NLMSG_ALIGN((size_t)h.nlmsg_len);
    if (step >= bytes) break;
    at += step;
    bytes -= step;
  }
  return found;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * talk(port, bytes, reply, answers, waitMs): sends `bytes` as one batch, then collects until `answers` final answers
 * came or `waitMs` passed. Returns the bytes written to `reply`.
 */
napi_value js_talk(napi_env env, napi_callback_info info) {
  napi_value a[5];
  void *bytes, *reply;
  size_t length, room, filled = 0;
  uint32_t answers, wait, found = 0;
  port *p;
  if (!get_args(env, info, 5, a) || (p = get_port(env, a[0], KIND_NETLINK)) == NULL ||
      !get_array(env, a[1], "bytes: Uint8Array", napi_uint8_array, &bytes, &length) ||
      !get_array(env, a[2], "reply: Uint8Array", napi_uint8_array, &reply, &room) ||
      !get_u32(env, a[3], "answers: 0..65536", 65536, &answers) || !get_u32(env, a[4], "waitMs: 0..1000", 1000, &wait))
    return NULL;
  if (p->grouped) {
    throw_type(env, "a netlink port with groups only receives events");
    return NULL;
  }
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do {
    sent = sendto(p->fd, bytes, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return number(env, -errno);
  p->stats.out++;

  int64_t until = now_ms() + wait;
  while (found < answers) {
    ssize_t n = recv_one(p, (uint8_t *)reply + filled, room - filled);
    if (n < 0) return number(env, (double)n);
    if (n == 0) {
      int64_t left = until - now_ms();
      struct pollfd ready = {.fd = p->fd, .events = POLLIN};
      if (left <= 0 || (poll(&ready, 1, (int)left) < 0 && errno != EINTR)) break;
      continue;
    }
    found += count_answers((uint8_t *)reply + filled, (size_t)n);
    filled += (size_t)n;
  }
  return number(env, (double)filled);
}

/* recvNetlink(port, into): one datagram of events; 0 when none waits; -ENOBUFS when events were lost. */
napi_value js_recv_netlink(napi_env env, napi_callback_info info) {
  napi_value a[2];
  void *into;
  size_t room;
  port *p;
  if (!get_args(env, info, 2, a) || (p = get_port(env, a[0], KIND_NETLINK)) == NULL ||
      !get_array(env, a[1], "into: Uint8Array", napi_uint8_array, &into, &room))
    return NULL;
  return number(env, (double)recv_one(p, into, room));
}
