/* Runs of equal datagrams through UDP: the kernel joins them on the way in (UDP_GRO) and cuts them on the way out (UDP_SEGMENT). */
#include "udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <string.h>

enum {
  RUN_WORDS = 4,
  /* Of one send. Beyond 64 KiB with all headers a device does not segment by itself. */
  MOST_SEND_BYTES = 65000,
  /* Runs that go as single datagrams after UDP_SEGMENT failed: a route may get a better device again. */
  GSO_REST_RUNS = 1024
};

/* What the kernel says beside a run: bytes of one datagram (0: it did not say) and the address it came to. */
static uint32_t read_control(struct msghdr *m, uint8_t *local) {
  uint32_t each = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int value;
      memcpy(&value, CMSG_DATA(c), sizeof value);
      each = value > 0 ? (uint32_t)value : 0;
    } else if (local != NULL && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo at;
      memcpy(&at, CMSG_DATA(c), sizeof at);
      memcpy(local, &at.ipi6_addr, ADDR_BYTES);
    } else if (local != NULL && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo at;
      memcpy(&at, CMSG_DATA(c), sizeof at);
      memcpy(local, V4_MAPPED, sizeof V4_MAPPED);
      memcpy(local + sizeof V4_MAPPED, &at.ipi_addr, 4);
    }
  }
  return each;
}

typedef struct {
  port *p;
  batch b;
  uint16_t *segs, *ports;
  uint8_t *addrs, *locals; /* `locals` may be NULL */
} recv_runs_call;

/* port, arena, slotBytes, lens, segs, addrs, ports, locals | null */
static bool get_recv_runs(napi_env env, napi_callback_info info, napi_value a[8], recv_runs_call *c) {
  napi_value batch_args[4];
  napi_valuetype type;
  void *segs, *locals = NULL;
  size_t seg_count, local_bytes = 0;
  if (!get_args(env, info, 8, a) || (c->p = get_udp(env, a[0], true)) == NULL) return false;
  batch_args[0] = a[1];
  batch_args[1] = a[2];
  batch_args[2] = number(env, 0);
  batch_args[3] = a[3];
  if (!get_batch(env, batch_args, &c->b) || !get_array(env, a[4], "segs: Uint16Array", napi_uint16_array, &segs, &seg_count) ||
      !get_peers(env, a + 5, c->b.slots, &c->addrs, &c->ports))
    return false;
  bool located = napi_typeof(env, a[7], &type) != napi_ok || type != napi_null;
  if (located && !get_array(env, a[7], "locals: Uint8Array or null", napi_uint8_array, &locals, &local_bytes)) return false;
  if (seg_count < c->b.slots || (located && local_bytes / ADDR_BYTES < c->b.slots))
    return throw_range(env, "segs, locals: one entry per slot");
  c->segs = segs;
  c->locals = locals;
  return true;
}

/* How many slots were filled, or a negative errno. */
static int recv_runs(const recv_runs_call *call) {
  port *p = call->p;
  const batch b = call->b;
  uint32_t filled = 0, most = port_most_now(p, b.slots);
  for (uint32_t budget = 2 * b.slots; filled < most && budget > 0;) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK];
    address from[CHUNK];
    union {
      char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
      struct cmsghdr align;
    } control[CHUNK];
    uint32_t first = filled, count = most - filled < CHUNK ? most - filled : CHUNK;
    if (count > budget) count = budget;
    for (uint32_t i = 0; i < count; i++) {
      parts[i] = (struct iovec){b.arena + (size_t)(first + i) * b.slot_bytes, b.slot_bytes};
      messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                                 .msg_namelen = sizeof from[i],
                                                 .msg_iov = &parts[i],
                                                 .msg_iovlen = 1,
                                                 .msg_control = control[i].bytes,
                                                 .msg_controllen = sizeof control[i].bytes}};
    }
    int got = recvmmsg(p->fd, messages, count, MSG_DONTWAIT, NULL);
    if (got < 0) {
      budget--;
      if (errno == EINTR) continue;
      if (errno == EAGAIN || filled > 0) break;
      if (!is_left_over(errno)) return -errno;
      p->stats.errors_in++;
      continue;
    }
    budget -= (uint32_t)got;
    for (int i = 0; i < got; i++) {
      uint32_t bytes = messages[i].msg_len;
      if (messages[i].msg_hdr.msg_flags & MSG_TRUNC) {
        p->stats.oversized_in++;
        continue;
      }
      /* A datagram of no bytes is nothing anybody could take. */
      if (bytes == 0) {
        p->stats.bad_in++;
        continue;
      }
      uint8_t *local = call->locals == NULL ? NULL : call->locals + (size_t)filled * ADDR_BYTES;
      if (local != NULL) memset(local, 0, ADDR_BYTES);
      uint32_t each = read_control(&messages[i].msg_hdr, local);
      if (each == 0 || each > bytes) each = bytes;
      from_address(&from[i], call->addrs + (size_t)filled * ADDR_BYTES, &call->ports[filled]);
      if (first + (uint32_t)i != filled)
        memmove(b.arena + (size_t)filled * b.slot_bytes, parts[i].iov_base, bytes);
      call->segs[filled] = (uint16_t)each;
      b.lens[filled++] = bytes;
      p->stats.in += (bytes + each - 1) / each;
      if (each < bytes) p->stats.super_in++;
    }
    if ((uint32_t)got < count) break;
  }
  return (int)filled;
}

/* recvRuns(port, arena, slotBytes, lens, segs, addrs, ports, locals | null) */
napi_value js_recv_runs(napi_env env, napi_callback_info info) {
  napi_value a[8];
  recv_runs_call c;
  return get_recv_runs(env, info, a, &c) ? number(env, recv_runs(&c)) : NULL;
}

static napi_value bound_recv_runs(napi_env env, napi_callback_info info) {
  const recv_runs_call *c = get_bound(env, info, 0, NULL);
  return c != NULL && port_is_open(env, c->p) ? number(env, recv_runs(c)) : NULL;
}

/* bindRecvRuns(port, arena, slotBytes, lens, segs, addrs, ports, locals | null) => () */
napi_value js_bind_recv_runs(napi_env env, napi_callback_info info) {
  napi_value a[8];
  recv_runs_call c;
  return get_recv_runs(env, info, a, &c) ? bind_call(env, a, 8, bound_recv_runs, &c, sizeof c) : NULL;
}

typedef struct {
  uint8_t *arena;
  size_t arena_bytes;
  const int32_t *words;
  uint32_t most, count;
  const uint8_t *addrs;
  const uint16_t *ports;
  const uint8_t *vias; /* or NULL */
  size_t rows;
} run_list;

typedef struct {
  uint32_t row, at, bytes, each;
} run;

/* Reads a run once: the array may be shared with a thread that changes it. False when it points outside. */
static bool read_run(const run_list *l, uint32_t i, run *out) {
  const volatile int32_t *w = l->words + (size_t)i * RUN_WORDS;
  int64_t row = w[0], at = w[1], bytes = w[2], each = w[3];
  if (row < 0 || row >= (int64_t)l->rows || at < 0 || bytes <= 0 || each <= 0 || at + bytes > (int64_t)l->arena_bytes) return false;
  *out = (run){(uint32_t)row, (uint32_t)at, (uint32_t)bytes, (uint32_t)each};
  return true;
}

/* One message of a sendmmsg. */
typedef struct {
  uint32_t bytes, datagrams, row;
  bool last; /* of its run */
  enum { BY_ROUTE, BY_VIA, VIA_REFUSED } way;
  int fd;
} piece;

typedef struct {
  struct iovec part;
  address to;
  union {
    char bytes[VIA_SPACE + CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr align;
  } control;
} message_memory;

/* Where sending stands. */
typedef struct {
  uint32_t run, offset; /* next byte of that run */
  piece refused;        /* what the kernel did not take whole */
  uint32_t single_to;   /* up to this byte of the run it goes as single datagrams */
  bool judging;         /* the first of them has not gone yet */
  bool retried;
  uint64_t refused_via; /* 1 + the row whose via the kernel refused in this call: it goes as the kernel chooses; 0 for none */
  bool doubted;         /* nothing of it has gone without its via yet */
  bool fewer;           /* it was first tried with fewer segments */
} cursor;

/* Adds what a message says beside its bytes. */
static void put_control(port *p, const run_list *l, const cursor *c, piece *part, uint32_t each, struct msghdr *m, message_memory *memory) {
  size_t used = 0;
  if (l->vias != NULL) used = put_via(p->ipv4only, l->vias + (size_t)part->row * VIA_BYTES, &memory->to, &memory->control.align);
  part->way = used == 0 ? BY_ROUTE : c->refused_via == (uint64_t)part->row + 1 ? VIA_REFUSED : BY_VIA;
  if (part->way == VIA_REFUSED) used = 0;
  part->fd = used == 0 ? p->fd : way_fd(p, l->vias + (size_t)part->row * VIA_BYTES, &memory->to);
  if (part->datagrams > 1) {
    uint16_t segment = (uint16_t)each;
    struct cmsghdr *h = (struct cmsghdr *)(void *)(memory->control.bytes + used);
    *h = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
    memcpy(CMSG_DATA(h), &segment, sizeof segment);
    used += CMSG_SPACE(sizeof segment);
  }
  if (used == 0) return;
  m->msg_control = &memory->control;
  m->msg_controllen = used;
}

/* Makes as many messages as fit from where the cursor stands. */
static uint32_t make_pieces(port *p, const run_list *l, const cursor *c, piece *pieces, struct mmsghdr *messages,
                            message_memory *memory) {
  uint32_t n = 0;
  for (uint32_t i = c->run; i < l->count && n < CHUNK; i++) {
    run r;
    socklen_t length;
    if (!read_run(l, i, &r)) return n;
    for (uint32_t offset = i == c->run ? c->offset : 0; offset < r.bytes && n < CHUNK; n++) {
      bool single = p->gso_rest > 0 || (i == c->run && offset < c->single_to);
      uint32_t left = r.bytes - offset, most = single ? 1 : MOST_SEND_BYTES / r.each;
      if (most > p->most_segments) most = p->most_segments;
      if (most == 0) most = 1;
      uint32_t bytes = left / r.each >= most ? most * r.each : left;
      if (!to_address(p->ipv4only, l->addrs + (size_t)r.row * ADDR_BYTES, l->ports[r.row], &memory[n].to, &length)) return n;
      memory[n].part = (struct iovec){l->arena + r.at + offset, bytes};
      messages[n] = (struct mmsghdr){.msg_hdr = {.msg_name = &memory[n].to,
                                                 .msg_namelen = length,
                                                 .msg_iov = &memory[n].part,
                                                 .msg_iovlen = 1}};
      offset += bytes;
      pieces[n] = (piece){bytes, (bytes + r.each - 1) / r.each, r.row, offset == r.bytes, BY_ROUTE, p->fd};
      put_control(p, l, c, &pieces[n], r.each, &messages[n].msg_hdr, &memory[n]);
      /* One call is for one socket. */
      if (pieces[n].fd != pieces[0].fd) return n;
    }
  }
  return n;
}

/* Where the run behind this one begins. */
static cursor next_run(const cursor *c) {
  return (cursor){.run = c->run + 1, .refused_via = c->refused_via, .doubted = c->doubted, .fewer = c->fewer};
}

static void advance(port *p, cursor *c, const piece *done) {
  c->retried = false;
  c->offset += done->bytes;
  if (!done->last) return;
  if (p->gso_rest > 0) p->gso_rest--;
  *c = next_run(c);
}

/* Datagrams from the cursor to the end. */
static uint64_t datagrams_left(const run_list *l, const cursor *c) {
  uint64_t total = 0;
  for (uint32_t i = c->run; i < l->count; i++) {
    run r;
    if (!read_run(l, i, &r)) continue;
    uint32_t bytes = r.bytes - (i == c->run && c->offset < r.bytes ? c->offset : 0);
    total += (bytes + r.each - 1) / r.each;
  }
  return total;
}

/* The kernel did not take `first`. False when nothing more can be sent now. */
static bool after_refusal(port *p, const run_list *l, cursor *c, const piece *first, int error) {
  if (error == EINTR) return true;
  if (error == EAGAIN) {
    p->stats.full_out += datagrams_left(l, c);
    return false;
  }
  /* The error may belong to an earlier datagram (it is cleared by being returned): this one gets a second chance. */
  if (is_left_over(error) && !c->retried) {
    c->retried = true;
    return true;
  }
  bool whole = first->datagrams > 1;
  if (whole && error == EINVAL && first->datagrams > UDP_FEWER_SEGMENTS) {
    p->most_segments = UDP_FEWER_SEGMENTS;
    c->fewer = first->way == BY_VIA;
    return true;
  }
  /* EINVAL of several together may mean that one is too long for the path (and not for another): one alone will tell. */
  if (first->way == BY_VIA && is_via_error(error) && !(whole && error == EINVAL)) {
    /* Its address has gone, perhaps. If so, what the kernel chooses is better than nothing: whoever named the way hears of it soon. */
    c->refused_via = (uint64_t)first->row + 1;
    c->doubted = true;
    c->retried = c->judging = false;
    c->single_to = 0;
    return true;
  }
  /* Without its via it does not go either: that was not to blame. */
  if (first->way == VIA_REFUSED) c->doubted = c->fewer = false;
  if (whole && (error == EINVAL || error == EIO || error == EMSGSIZE)) {
    /* Too many bytes for the path, or no segmenting on it: one datagram alone will tell. */
    c->refused = *first;
    c->single_to = c->offset + first->bytes;
    c->judging = true;
    c->retried = false;
    return true;
  }
  if (c->judging) {
    /* Alone it does not go either, so segmenting is not to blame, and its fellows are as long. */
    piece all = c->refused;
    p->stats.refused_out += all.datagrams;
    c->judging = false;
    advance(p, c, &all);
    return true;
  }
  /* The queue of the device, not of the socket, is full. */
  *(error == ENOBUFS ? &p->stats.full_out : &p->stats.refused_out) += first->datagrams;
  advance(p, c, first);
  return true;
}

static uint64_t send_runs(port *p, const run_list *l) {
  cursor c = {0};
  uint64_t sent = 0;
  while (c.run < l->count) {
    struct mmsghdr messages[CHUNK];
    piece pieces[CHUNK];
    message_memory memory[CHUNK];
    uint32_t n = make_pieces(p, l, &c, pieces, messages, memory);
    if (n == 0) {
      /* A peer that this socket's family cannot reach. */
      run r;
      p->stats.refused_out += read_run(l, c.run, &r) ? (r.bytes - c.offset + r.each - 1) / r.each : 1;
      c = next_run(&c);
      continue;
    }
    int took = sendmmsg(pieces[0].fd, messages, n, MSG_DONTWAIT);
    if (took <= 0) {
      if (!after_refusal(p, l, &c, &pieces[0], errno)) break;
      continue;
    }
    if (c.judging) {
      p->gso_rest = GSO_REST_RUNS;
      p->stats.gso_refused++;
    }
    c.judging = false;
    /* The number of segments was not to blame either. */
    if (c.doubted && c.fewer) p->most_segments = UDP_MOST_SEGMENTS;
    c.doubted = c.fewer = false;
    for (int i = 0; i < took; i++) {
      sent += pieces[i].datagrams;
      if (pieces[i].way == VIA_REFUSED) p->stats.via_refused_out += pieces[i].datagrams;
      if (pieces[i].datagrams > 1) p->stats.super_out++;
      advance(p, &c, &pieces[i]);
    }
  }
  p->stats.out += sent;
  return sent;
}

typedef struct {
  port *p;
  run_list l;
} send_runs_call;

/* port, arena, runs, starting at `a`; addrs, ports, vias | null, starting at `peers` */
static bool get_send_runs(napi_env env, const napi_value *a, const napi_value *peers, send_runs_call *c) {
  void *arena, *words, *addrs, *ports;
  size_t word_count, addr_bytes, port_count;
  run_list *l = &c->l;
  if ((c->p = get_port(env, a[0], KIND_UDP)) == NULL ||
      !get_array(env, a[1], "arena: Uint8Array", napi_uint8_array, &arena, &l->arena_bytes) ||
      !get_array(env, a[2], "runs: Int32Array", napi_int32_array, &words, &word_count) ||
      !get_array(env, peers[0], "addrs: Uint8Array", napi_uint8_array, &addrs, &addr_bytes) ||
      !get_array(env, peers[1], "ports: Uint16Array", napi_uint16_array, &ports, &port_count))
    return false;
  l->arena = arena;
  l->words = words;
  l->most = at_most(word_count / RUN_WORDS, 1u << 16);
  l->addrs = addrs;
  l->ports = ports;
  l->rows = addr_bytes / ADDR_BYTES < port_count ? addr_bytes / ADDR_BYTES : port_count;
  return get_vias(env, peers[2], l->rows, &l->vias);
}

static napi_value send_counted(napi_env env, port *p, run_list l, napi_value count) {
  if (!get_u32(env, count, "count: four words per run in runs, at most 65536", l.most, &l.count)) return NULL;
  for (uint32_t i = 0; i < l.count; i++) {
    run r;
    if (!read_run(&l, i, &r)) {
      throw_range(env, "runs: row, bytes or size of a datagram out of range");
      return NULL;
    }
  }
  return number(env, (double)send_runs(p, &l));
}

/* sendRuns(port, arena, runs, count, addrs, ports, vias | null) */
napi_value js_send_runs(napi_env env, napi_callback_info info) {
  napi_value a[7];
  send_runs_call c;
  return get_args(env, info, 7, a) && get_send_runs(env, a, a + 4, &c) ? send_counted(env, c.p, c.l, a[3]) : NULL;
}

static napi_value bound_send_runs(napi_env env, napi_callback_info info) {
  napi_value count;
  const send_runs_call *c = get_bound(env, info, 1, &count);
  return c != NULL && port_is_open(env, c->p) ? send_counted(env, c->p, c->l, count) : NULL;
}

/* bindSendRuns(port, arena, runs, addrs, ports, vias | null) => (count) */
napi_value js_bind_send_runs(napi_env env, napi_callback_info info) {
  napi_value a[6];
  send_runs_call c;
  return get_args(env, info, 6, a) && get_send_runs(env, a, a + 3, &c) ? bind_call(env, a, 6, bound_send_runs, &c, sizeof c) : NULL;
}

/* steer(port, group, first) */
napi_value js_steer(napi_env env, napi_callback_info info) {
  napi_value a[3];
  port *p;
  uint32_t group, first;
  if (!get_args(env, info, 3, a) || (p = get_port(env, a[0], KIND_UDP)) == NULL ||
      !get_u32(env, a[1], "group: 1..256", 256, &group) || !get_u32(env, a[2], "first: one byte", 255, &first))
    return NULL;
  if (group == 0) {
    throw_range(env, "group: 1..256");
    return NULL;
  }
  /* Alone on its port it has a group of its own, perhaps, but nobody to share with. */
  if (!p->reuse) return number(env, -EINVAL);
  /* The program sees the payload. A load beyond its end ends it with 0: number 0 gets what is too short. */
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, group),
      BPF_STMT(BPF_RET | BPF_A, 0),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  int failed = setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
  return number(env, failed != 0 ? -errno : 0);
}
