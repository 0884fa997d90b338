/*
 * Loads a relay: one end sends datagrams to it, the other end counts what it forwards. Knows nothing of relays but the bytes that a
 * datagram begins with.
 *
 *   relayload FROM PORT TO PORT RELAY PORT HEAD BYTES RATE MILLIS RUN
 *
 * From FROM go RATE datagrams a second to RELAY, in sends of RUN (UDP_SEGMENT where it is more than one): HEAD (hex), then BYTES (HEAD
 * not counted) of payload. What arrives at TO is counted, whatever is in it. Prints {"sent","received","seconds"}. IPv4 and IPv6 addresses.
 * A sender in real time that sleeps between bursts of at most 200 us, as in udpload.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
enum { BATCH = 64, MOST_RUN = 64, MOST_BYTES = 65000, BUFFER = 32 << 20 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int open_at(const char *address, const char *port) {
  struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  if (getaddrinfo(address, port, &hints, &found) != 0) die(address);
  int fd = socket(found->ai_family, SOCK_DGRAM, 0), on = 1, bytes = BUFFER;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0) die("bind");
  freeaddrinfo(found);
  return fd;
}

static void join_to(int fd, const char *address, const char *port) {
  struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  if (getaddrinfo(address, port, &hints, &found) != 0) die(address);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) die("connect");
  freeaddrinfo(found);
}

static volatile int over = 0;
static uint64_t received = 0;

/* Runs come in one piece with their segment size: counting must cost less than forwarding. */
static void *count(void *arg) {
  int fd = *(int *)arg, on = 1;
  setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  struct timeval t = {.tv_usec = 20000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  static uint8_t memory[16][65536];
  static uint8_t control[16][64];
  struct mmsghdr heads[16];
  struct iovec vectors[16];
  for (;;) {
    for (int i = 0; i < 16; i++) {
      vectors[i] = (struct iovec){.iov_base = memory[i], .iov_len = sizeof memory[i]};
      memset(&heads[i], 0, sizeof heads[i]);
      heads[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i]};
    }
    int n = recvmmsg(fd, heads, 16, MSG_WAITFORONE, NULL);
    if (n <= 0) {
      if (over) return NULL;
      continue;
    }
    for (int i = 0; i < n; i++) {
      size_t each = 0;
      for (struct cmsghdr *c = CMSG_FIRSTHDR(&heads[i].msg_hdr); c != NULL; c = CMSG_NXTHDR(&heads[i].msg_hdr, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) each = (size_t)*(int *)CMSG_DATA(c);
      received += each == 0 ? 1 : (heads[i].msg_len + each - 1) / each;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 12) {
    fprintf(stderr, "relayload FROM PORT TO PORT RELAY PORT HEAD BYTES RATE MILLIS RUN\n");
    return 2;
  }
  setpriority(PRIO_PROCESS, 0, -10);
  int from = open_at(argv[1], argv[2]), to = open_at(argv[3], argv[4]);
  join_to(from, argv[5], argv[6]);
  const char *hex = argv[7];
  size_t head = strlen(hex) / 2, bytes = head + (size_t)atoi(argv[8]);
  double rate = atof(argv[9]);
  int millis = atoi(argv[10]), run = atoi(argv[11]);
  if (run < 1 || run > MOST_RUN || bytes * (size_t)run > MOST_BYTES) {
    fprintf(stderr, "a run of %d does not fit\n", run);
    return 2;
  }
  static uint8_t payload[MOST_BYTES];
  for (int k = 0; k < run; k++)
    for (size_t i = 0; i < head; i++) {
      unsigned v = 0;
      sscanf(hex + 2 * i, "%2x", &v);
      payload[(size_t)k * bytes + i] = (uint8_t)v;
    }
  int segment = (int)bytes;
  if (run > 1 && setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) != 0) die("UDP_SEGMENT");

  pthread_t counter;
  pthread_create(&counter, NULL, count, &to);
  struct sched_param p = {.sched_priority = 1};
  pthread_setschedparam(pthread_self(), SCHED_RR, &p);

  struct mmsghdr out[BATCH];
  struct iovec one = {.iov_base = payload, .iov_len = bytes * (size_t)run};
  memset(out, 0, sizeof out);
  for (int i = 0; i < BATCH; i++) {
    out[i].msg_hdr.msg_iov = &one;
    out[i].msg_hdr.msg_iovlen = 1;
  }
  double sends = rate / run, burst = sends * 200e-6;
  if (burst < 1) burst = 1;
  if (burst > BATCH) burst = BATCH;
  const int64_t begun = now_ns(), end = begun + (int64_t)millis * 1000000;
  double forgone = 0;
  uint64_t tried = 0, sent = 0;
  for (;;) {
    int64_t now = now_ns();
    if (now >= end) break;
    double behind = (double)(now - begun) * 1e-9 * sends - forgone - (double)tried;
    if (behind > 2e-3 * sends + BATCH) {
      forgone += behind - burst;
      behind = burst;
    }
    if (behind < 1) {
      int64_t next = begun + (int64_t)(((double)tried + forgone + burst) / sends * 1e9);
      if (next > end) next = end;
      struct timespec t = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
      continue;
    }
    unsigned n = behind > BATCH ? BATCH : (unsigned)behind;
    int took = sendmmsg(from, out, n, 0);
    tried += n;
    if (took > 0) sent += (uint64_t)took;
  }
  double seconds = (double)(now_ns() - begun) * 1e-9;
  p.sched_priority = 0;
  pthread_setschedparam(pthread_self(), SCHED_OTHER, &p);
  usleep(100000);
  over = 1;
  pthread_join(counter, NULL);
  printf("{\"sent\":%llu,\"received\":%llu,\"seconds\":%.6f}\n", (unsigned long long)(sent * (uint64_t)run), (unsigned long long)received, seconds);
  return 0;
}
