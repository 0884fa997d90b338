/*
 * Preloaded: sendmmsg and write as on a machine that cuts no UDP runs. No kernel here does that without IPsec, which is not built in.
 * REFUSE_GSO, read at every call: "eio" refuses every run, a number every run of more segments; "tun" every UDP super-packet written to
 * a TUN, as Linux before 6.2; anything else nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refused(const struct msghdr *m) {
  const char *how = getenv("REFUSE_GSO");
  struct cmsghdr *c = m->msg_control == NULL ? NULL : CMSG_FIRSTHDR(m);
  unsigned short each;
  if (how == NULL || *how == 0 || c == NULL || c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_SEGMENT) return 0;
  if (strcmp(how, "eio") == 0) return EIO;
  if (strcmp(how, "tun") == 0) return 0;
  memcpy(&each, CMSG_DATA(c), sizeof each);
  return m->msg_iov[0].iov_len > (size_t)atoi(how) * each ? EINVAL : 0;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  unsigned n = 0;
  while (n < count && !refused(&messages[n].msg_hdr)) n++;
  if (n == 0 && count > 0) {
    errno = refused(&messages[0].msg_hdr);
    return -1;
  }
  return (int)syscall(SYS_sendmmsg, fd, messages, n, flags);
}

ssize_t write(int fd, const void *bytes, size_t n) {
  const unsigned char *header = bytes;
  const char *how = getenv("REFUSE_GSO");
  /* NEEDS_CSUM and UDP_L4 of a virtio-net header: no text begins with these. */
  if (how != NULL && strcmp(how, "tun") == 0 && n > 38 && header[0] == 1 && header[1] == 5) {
    errno = EINVAL;
    return -1;
  }
  return syscall(SYS_write, fd, bytes, n);
}
