/* UDP sockets: one for both families, many datagrams per call, ICMP errors with their destination. */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

const uint8_t V4_MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool to_address(bool ipv4only, const uint8_t *bytes, uint16_t port_number, address *out, socklen_t *length) {
  memset(out, 0, sizeof *out);
  if (!ipv4only) {
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port_number);
    memcpy(&out->v6.sin6_addr, bytes, ADDR_BYTES);
    *length = sizeof out->v6;
    return true;
  }
  static const uint8_t any[ADDR_BYTES];
  bool mapped = memcmp(bytes, V4_MAPPED, sizeof V4_MAPPED) == 0;
  if (!mapped && memcmp(bytes, any, ADDR_BYTES) != 0) return false;
  out->v4.sin_family = AF_INET;
  out->v4.sin_port = htons(port_number);
  memcpy(&out->v4.sin_addr, bytes + 12, 4);
  *length = sizeof out->v4;
  return true;
}

void from_address(const address *a, uint8_t *bytes, uint16_t *port_number) {
  memset(bytes, 0, ADDR_BYTES);
  *port_number = 0;
  if (a->any.sa_family == AF_INET6) {
    memcpy(bytes, &a->v6.sin6_addr, ADDR_BYTES);
    *port_number = ntohs(a->v6.sin6_port);
  } else if (a->any.sa_family == AF_INET) {
    memcpy(bytes, V4_MAPPED, sizeof V4_MAPPED);
    memcpy(bytes + 12, &a->v4.sin_addr, 4);
    *port_number = ntohs(a->v4.sin_port);
  }
}

typedef union {
  char bytes[VIA_SPACE];
  struct cmsghdr align;
} via_memory;

static int set_int(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

typedef struct {
  uint8_t ip[ADDR_BYTES];
  uint32_t port, family, buffer, mark;
  bool reuse, runs;
  char device[IFNAMSIZ];
} udp_options;

static int set_up_udp(int fd, bool ipv4only, const udp_options *o) {
  address at;
  socklen_t length;
  int e = 0;
  if (!ipv4only && (e = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->family == 6)) != 0) return e;
  /* The outer packet never fragments: the tunnel's own path MTU decides. Errors come with the peer they are about. */
  if ((e = set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)) != 0) return e;
  if ((e = set_int(fd, IPPROTO_IP, IP_RECVERR, 1)) != 0) return e;
  if (!ipv4only) {
    if ((e = set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO)) != 0) return e;
    if ((e = set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) != 0) return e;
  }
  if (o->runs) {
    if ((e = set_int(fd, IPPROTO_UDP, UDP_GRO, 1)) != 0) return e;
    /* An IPv6 socket tells an IPv4 address as v4-mapped, with the option of its own family. */
    if ((e = ipv4only ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)) != 0) return e;
  }
  if (o->reuse && (e = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1)) != 0) return e;
  if (o->mark != 0 && (e = set_int(fd, SOL_SOCKET, SO_MARK, (int)o->mark)) != 0) return e;
  if (o->device[0] != 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->device, (socklen_t)strlen(o->device)) != 0)
    return -errno;
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, o->buffer);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, o->buffer);
  if (!to_address(ipv4only, o->ip, (uint16_t)o->port, &at, &length)) return -EADDRNOTAVAIL;
  return bind(fd, &at.any, length) == 0 ? 0 : -errno;
}

/* Opens in the family asked for; 0 means both where the machine has IPv6, IPv4 alone where it has not. */
static int open_socket(const udp_options *o, bool *ipv4only) {
  int error = -EAFNOSUPPORT;
  for (int attempt = o->family == 4 ? 1 : 0; attempt < (o->family == 6 ? 1 : 2); attempt++) {
    *ipv4only = attempt == 1;
    int fd = socket(*ipv4only ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      error = -errno;
      if (error == -EAFNOSUPPORT) continue;
      return error;
    }
    error = set_up_udp(fd, *ipv4only, o);
    if (error == 0) return fd;
    close(fd);
    return error;
  }
  return error;
}

/* openUdp(address, port, family, bufferBytes, reusePort, mark, device, runs) */
napi_value js_open_udp(napi_env env, napi_callback_info info) {
  napi_value a[8];
  udp_options o = {0};
  void *ip;
  size_t length;
  if (!get_args(env, info, 8, a) || !get_array(env, a[0], "address: 16 bytes", napi_uint8_array, &ip, &length) ||
      !get_u32(env, a[1], "port: 0..65535", 65535, &o.port) || !get_u32(env, a[2], "family: 0, 4 or 6", 6, &o.family) ||
      !get_u32(env, a[3], "bufferBytes: 0..2^30", 1u << 30, &o.buffer) ||
      !get_bool(env, a[4], "reusePort: boolean", &o.reuse) || !get_u32(env, a[5], "mark: 32 bits", UINT32_MAX, &o.mark) ||
      !get_name(env, a[6], "device: interface name", true, o.device) || !get_bool(env, a[7], "runs: boolean", &o.runs))
    return NULL;
  if (length != ADDR_BYTES || (o.family != 0 && o.family != 4 && o.family != 6)) {
    throw_range(env, "address: 16 bytes; family: 0, 4 or 6");
    return NULL;
  }
  memcpy(o.ip, ip, ADDR_BYTES);

  bool ipv4only;
  int fd = open_socket(&o, &ipv4only);
  if (fd < 0) return number(env, fd);
  address at = {0};
  socklen_t at_length = sizeof at;
  getsockname(fd, &at.any, &at_length);
  port *p;
  napi_value object = port_new(env, KIND_UDP, fd, &p);
  if (object == NULL) return NULL;
  p->ipv4only = ipv4only;
  p->runs = o.runs;
  p->most_segments = UDP_MOST_SEGMENTS;
  uint16_t bound;
  from_address(&at, o.ip, &bound);
  set_number(env, object, "port", bound);
  set_number(env, object, "family", ipv4only ? 4 : o.family == 6 ? 6 : 0);
  if (o.runs && !ipv4only && o.device[0] == 0) p->by_interface = o.reuse ? SHARED_GROUP : make_group(fd);
  p->reuse = o.reuse;
  return object;
}

bool get_peers(napi_env env, const napi_value *a, uint32_t slots, uint8_t **addrs, uint16_t **ports) {
  void *ips, *numbers;
  size_t ip_bytes, port_count;
  if (!get_array(env, a[0], "addrs: Uint8Array", napi_uint8_array, &ips, &ip_bytes) ||
      !get_array(env, a[1], "ports: Uint16Array", napi_uint16_array, &numbers, &port_count))
    return false;
  if (ip_bytes / ADDR_BYTES < slots || port_count < slots) return throw_range(env, "addrs, ports: one entry per slot");
  *addrs = ips;
  *ports = numbers;
  return true;
}

port *get_udp(napi_env env, napi_value v, bool runs) {
  port *p = get_port(env, v, KIND_UDP);
  if (p == NULL || p->runs == runs) return p;
  throw_type(env, "a port of another kind");
  return NULL;
}

bool is_left_over(int error) {
  return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EMSGSIZE ||
         error == EPROTO || error == EACCES || error == ENOPROTOOPT || error == EHOSTDOWN || error == EOPNOTSUPP ||
         error == EPERM || error == EIO || error == ENONET;
}

/* recvUdp(port, arena, slotBytes, headroom, lens, addrs, ports) */
napi_value js_recv_udp(napi_env env, napi_callback_info info) {
  napi_value a[7];
  batch b;
  port *p;
  uint8_t *addrs;
  uint16_t *ports;
  if (!get_args(env, info, 7, a) || (p = get_udp(env, a[0], false)) == NULL || !get_batch(env, a + 1, &b) ||
      !get_peers(env, a + 5, b.slots, &addrs, &ports))
    return NULL;

  size_t room = b.slot_bytes - b.headroom;
  uint32_t filled = 0;
  for (uint32_t budget = 2 * b.slots; filled < b.slots && budget > 0;) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK];
    address from[CHUNK];
    uint32_t first = filled, count = b.slots - filled < CHUNK ? b.slots - filled : CHUNK;
    if (count > budget) count = budget;
    for (uint32_t i = 0; i < count; i++) {
      parts[i] = (struct iovec){b.arena + (size_t)(first + i) * b.slot_bytes + b.headroom, room};
      messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                                 .msg_namelen = sizeof from[i],
                                                 .msg_iov = &parts[i],
                                                 .msg_iovlen = 1}};
    }
    int got = recvmmsg(p->fd, messages, count, MSG_DONTWAIT, NULL);
    if (got < 0) {
      budget--;
      if (errno == EINTR) continue;
      if (errno == EAGAIN || filled > 0) break;
      if (!is_left_over(errno)) return number(env, -errno);
      p->stats.errors_in++;
      continue;
    }
    budget -= (uint32_t)got;
    for (int i = 0; i < got; i++) {
      if (messages[i].msg_hdr.msg_flags & MSG_TRUNC) {
        p->stats.oversized_in++;
        continue;
      }
      uint32_t n = messages[i].msg_len, slot = first + (uint32_t)i;
      from_address(&from[i], addrs + (size_t)filled * ADDR_BYTES, &ports[filled]);
      if (slot != filled)
        memmove(b.arena + (size_t)filled * b.slot_bytes + b.headroom, parts[i].iov_base, n);
      b.lens[filled++] = n;
    }
    if ((uint32_t)got < count) break;
  }
  p->stats.in += filled;
  return number(env, filled);
}

/* sendUdp(port, arena, slotBytes, headroom, lens, addrs, ports, vias | null, count) */
napi_value js_send_udp(napi_env env, napi_callback_info info) {
  napi_value a[9];
  batch b;
  port *p;
  uint8_t *addrs;
  const uint8_t *vias;
  uint16_t *ports;
  uint32_t total;
  if (!get_args(env, info, 9, a) || (p = get_port(env, a[0], KIND_UDP)) == NULL || !get_batch(env, a + 1, &b) ||
      !get_peers(env, a + 5, b.slots, &addrs, &ports) || !get_vias(env, a[7], b.slots, &vias) ||
      !get_send_count(env, a[8], &b, &total))
    return NULL;

  uint32_t sent = 0, retried = UINT32_MAX, room = b.slot_bytes - b.headroom;
  while (sent < total) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK];
    address to[CHUNK];
    via_memory control[CHUNK];
    int fd = p->fd;
    uint32_t n = total - sent < CHUNK ? total - sent : CHUNK;
    for (uint32_t i = 0; i < n; i++) {
      uint32_t slot = sent + i, bytes = b.lens[slot] < room ? b.lens[slot] : room;
      socklen_t length;
      if (!to_address(p->ipv4only, addrs + (size_t)slot * ADDR_BYTES, ports[slot], &to[i], &length)) {
        n = i;
        break;
      }
      parts[i] = (struct iovec){b.arena + (size_t)slot * b.slot_bytes + b.headroom, bytes};
      messages[i] = (struct mmsghdr){
          .msg_hdr = {.msg_name = &to[i], .msg_namelen = length, .msg_iov = &parts[i], .msg_iovlen = 1}};
      size_t said = vias == NULL ? 0 : put_via(p->ipv4only, vias + (size_t)slot * VIA_BYTES, &to[i], &control[i].align);
      int by = said == 0 ? p->fd : way_fd(p, vias + (size_t)slot * VIA_BYTES, &to[i]);
      if (i > 0 && by != fd) {
        n = i;
        break;
      }
      fd = by;
      if (said == 0) continue;
      messages[i].msg_hdr.msg_control = &control[i];
      messages[i].msg_hdr.msg_controllen = said;
    }
    if (n == 0) {
      p->stats.refused_out++;
      sent++;
      continue;
    }
    int took = sendmmsg(fd, messages, n, MSG_DONTWAIT);
    if (took > 0) {
      sent += (uint32_t)took;
      p->stats.out += (uint32_t)took;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      p->stats.full_out += total - sent;
      break;
    }
    /* The error may belong to an earlier datagram (it is cleared by being returned): the frame gets a second chance. */
    if (is_left_over(errno) && retried != sent) {
      retried = sent;
      continue;
    }
    /* Lost, for whoever chose the way wants to know of it and not of another: what has to arrive is sent again. */
    bool by_via = messages[0].msg_hdr.msg_controllen > 0 && is_via_error(errno);
    (*(by_via ? &p->stats.via_refused_out : &p->stats.refused_out))++;
    sent++;
  }
  return number(env, sent);
}

/* udpErrors(port, addrs, ports, codes, mtus): empties the error queue into the arrays; returns how many, 0 when empty. */
napi_value js_udp_errors(napi_env env, napi_callback_info info) {
  napi_value a[5];
  port *p;
  uint8_t *addrs;
  uint16_t *ports;
  void *codes, *mtus;
  size_t code_count, mtu_count;
  if (!get_args(env, info, 5, a) || (p = get_port(env, a[0], KIND_UDP)) == NULL ||
      !get_array(env, a[3], "codes: Int32Array", napi_int32_array, &codes, &code_count) ||
      !get_array(env, a[4], "mtus: Uint32Array", napi_uint32_array, &mtus, &mtu_count))
    return NULL;
  if (code_count > 1u << 16 || mtu_count < code_count) {
    throw_range(env, "codes, mtus: one entry per error, at most 65536");
    return NULL;
  }
  if (!get_peers(env, a + 1, (uint32_t)code_count, &addrs, &ports)) return NULL;

  uint32_t filled = 0, next = 0;
  int fd = p->fd;
  while (filled < code_count) {
    address about = {0};
    union {
      char bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6)) + 64];
      struct cmsghdr align;
    } control;
    struct msghdr m = {.msg_name = &about,
                       .msg_namelen = sizeof about,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      if (errno == EINTR) continue;
      if (next == p->sender_count) break;
      fd = p->senders[next++].fd;
      continue;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
      bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
      bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
      if (!v4 && !v6) continue;
      struct sock_extended_err e;
      memcpy(&e, CMSG_DATA(c), sizeof e);
      from_address(&about, addrs + (size_t)filled * ADDR_BYTES, &ports[filled]);
      ((int32_t *)codes)[filled] = (int32_t)e.ee_errno;
      ((uint32_t *)mtus)[filled] = e.ee_errno == EMSGSIZE ? e.ee_info : 0;
      filled++;
      break;
    }
  }
  p->stats.errors_in += filled;
  return number(env, filled);
}
