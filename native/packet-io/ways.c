/* How datagrams leave: with which address of ours, out of which interface. */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

bool is_via_error(int error) {
  return error == EINVAL || error == EADDRNOTAVAIL || error == ENETUNREACH || error == ENODEV;
}

bool get_vias(napi_env env, napi_value v, size_t rows, const uint8_t **vias) {
  napi_valuetype type;
  void *bytes;
  size_t length;
  *vias = NULL;
  if (napi_typeof(env, v, &type) == napi_ok && type == napi_null) return true;
  if (!get_array(env, v, "vias: Uint8Array or null", napi_uint8_array, &bytes, &length)) return false;
  if (length / VIA_BYTES < rows) return throw_range(env, "vias: 20 bytes per row");
  *vias = bytes;
  return true;
}

size_t put_via(bool ipv4only, const uint8_t *via, const address *to, struct cmsghdr *at) {
  static const uint8_t none[VIA_BYTES];
  /* Read once: the array may be shared with a thread that changes it. */
  uint8_t wanted[VIA_BYTES];
  uint32_t ifindex;
  memcpy(wanted, via, VIA_BYTES);
  bool any = memcmp(wanted, none, ADDR_BYTES) == 0, mapped = memcmp(wanted, V4_MAPPED, sizeof V4_MAPPED) == 0;
  bool four = ipv4only || memcmp(&to->v6.sin6_addr, V4_MAPPED, sizeof V4_MAPPED) == 0;
  if (memcmp(wanted, none, VIA_BYTES) == 0 || (!any && mapped != four)) return 0;
  memcpy(&ifindex, wanted + ADDR_BYTES, sizeof ifindex);
  if (ipv4only) {
    struct in_pktinfo info = {.ipi_ifindex = (int)ifindex};
    memcpy(&info.ipi_spec_dst, wanted + sizeof V4_MAPPED, 4);
    *at = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
    memcpy(CMSG_DATA(at), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
  }
  /* Towards IPv4 the kernel takes any address only in the v4-mapped form. */
  if (any && four) memcpy(wanted, V4_MAPPED, sizeof V4_MAPPED);
  struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
  memcpy(&info.ipi6_addr, wanted, ADDR_BYTES);
  *at = (struct cmsghdr){.cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
  memcpy(CMSG_DATA(at), &info, sizeof info);
  return CMSG_SPACE(sizeof info);
}

static int get_int(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : 0;
}

static bool set_flag(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* A socket on the very address and port of `fd`, which shares its port meanwhile; -1 when refused. */
static int socket_beside(int fd) {
  address at = {0};
  socklen_t length = sizeof at;
  int only = 0;
  socklen_t only_length = sizeof only;
  if (getsockname(fd, &at.any, &length) != 0 || getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_length) != 0) return -1;
  int beside = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (beside < 0) return -1;
  if (set_flag(beside, SOL_SOCKET, SO_REUSEPORT, 1) && set_flag(beside, IPPROTO_IPV6, IPV6_V6ONLY, only) &&
      bind(beside, &at.any, length) == 0)
    return beside;
  close(beside);
  return -1;
}

way_sockets make_group(int fd) {
  struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog first = {1, code};
  if (!set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return NO_GROUP;
  /* The kernel makes a group when a second socket comes, and keeps it when that goes. Its number 0 is the socket that was there first. */
  int beside = socket_beside(fd);
  bool made = beside >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &first, sizeof first) == 0;
  if (beside >= 0) close(beside);
  /* Or any program of ours could open the port once more, and neither would be told. */
  set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 0);
  return made ? OWN_GROUP : NO_GROUP;
}

/*
 * A socket that sends by one interface and never receives. It joins the group, whose program gives it nothing; then it is connected to a port of
 * this machine where nobody is, after which nothing else can be for it; and only then bound to the interface, which takes it out of the group.
 */
static int open_sender(port *p, uint32_t ifindex) {
  const struct sockaddr_in6 nobody = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(9)};
  bool own = p->by_interface == OWN_GROUP;
  if (own && !set_flag(p->fd, SOL_SOCKET, SO_REUSEPORT, 1)) return -1;
  int fd = socket_beside(p->fd);
  if (own) set_flag(p->fd, SOL_SOCKET, SO_REUSEPORT, 0);
  if (fd < 0) return -1;
  int mark = get_int(p->fd, SO_MARK);
  /* The kernel says twice what was asked for. */
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, (uint32_t)get_int(p->fd, SO_SNDBUF) / 2);
  if (set_flag(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) && set_flag(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) &&
      (mark == 0 || set_flag(fd, SOL_SOCKET, SO_MARK, mark)) && connect(fd, (const struct sockaddr *)&nobody, sizeof nobody) == 0 &&
      set_flag(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex))
    return fd;
  close(fd);
  return -1;
}

int way_fd(port *p, const uint8_t *via, const address *to) {
  uint32_t ifindex;
  memcpy(&ifindex, via + ADDR_BYTES, sizeof ifindex);
  if (p->by_interface == NO_GROUP || ifindex == 0 || ifindex > INT32_MAX) return p->fd;
  if (memcmp(&to->v6.sin6_addr, V4_MAPPED, sizeof V4_MAPPED) == 0) return p->fd;
  for (uint32_t i = 0; i < p->sender_count; i++)
    if (p->senders[i].ifindex == ifindex) return p->senders[i].fd;
  int fd = open_sender(p, ifindex);
  if (fd < 0) return p->fd;
  uint32_t at = p->sender_count;
  if (at == MOST_SENDERS) {
    at = p->oldest_sender;
    p->oldest_sender = (at + 1) % MOST_SENDERS;
    close(p->senders[at].fd);
  } else {
    p->sender_count++;
  }
  p->senders[at].ifindex = ifindex;
  p->senders[at].fd = fd;
  return fd;
}
