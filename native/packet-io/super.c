/* Super-packets through TUN, TAP and packet sockets: `gso` per packet instead of virtio-net headers. */
#include "packet_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cut.h"
#include "vnet.h"

enum {
  JOB_WORDS = 3,
  /* An IP packet of any length and what stands in front of it on a link. */
  MOST_PART_BYTES = 65535 + 22,
  /* UDP super-packets that are cut here after the kernel refused one; then it is asked again. */
  UDP_REST_PACKETS = 1024
};

static port *get_frame_port(napi_env env, napi_value v) {
  port *p = get_port(env, v, -1);
  if (p == NULL || p->kind == KIND_TUN || p->kind == KIND_PACKET) return p;
  throw_type(env, "a port of another kind");
  return NULL;
}

typedef struct {
  port *p;
  batch b;
} recv_super_call;

/* port, arena, slotBytes, headroom, lens, gso */
static bool get_recv_super(napi_env env, napi_callback_info info, napi_value a[6], recv_super_call *c) {
  void *gso;
  size_t count;
  if (!get_args(env, info, 6, a) || (c->p = get_frame_port(env, a[0])) == NULL || !get_batch(env, a + 1, &c->b) ||
      !get_array(env, a[5], "gso: Uint16Array", napi_uint16_array, &gso, &count))
    return false;
  c->b.gso = gso;
  return count >= c->b.slots || throw_range(env, "gso: one entry per slot");
}

/* recvSuper(port, arena, slotBytes, headroom, lens, gso) */
napi_value js_recv_super(napi_env env, napi_callback_info info) {
  napi_value a[6];
  recv_super_call c;
  return get_recv_super(env, info, a, &c) ? number(env, recv_frames(c.p, &c.b)) : NULL;
}

static napi_value bound_recv_super(napi_env env, napi_callback_info info) {
  const recv_super_call *c = get_bound(env, info, 0, NULL);
  return c != NULL && port_is_open(env, c->p) ? number(env, recv_frames(c->p, &c->b)) : NULL;
}

/* bindRecvSuper(port, arena, slotBytes, headroom, lens, gso) => () */
napi_value js_bind_recv_super(napi_env env, napi_callback_info info) {
  napi_value a[6];
  recv_super_call c;
  return get_recv_super(env, info, a, &c) ? bind_call(env, a, 6, bound_recv_super, &c, sizeof c) : NULL;
}

typedef struct {
  uint8_t *arena;
  size_t arena_bytes;
  const int32_t *words;
  uint32_t most, count;
} super_jobs;

typedef struct {
  uint8_t *at;
  size_t bytes;
  uint16_t gso;
} super_job;

/* Reads a job once: the array may be shared with a thread that changes it. False when it lies outside the arena. */
static bool read_job(const super_jobs *j, uint32_t i, super_job *out) {
  const volatile int32_t *w = j->words + (size_t)i * JOB_WORDS;
  int64_t at = w[0], bytes = w[1], gso = w[2];
  if (at < 0 || bytes < 0 || gso < 0 || gso > VNET_CSUM_MISSING || at + bytes > (int64_t)j->arena_bytes) return false;
  *out = (super_job){j->arena + at, (size_t)bytes, (uint16_t)gso};
  return true;
}

static bool is_super(const struct virtio_net_hdr *h) {
  return h->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

typedef enum { READY, TO_CUT, REFUSED } readiness;

/* Makes ready what goes in front. REFUSED when the packet is none that its `gso` could be true of. */
static readiness prepare(port *p, super_job *job, struct virtio_net_hdr *h) {
  if (!vnet_make(job->at, &job->bytes, p->ethernet, job->gso, h)) return REFUSED;
  if (is_super(h)) return p->vnet && (p->gso_rest == 0 || h->gso_type != VIRTIO_NET_HDR_GSO_UDP_L4) ? READY : TO_CUT;
  if (p->vnet || job->gso == 0) return READY;
  /* Without headers on the socket the checksum is ours to make. */
  inet_view v;
  if (!inet_parse(job->at, job->bytes, p->ethernet, &v)) return REFUSED;
  inet_set_checksum(job->at, &v);
  return READY;
}

/* Sends one complete packet; false when the kernel refuses it, with errno. */
static bool send_plain(port *p, const uint8_t *at, size_t bytes) {
  static const struct virtio_net_hdr none;
  struct iovec parts[2] = {{(void *)&none, VNET_BYTES}, {(void *)at, bytes}};
  size_t skip = p->vnet ? 0 : 1;
  if (p->kind == KIND_TUN) return writev(p->fd, parts, 2) >= 0;
  struct msghdr m = {.msg_iov = &parts[skip], .msg_iovlen = 2 - skip};
  return sendmsg(p->fd, &m, MSG_DONTWAIT) >= 0;
}

/* Cuts a super-packet that the kernel does not take, and sends its parts. Each counts by itself. */
static void send_cut(port *p, const super_job *job) {
  uint8_t part[MOST_PART_BYTES];
  inet_view v;
  cutter c;
  if (!inet_parse(job->at, job->bytes, p->ethernet, &v) ||
      cut_begin(job->at + v.l3, (uint32_t)(job->bytes - v.l3), job->gso, MOST_PART_BYTES - v.l3, &c) != DONE || c.header == 0) {
    p->stats.refused_out++;
    return;
  }
  p->stats.gso_refused++;
  memcpy(part, job->at, v.l3);
  for (uint32_t i = 0; i < c.count; i++) {
    uint32_t bytes = cut_bytes(&c, i);
    memcpy(part + v.l3 + c.header, job->at + v.l3 + c.header + (size_t)i * c.each, bytes - c.header);
    cut_headers(&c, i, part + v.l3);
    if (send_plain(p, part, v.l3 + bytes))
      p->stats.out++;
    else if (errno == EAGAIN || errno == ENOBUFS)
      p->stats.full_out++;
    else
      p->stats.refused_out++;
  }
}

/* Job `at` does not go as it is. */
static void without_kernel(port *p, const super_job *job, readiness how) {
  if (how == TO_CUT) {
    if (p->gso_rest > 0) p->gso_rest--;
    send_cut(p, job);
  } else {
    p->stats.refused_out++;
  }
}

/* What ends a send: how many jobs are behind it, or a negative errno. */
typedef struct {
  bool over;
  int result;
} ending;

/* Judges the error that job `at` met; moves `at` on when only that job is lost, or sent in another way. */
static ending after_failure(port *p, int error, const super_jobs *jobs, const struct virtio_net_hdr *h, uint32_t *at) {
  uint32_t count = jobs->count;
  super_job job;
  switch (on_send_error(p, error)) {
    case SAME_FRAME:
      break;
    case NEXT_FRAME:
      if (error == EINVAL && is_super(h) && read_job(jobs, *at, &job)) {
        /* Kernels before 6.2 know no UDP super-packets: most of the next ones need not be tried. */
        if (h->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4) p->gso_rest = UDP_REST_PACKETS;
        send_cut(p, &job);
      } else {
        p->stats.refused_out++;
      }
      (*at)++;
      break;
    case STOP_HERE:
      p->stats.full_out += count - *at;
      return (ending){true, (int)*at};
    case ALL_LOST:
      p->stats.down_out += count - *at;
      return (ending){true, (int)count};
    case GIVE_UP:
      return (ending){true, -error};
  }
  return (ending){false, 0};
}

/* Writes one packet with its header. `before`: bytes of memory in front of it, used and put back (`read_packet`). */
static ssize_t write_packet(int fd, uint8_t *at, size_t bytes, const struct virtio_net_hdr *h, size_t before) {
  if (before < VNET_BYTES) {
    struct iovec parts[2] = {{(void *)h, VNET_BYTES}, {at, bytes}};
    return writev(fd, parts, 2);
  }
  uint8_t kept[VNET_BYTES], *start = at - VNET_BYTES;
  memcpy(kept, start, VNET_BYTES);
  memcpy(start, h, VNET_BYTES);
  ssize_t n = write(fd, start, VNET_BYTES + bytes);
  memcpy(start, kept, VNET_BYTES);
  return n;
}

static int send_tun(port *p, const super_jobs *jobs) {
  uint32_t at = 0;
  while (at < jobs->count) {
    struct virtio_net_hdr h;
    super_job job;
    readiness how = read_job(jobs, at, &job) ? prepare(p, &job, &h) : REFUSED;
    if (how != READY) {
      without_kernel(p, &job, how);
      at++;
      continue;
    }
    if (write_packet(p->fd, job.at, job.bytes, &h, (size_t)(job.at - jobs->arena)) >= 0) {
      p->stats.out++;
      if (is_super(&h)) p->stats.super_out++;
      at++;
      continue;
    }
    ending e = after_failure(p, errno, jobs, &h, &at);
    if (e.over) return e.result;
  }
  return (int)at;
}

static int send_packets(port *p, const super_jobs *jobs) {
  size_t skip = p->vnet ? 0 : 1;
  uint32_t at = 0;
  while (at < jobs->count) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK][2];
    struct virtio_net_hdr headers[CHUNK];
    uint32_t n = 0, most = jobs->count - at < CHUNK ? jobs->count - at : CHUNK;
    super_job job;
    readiness how = READY;
    for (; n < most; n++) {
      how = read_job(jobs, at + n, &job) ? prepare(p, &job, &headers[n]) : REFUSED;
      if (how != READY) break;
      parts[n][0] = (struct iovec){&headers[n], VNET_BYTES};
      parts[n][1] = (struct iovec){job.at, job.bytes};
      messages[n] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[n][skip], .msg_iovlen = 2 - skip}};
    }
    if (n == 0) {
      without_kernel(p, &job, how);
      at++;
      continue;
    }
    int took = sendmmsg(p->fd, messages, n, MSG_DONTWAIT);
    if (took > 0) {
      for (int i = 0; i < took; i++)
        if (is_super(&headers[i])) p->stats.super_out++;
      at += (uint32_t)took;
      p->stats.out += (uint32_t)took;
      continue;
    }
    ending e = after_failure(p, errno, jobs, &headers[0], &at);
    if (e.over) return e.result;
  }
  return (int)at;
}

typedef struct {
  port *p;
  super_jobs jobs;
} send_super_call;

/* port, arena, jobs, starting at `a` */
static bool get_send_super(napi_env env, const napi_value *a, send_super_call *c) {
  void *arena, *words;
  size_t word_count;
  if ((c->p = get_frame_port(env, a[0])) == NULL ||
      !get_array(env, a[1], "arena: Uint8Array", napi_uint8_array, &arena, &c->jobs.arena_bytes) ||
      !get_array(env, a[2], "jobs: Int32Array", napi_int32_array, &words, &word_count))
    return false;
  c->jobs.arena = arena;
  c->jobs.words = words;
  c->jobs.most = at_most(word_count / JOB_WORDS, 1u << 16);
  return true;
}

static napi_value send_super(napi_env env, port *p, super_jobs jobs, napi_value count) {
  if (!get_u32(env, count, "count: three words per packet in jobs, at most 65536", jobs.most, &jobs.count)) return NULL;
  for (uint32_t i = 0; i < jobs.count; i++) {
    super_job job;
    if (!read_job(&jobs, i, &job)) {
      throw_range(env, "jobs: a packet outside the arena");
      return NULL;
    }
  }
  return number(env, p->kind == KIND_TUN ? send_tun(p, &jobs) : send_packets(p, &jobs));
}

/* sendSuper(port, arena, jobs, count) */
napi_value js_send_super(napi_env env, napi_callback_info info) {
  napi_value a[4];
  send_super_call c;
  return get_args(env, info, 4, a) && get_send_super(env, a, &c) ? send_super(env, c.p, c.jobs, a[3]) : NULL;
}

static napi_value bound_send_super(napi_env env, napi_callback_info info) {
  napi_value count;
  const send_super_call *c = get_bound(env, info, 1, &count);
  return c != NULL && port_is_open(env, c->p) ? send_super(env, c->p, c->jobs, count) : NULL;
}

/* bindSendSuper(port, arena, jobs) => (count) */
napi_value js_bind_send_super(napi_env env, napi_callback_info info) {
  napi_value a[3];
  send_super_call c;
  return get_args(env, info, 3, a) && get_send_super(env, a, &c) ? bind_call(env, a, 3, bound_send_super, &c, sizeof c) : NULL;
}
