/* TUN and TAP devices and packet sockets: everything that moves whole frames, with a virtio-net header in front. */
#include "packet_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vnet.h"

/* Since Linux 6.2; older headers lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int set_queue_length(const char *name, uint32_t packets) {
  struct ifreq r = {0};
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) return -errno;
  memcpy(r.ifr_name, name, IFNAMSIZ);
  r.ifr_qlen = (int)packets;
  int result = ioctl(s, SIOCSIFTXQLEN, &r) < 0 ? -errno : 0;
  close(s);
  return result;
}

/*
 * Asks for the offloads, step by step for less: without USO (kernels before 6.2), without ECN, checksums alone, none.
 * A flag that is none of ours is the caller's mistake and stays one. Returns what is on, or a negative errno.
 */
static int64_t set_offload(int fd, uint32_t wanted) {
  static const uint32_t without[] = {0, TUN_F_USO4 | TUN_F_USO6, TUN_F_UFO | TUN_F_TSO_ECN, TUN_F_TSO4 | TUN_F_TSO6, TUN_F_CSUM};
  uint32_t flags = wanted;
  for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
    if (i > 0 && (flags & without[i]) == 0) continue;
    flags &= ~without[i];
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) == 0) return flags;
    if (errno != EINVAL) break;
  }
  return -errno;
}

/* openTun(name, tap, offload, persist, queuePackets, multiQueue) */
napi_value js_open_tun(napi_env env, napi_callback_info info) {
  napi_value a[6];
  struct ifreq r = {0};
  bool tap, persist, multi_queue;
  uint32_t offload, queue;
  if (!get_args(env, info, 6, a) || !get_name(env, a[0], "name: interface name", true, r.ifr_name) ||
      !get_bool(env, a[1], "tap: boolean", &tap) || !get_u32(env, a[2], "offload: TUN_F_ flags", 0xff, &offload) ||
      !get_bool(env, a[3], "persist: boolean", &persist) || !get_u32(env, a[4], "queuePackets: 0..65536", 65536, &queue) ||
      !get_bool(env, a[5], "multiQueue: boolean", &multi_queue))
    return NULL;

  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return number(env, -errno);
  int header = VNET_BYTES;
  r.ifr_flags = (short)((tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
  int64_t on = 0;
  int error = 0;
  if (ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
      ioctl(fd, TUNSETPERSIST, (unsigned long)persist) < 0)
    error = -errno;
  else if ((on = set_offload(fd, offload)) < 0)
    error = (int)on;
  else if (queue > 0)
    error = set_queue_length(r.ifr_name, queue);
  if (error != 0) {
    close(fd);
    return number(env, error);
  }
  port *p;
  napi_value object = port_new(env, KIND_TUN, fd, &p), name;
  if (object == NULL) return NULL;
  p->vnet = true;
  p->ethernet = tap;
  p->ifindex = (int)if_nametoindex(r.ifr_name);
  set_number(env, object, "ifindex", p->ifindex);
  set_number(env, object, "offload", (double)on);
  if (napi_create_string_utf8(env, r.ifr_name, NAPI_AUTO_LENGTH, &name) == napi_ok)
    napi_set_named_property(env, object, "name", name);
  return object;
}

static int set_int(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}

void set_buffer(int fd, int force_option, int option, uint32_t bytes) {
  if (bytes == 0) return;
  if (set_int(fd, SOL_SOCKET, force_option, (int)bytes) != 0) set_int(fd, SOL_SOCKET, option, (int)bytes);
}

/* `words`: code, jt, jf, k for each instruction. The kernel checks the program itself. */
static int attach_filter(int fd, const uint32_t *words, size_t count) {
  struct sock_filter *code = calloc(count, sizeof *code);
  if (code == NULL) return -ENOMEM;
  for (size_t i = 0; i < count; i++)
    code[i] = (struct sock_filter){(uint16_t)words[4 * i], (uint8_t)words[4 * i + 1], (uint8_t)words[4 * i + 2],
                                   words[4 * i + 3]};
  struct sock_fprog program = {(unsigned short)count, code};
  int result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
  free(code);
  return result;
}

typedef struct {
  bool receive, vnet, ignore_outgoing, promiscuous, bypass_queue;
  uint32_t fanout; /* group, 0 for none */
} packet_options;

static int set_up_packet(int fd, int ifindex, const packet_options *o, const uint32_t *filter, size_t instructions) {
  struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
  struct sockaddr_ll at = {.sll_family = AF_PACKET,
                           .sll_ifindex = ifindex,
                           .sll_protocol = o->receive ? htons(ETH_P_ALL) : 0};
  if (o->vnet && set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1) != 0) return -errno;
  if (set_int(fd, SOL_PACKET, PACKET_AUXDATA, 1) != 0) return -errno;
  if (o->ignore_outgoing && set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) != 0) return -errno;
  if (o->bypass_queue && set_int(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) != 0) return -errno;
  if (filter != NULL) {
    int error = attach_filter(fd, filter, instructions);
    if (error != 0) return error;
  }
  /* Bound last: nothing is received before the filter stands. */
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) return -errno;
  if (o->promiscuous && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof promisc) != 0) return -errno;
  /* By a hash that is the same for both directions of a flow. Wants a socket that is bound and receives. */
  if (o->fanout != 0 && set_int(fd, SOL_PACKET, PACKET_FANOUT, (int)(o->fanout | PACKET_FANOUT_HASH << 16)) != 0) return -errno;
  return 0;
}

/* Whether frames of the interface that the socket is bound to begin with an Ethernet header; a TUN's do not. */
static bool is_ethernet(int fd) {
  struct sockaddr_ll at = {0};
  socklen_t n = sizeof at;
  return getsockname(fd, (struct sockaddr *)&at, &n) == 0 && (at.sll_hatype == ARPHRD_ETHER || at.sll_hatype == ARPHRD_LOOPBACK);
}

/* openPacket(name, receive, vnet, ignoreOutgoing, promiscuous, filter | null, bufferBytes, fanout, bypassQueue) */
napi_value js_open_packet(napi_env env, napi_callback_info info) {
  napi_value a[9];
  napi_valuetype type;
  char name[IFNAMSIZ];
  packet_options o = {0};
  void *filter = NULL;
  size_t words = 0;
  uint32_t buffer;
  if (!get_args(env, info, 9, a) || !get_name(env, a[0], "name: interface name", false, name) ||
      !get_bool(env, a[1], "receive: boolean", &o.receive) || !get_bool(env, a[2], "vnet: boolean", &o.vnet) ||
      !get_bool(env, a[3], "ignoreOutgoing: boolean", &o.ignore_outgoing) ||
      !get_bool(env, a[4], "promiscuous: boolean", &o.promiscuous) ||
      !get_u32(env, a[6], "bufferBytes: 0..2^30", 1u << 30, &buffer) ||
      !get_u32(env, a[7], "fanout: 0..65535", 65535, &o.fanout) ||
      !get_bool(env, a[8], "bypassQueue: boolean", &o.bypass_queue))
    return NULL;
  if (o.fanout != 0 && !o.receive) {
    throw_range(env, "fanout: only for a socket that receives");
    return NULL;
  }
  if (napi_typeof(env, a[5], &type) != napi_ok || type != napi_null) {
    if (!get_array(env, a[5], "filter: Uint32Array or null", napi_uint32_array, &filter, &words)) return NULL;
    if (words == 0 || words % 4 != 0 || words / 4 > BPF_MAXINSNS) {
      throw_range(env, "filter: four words per instruction, 1..4096 instructions");
      return NULL;
    }
    for (size_t i = 0; i < words; i += 4) {
      const uint32_t *w = (const uint32_t *)filter + i;
      if (w[0] > 0xffff || w[1] > 0xff || w[2] > 0xff) {
        throw_range(env, "filter: code is 16 bits, jt and jf are 8");
        return NULL;
      }
    }
  }

  unsigned ifindex = if_nametoindex(name);
  if (ifindex == 0) return number(env, -errno);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return number(env, -errno);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, buffer);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, buffer);
  int error = set_up_packet(fd, (int)ifindex, &o, filter, words / 4);
  if (error != 0) {
    close(fd);
    return number(env, error);
  }
  port *p;
  napi_value object = port_new(env, KIND_PACKET, fd, &p);
  if (object == NULL) return NULL;
  p->vnet = o.vnet;
  p->ethernet = is_ethernet(fd);
  p->ifindex = (int)ifindex;
  set_number(env, object, "ifindex", p->ifindex);
  napi_set_named_property(env, object, "name", a[0]);
  return object;
}

/*
 * Whether the frame is fit to hand on as slot `slot`, `bytes` of it. For recvSuper the header is judged; for recv a super-packet's
 * header stays for a caller that asked for headers, and everything else is completed.
 */
static bool finish_frame(port *p, const batch *b, uint32_t slot, uint8_t *frame, size_t *bytes, struct virtio_net_hdr *h) {
  bool fit = true;
  if (b->gso != NULL) {
    fit = vnet_judge(frame, bytes, p->ethernet, h, &b->gso[slot]);
    if (fit && b->gso[slot] != 0 && b->gso[slot] != VNET_CSUM_MISSING) p->stats.super_in++;
  } else if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && (h->gso_type == VIRTIO_NET_HDR_GSO_NONE || b->headers == NULL)) {
    fit = vnet_complete(frame, *bytes, p->ethernet, h);
    h->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
  }
  if (!fit) p->stats.bad_in++;
  return fit;
}

/*
 * Reads one packet and the header in front of it; a result above VNET_BYTES + room means it was longer. With `borrow` the bytes
 * around the frame's room are used and put back: a read into one piece costs the kernel a tenth less than one into three.
 */
static ssize_t read_packet(int fd, uint8_t *frame, size_t room, struct virtio_net_hdr *h, bool borrow) {
  uint8_t before[VNET_BYTES], after;
  if (!borrow) {
    struct iovec parts[3] = {{h, VNET_BYTES}, {frame, room}, {&after, 1}};
    return readv(fd, parts, 3);
  }
  memcpy(before, frame - VNET_BYTES, VNET_BYTES);
  after = frame[room];
  ssize_t n = read(fd, frame - VNET_BYTES, VNET_BYTES + room + 1);
  memcpy(h, frame - VNET_BYTES, VNET_BYTES);
  memcpy(frame - VNET_BYTES, before, VNET_BYTES);
  frame[room] = after;
  return n;
}

static int recv_tun(port *p, const batch *b) {
  size_t room = b->slot_bytes - b->headroom;
  uint32_t filled = 0, most = b->gso != NULL ? port_most_now(p, b->slots) : b->slots;
  /* A refused frame takes no slot; the budget keeps a flood of them from holding the loop. */
  for (uint32_t budget = 2 * b->slots; filled < most && budget > 0; budget--) {
    struct virtio_net_hdr own, *h = b->headers != NULL ? &b->headers[filled] : &own;
    uint8_t *frame = b->arena + (size_t)filled * b->slot_bytes + b->headroom;
    /* Behind the last slot the memory may be another's. */
    ssize_t n = read_packet(p->fd, frame, room, h, b->headroom >= VNET_BYTES && filled + 1 < b->slots);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || filled > 0) break;
      int error = -errno;
      port_is_gone(p);
      return error;
    }
    if ((size_t)n > VNET_BYTES + room)
      p->stats.oversized_in++;
    else if ((size_t)n <= VNET_BYTES)
      p->stats.bad_in++;
    else {
      size_t bytes = (size_t)n - VNET_BYTES;
      if (finish_frame(p, b, filled, frame, &bytes, h)) b->lens[filled++] = (uint32_t)bytes;
    }
  }
  p->stats.in += filled;
  return (int)filled;
}

enum { ADDRESSES_BYTES = 2 * ETH_ALEN };

/*
 * The kernel takes an outer VLAN tag off before a packet socket sees the frame; this puts it back. `gap` bytes were left free for it
 * behind the addresses: a right guess spares moving 64 KiB.
 */
static size_t restore_vlan(port *p, struct msghdr *m, uint8_t *frame, size_t bytes, size_t gap) {
  struct tpacket_auxdata aux = {0};
  for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
    if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) memcpy(&aux, CMSG_DATA(c), sizeof aux);
  bool tagged = (aux.tp_status & TP_STATUS_VLAN_VALID) && bytes >= ADDRESSES_BYTES;
  size_t wanted = tagged ? VLAN_BYTES : 0;
  if (wanted != gap && bytes > ADDRESSES_BYTES)
    memmove(frame + ADDRESSES_BYTES + wanted, frame + ADDRESSES_BYTES + gap, bytes - ADDRESSES_BYTES);
  if (tagged) {
    uint16_t tag[2] = {htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q),
                       htons(aux.tp_vlan_tci)};
    memcpy(frame + ADDRESSES_BYTES, tag, VLAN_BYTES);
  }
  p->tagged = tagged;
  return bytes + wanted;
}

static int recv_packets(port *p, const batch *b) {
  if (b->slot_bytes - b->headroom <= VLAN_BYTES + ADDRESSES_BYTES) return -EMSGSIZE;
  /* Room is kept for a VLAN tag to be put back. */
  size_t room = b->slot_bytes - b->headroom - VLAN_BYTES, skip = p->vnet ? 0 : 1;
  uint32_t filled = 0, most = b->gso != NULL ? port_most_now(p, b->slots) : b->slots;
  for (uint32_t budget = 2 * b->slots; filled < most && budget > 0;) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK][3];
    struct virtio_net_hdr headers[CHUNK];
    size_t gap = p->tagged ? VLAN_BYTES : 0;
    union {
      char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
      struct cmsghdr align;
    } control[CHUNK];
    uint32_t first = filled, count = most - filled < CHUNK ? most - filled : CHUNK;
    if (count > budget) count = budget;
    memset(messages, 0, count * sizeof messages[0]);
    memset(headers, 0, count * sizeof headers[0]);
    for (uint32_t i = 0; i < count; i++) {
      uint8_t *frame = b->arena + (size_t)(first + i) * b->slot_bytes + b->headroom;
      parts[i][0] = (struct iovec){&headers[i], VNET_BYTES};
      parts[i][1] = (struct iovec){frame, ADDRESSES_BYTES};
      parts[i][2] = (struct iovec){frame + ADDRESSES_BYTES + gap, room - ADDRESSES_BYTES};
      messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i][skip],
                                            .msg_iovlen = 3 - skip,
                                            .msg_control = control[i].bytes,
                                            .msg_controllen = sizeof control[i].bytes};
    }
    int got = recvmmsg(p->fd, messages, count, MSG_DONTWAIT, NULL);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || filled > 0) break;
      int error = -errno;
      /* A frame the kernel cannot describe in a virtio header (UDP super-frames on 6.1) is lost, not the port. */
      if (error == -EINVAL) {
        p->stats.bad_in++;
        budget--;
        continue;
      }
      return port_is_gone(p) ? -ENXIO : error;
    }
    budget -= (uint32_t)got;
    for (int i = 0; i < got; i++) {
      struct msghdr *m = &messages[i].msg_hdr;
      size_t n = messages[i].msg_len - (p->vnet ? VNET_BYTES : 0);
      uint8_t *frame = parts[i][1].iov_base;
      if (m->msg_flags & MSG_TRUNC) {
        p->stats.oversized_in++;
        continue;
      }
      if (messages[i].msg_len < (p->vnet ? VNET_BYTES + 1 : 1)) {
        p->stats.bad_in++;
        continue;
      }
      size_t tagged = restore_vlan(p, m, frame, n, gap);
      if (tagged != n && (headers[i].flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) headers[i].csum_start += VLAN_BYTES;
      if (!finish_frame(p, b, filled, frame, &tagged, &headers[i])) continue;
      /* Frames after a refused one move up, so that the batch has no holes. */
      if (filled != first + (uint32_t)i)
        memmove(b->arena + (size_t)filled * b->slot_bytes + b->headroom, frame, tagged);
      if (b->headers != NULL) b->headers[filled] = headers[i];
      b->lens[filled++] = (uint32_t)tagged;
    }
    if ((uint32_t)got < count) break;
  }
  p->stats.in += filled;
  return (int)filled;
}

int recv_frames(port *p, const batch *b) {
  return p->kind == KIND_TUN ? recv_tun(p, b) : recv_packets(p, b);
}

/* recv(port, arena, slotBytes, headroom, lens, virtio | null) */
napi_value js_recv(napi_env env, napi_callback_info info) {
  napi_value a[6];
  batch b;
  port *p;
  if (!get_args(env, info, 6, a) || (p = get_port(env, a[0], -1)) == NULL) return NULL;
  if (p->kind != KIND_TUN && p->kind != KIND_PACKET) {
    throw_type(env, "a port of another kind");
    return NULL;
  }
  if (!get_batch(env, a + 1, &b) || !get_headers(env, a[5], &b)) return NULL;
  return number(env, recv_frames(p, &b));
}

after_error on_send_error(port *p, int error) {
  switch (error) {
    case EINTR:
      return SAME_FRAME;
    case EAGAIN:
      return STOP_HERE;
    case EBADFD:
    case ENXIO:
    case ENODEV:
    case ENETDOWN:
    case EIO:
      /* Link down is a state of the network that passes; a removed interface is not. */
      return port_is_gone(p) ? GIVE_UP : ALL_LOST;
    default:
      /* EMSGSIZE, EINVAL, ENOBUFS, EFAULT, …: this frame only. */
      return NEXT_FRAME;
  }
}

static int send_frames(port *p, const batch *b, uint32_t count) {
  static const struct virtio_net_hdr plain;
  uint32_t sent = 0;
  while (sent < count) {
    struct mmsghdr messages[CHUNK];
    struct iovec parts[CHUNK][2];
    uint32_t n = count - sent < CHUNK ? count - sent : CHUNK;
    for (uint32_t i = 0; i < n; i++) {
      uint32_t slot = sent + i, room = b->slot_bytes - b->headroom;
      /* Read once: the array may be shared with a thread that changes it after the check. */
      uint32_t bytes = b->lens[slot] < room ? b->lens[slot] : room;
      parts[i][0] = (struct iovec){(void *)(b->headers != NULL ? &b->headers[slot] : &plain), VNET_BYTES};
      parts[i][1] = (struct iovec){b->arena + (size_t)slot * b->slot_bytes + b->headroom, bytes};
      size_t skip = p->vnet ? 0 : 1;
      messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i][skip], .msg_iovlen = 2 - skip}};
    }
    int took = 0, error = 0;
    if (p->kind == KIND_PACKET) {
      took = sendmmsg(p->fd, messages, n, MSG_DONTWAIT);
      if (took < 0) error = errno;
    } else {
      while ((uint32_t)took < n && error == 0) {
        if (writev(p->fd, parts[took], 2) < 0)
          error = errno;
        else
          took++;
      }
    }
    if (took > 0) {
      sent += (uint32_t)took;
      p->stats.out += (uint32_t)took;
    }
    if (error == 0) continue;
    switch (on_send_error(p, error)) {
      case SAME_FRAME:
        break;
      case NEXT_FRAME:
        p->stats.refused_out++;
        sent++;
        break;
      case STOP_HERE:
        p->stats.full_out += count - sent;
        return (int)sent;
      case ALL_LOST:
        p->stats.down_out += count - sent;
        return (int)count;
      case GIVE_UP:
        return -error;
    }
  }
  return (int)sent;
}

/* send(port, arena, slotBytes, headroom, lens, count, virtio | null) */
napi_value js_send(napi_env env, napi_callback_info info) {
  napi_value a[7];
  batch b;
  uint32_t count;
  port *p;
  if (!get_args(env, info, 7, a) || (p = get_port(env, a[0], -1)) == NULL) return NULL;
  if (p->kind != KIND_TUN && p->kind != KIND_PACKET) {
    throw_type(env, "a port of another kind");
    return NULL;
  }
  if (!get_batch(env, a + 1, &b) || !get_headers(env, a[6], &b) || !get_send_count(env, a[5], &b, &count)) return NULL;
  return number(env, send_frames(p, &b, count));
}
