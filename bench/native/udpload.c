/*
 * Loads a path with UDP datagrams and counts what arrives; measures round trips. Knows nothing of what lies between.
 *
 *   udpload serve PORT                                  counts, blasts and echoes for the others until it is ended
 *   udpload up    ADDRESS PORT BYTES RATE MILLIS        sends RATE datagrams a second of BYTES (UDP payload) to the server
 *   udpload down  ADDRESS PORT BYTES RATE MILLIS        has the server send them
 *   udpload ping  ADDRESS PORT BYTES COUNT MICROS       round trips, one every MICROS or when the last is back
 *
 * `up` and `down` print {"sent","received","seconds"}; `ping` prints an array of microseconds, null for a lost one.
 *
 * All run at high priority (when allowed), a sender in real time: what loads and counts must not be what gives way when the boxes
 * take the processors.
 * The sender sleeps between bursts of at most 100 us instead of spinning: generator and boxes share few cores. What it could not
 * send because it was kept off the processor it does not make up for in one burst (that would measure queues): `sent` is then
 * less than asked for, and that is for the reader to judge.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 1, ASK, REPORT, BLAST, END, ECHO };
enum { BATCH = 64, MOST_BYTES = 2048, LEAST_BYTES = 40, RUNS = 64, BUFFER = 16 << 20 };

/* Ends are on one machine: host byte order. */
struct head {
  uint32_t magic, kind, run, bytes;
  uint64_t a, b;
};
static const uint32_t MAGIC = 0x4e544d42;

static struct mmsghdr heads[BATCH];
static struct iovec vectors[BATCH];
_Alignas(16) static uint8_t memory[BATCH][MOST_BYTES];
static struct sockaddr_in6 peers[BATCH];

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(int64_t ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
  }
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void buffers(int fd) {
  int bytes = BUFFER;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

static void patience(int fd, int millis) {
  struct timeval t = {.tv_sec = millis / 1000, .tv_usec = (millis % 1000) * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

static void prepare(int with_peers, size_t bytes) {
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){.iov_base = memory[i], .iov_len = bytes};
    memset(&heads[i].msg_hdr, 0, sizeof heads[i].msg_hdr);
    heads[i].msg_hdr.msg_iov = &vectors[i];
    heads[i].msg_hdr.msg_iovlen = 1;
    if (with_peers) {
      heads[i].msg_hdr.msg_name = &peers[i];
      heads[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
  }
}

/* Wakes when it should, whoever else runs; sleeps most of the time below the machine's limit. */
static void real_time(int on) {
  struct sched_param p = {.sched_priority = on ? 1 : 0};
  sched_setscheduler(0, on ? SCHED_RR : SCHED_OTHER, &p);
}

/* Sends at `rate` for `millis`; returns how many the kernel took. `to` is null on a connected socket. */
static uint64_t blast(int fd, const struct sockaddr_in6 *to, uint32_t run, size_t bytes, double rate, int millis, double *seconds) {
  static uint8_t payload[MOST_BYTES];
  struct head h = {MAGIC, DATA, run, (uint32_t)bytes, 0, 0};
  memcpy(payload, &h, sizeof h);
  struct mmsghdr out[BATCH];
  struct iovec one = {.iov_base = payload, .iov_len = bytes};
  memset(out, 0, sizeof out);
  for (int i = 0; i < BATCH; i++) {
    out[i].msg_hdr.msg_iov = &one;
    out[i].msg_hdr.msg_iovlen = 1;
    if (to != NULL) {
      out[i].msg_hdr.msg_name = (void *)to;
      out[i].msg_hdr.msg_namelen = sizeof *to;
    }
  }
  real_time(1);
  double burst = rate * 100e-6;
  if (burst < 1) burst = 1;
  if (burst > BATCH) burst = BATCH;
  const int64_t begun = now_ns(), end = begun + (int64_t)millis * 1000000;
  /* Datagrams that should have left by now, counted from `begun`, less those forgone. */
  double forgone = 0;
  uint64_t tried = 0, sent = 0;
  for (;;) {
    int64_t now = now_ns();
    if (now >= end) break;
    double due = (double)(now - begun) * 1e-9 * rate - forgone;
    double behind = due - (double)tried;
    if (behind > 2e-3 * rate + BATCH) {
      forgone += behind - burst;
      behind = burst;
    }
    if (behind < 1) {
      int64_t next = begun + (int64_t)(((double)tried + forgone + burst) / rate * 1e9);
      sleep_until(next < end ? next : end);
      continue;
    }
    unsigned n = behind > BATCH ? BATCH : (unsigned)behind;
    int took = sendmmsg(fd, out, n, 0);
    tried += n;
    if (took > 0) sent += (uint64_t)took;
  }
  *seconds = (double)(now_ns() - begun) * 1e-9;
  real_time(0);
  return sent;
}

static void serve(int port) {
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  int off = 0;
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  buffers(fd);
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) die("bind");
  printf("udpload.ready\n");
  fflush(stdout);
  static struct {
    uint32_t run;
    uint64_t received;
  } counts[RUNS];
  prepare(1, MOST_BYTES);
  for (;;) {
    for (int i = 0; i < BATCH; i++) heads[i].msg_hdr.msg_namelen = sizeof peers[i];
    int n = recvmmsg(fd, heads, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
      struct head *h = (struct head *)memory[i];
      if (heads[i].msg_len < sizeof *h || h->magic != MAGIC) continue;
      unsigned slot = h->run % RUNS;
      if (h->kind == DATA) {
        if (counts[slot].run != h->run) {
          counts[slot].run = h->run;
          counts[slot].received = 0;
        }
        counts[slot].received++;
      } else if (h->kind == ECHO) {
        sendto(fd, memory[i], heads[i].msg_len, 0, (struct sockaddr *)&peers[i], sizeof peers[i]);
      } else if (h->kind == ASK) {
        struct head answer = {MAGIC, REPORT, h->run, 0, counts[slot].run == h->run ? counts[slot].received : 0, 0};
        sendto(fd, &answer, sizeof answer, 0, (struct sockaddr *)&peers[i], sizeof peers[i]);
      } else if (h->kind == BLAST && h->bytes <= MOST_BYTES) {
        /* A repeated wish for the run just done is answered with its end only. */
        static uint32_t done;
        static struct head last;
        if (h->run != done) {
          double seconds;
          struct sockaddr_in6 to = peers[i];
          uint64_t sent = blast(fd, &to, h->run, h->bytes, (double)h->a, (int)h->b, &seconds);
          last = (struct head){MAGIC, END, h->run, 0, sent, (uint64_t)(seconds * 1e6)};
          done = h->run;
          usleep(30000);
        }
        sendto(fd, &last, sizeof last, 0, (struct sockaddr *)&peers[i], sizeof peers[i]);
      }
    }
  }
}

static int joined(const char *address, const char *port) {
  struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  if (getaddrinfo(address, port, &hints, &found) != 0) die(address);
  int fd = socket(found->ai_family, SOCK_DGRAM, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) die("connect");
  freeaddrinfo(found);
  buffers(fd);
  return fd;
}

static void said(uint64_t sent, uint64_t received, double seconds) {
  printf("{\"sent\":%llu,\"received\":%llu,\"seconds\":%.6f}\n", (unsigned long long)sent, (unsigned long long)received, seconds);
}

/* Asks until the count stands still: what is still queued on the way belongs to the run. */
static uint64_t ask(int fd, uint32_t run) {
  uint64_t last = 0;
  int same = 0;
  patience(fd, 100);
  for (int tries = 0; tries < 40 && same < 3; tries++) {
    struct head h = {MAGIC, ASK, run, 0, 0, 0};
    usleep(15000);
    if (send(fd, &h, sizeof h, 0) < 0) continue;
    while (recv(fd, &h, sizeof h, 0) == (ssize_t)sizeof h) {
      if (h.magic != MAGIC || h.kind != REPORT || h.run != run) continue;
      same = h.a == last ? same + 1 : 0;
      last = h.a;
      break;
    }
  }
  return last;
}

static void down(int fd, uint32_t run, size_t bytes, uint64_t rate, int millis) {
  struct head wish = {MAGIC, BLAST, run, (uint32_t)bytes, rate, (uint64_t)millis};
  uint64_t received = 0, sent = 0;
  double seconds = 0;
  int ended = 0;
  prepare(0, MOST_BYTES);
  if (send(fd, &wish, sizeof wish, 0) < 0) die("send");
  patience(fd, 200);
  for (int64_t limit = now_ns() + ((int64_t)millis + 3000) * 1000000; !ended && now_ns() < limit;) {
    int n = recvmmsg(fd, heads, BATCH, MSG_WAITFORONE, NULL);
    if (n <= 0) {
      /* Silence: the wish or its end was lost. */
      if (send(fd, &wish, sizeof wish, 0) < 0) continue;
    }
    for (int i = 0; i < n; i++) {
      struct head *h = (struct head *)memory[i];
      if (heads[i].msg_len < sizeof *h || h->magic != MAGIC || h->run != run) continue;
      if (h->kind == DATA) received++;
      if (h->kind == END) {
        sent = h->a;
        seconds = (double)h->b * 1e-6;
        ended = 1;
      }
    }
  }
  said(sent, received, seconds);
}

static void ping(int fd, uint32_t run, size_t bytes, int count, int64_t micros) {
  static uint8_t packet[MOST_BYTES];
  patience(fd, 500);
  printf("[");
  for (int i = 0; i < count; i++) {
    struct head h = {MAGIC, ECHO, run, (uint32_t)bytes, (uint64_t)i, 0}, back;
    memcpy(packet, &h, sizeof h);
    int64_t begun = now_ns();
    int answered = 0;
    if (send(fd, packet, bytes, 0) == (ssize_t)bytes) {
      while (recv(fd, &back, sizeof back, MSG_TRUNC) >= (ssize_t)sizeof back) {
        if (back.magic != MAGIC || back.run != run || back.a != (uint64_t)i) continue;
        answered = 1;
        break;
      }
    }
    int64_t took = now_ns() - begun;
    if (answered) printf("%s%.1f", i == 0 ? "" : ",", (double)took * 1e-3);
    else printf("%snull", i == 0 ? "" : ",");
    sleep_until(begun + micros * 1000);
  }
  printf("]\n");
}

int main(int argc, char **argv) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  setpriority(PRIO_PROCESS, 0, -15);
  if (argc == 3 && strcmp(argv[1], "serve") == 0) serve(atoi(argv[2]));
  if (argc != 7) {
    fprintf(stderr, "usage: udpload serve PORT | up|down|ping ADDRESS PORT BYTES RATE|COUNT MILLIS|MICROS\n");
    return 2;
  }
  size_t bytes = (size_t)atol(argv[4]);
  if (bytes < LEAST_BYTES || bytes > MOST_BYTES) {
    fprintf(stderr, "udpload: %d to %d bytes\n", LEAST_BYTES, MOST_BYTES);
    return 2;
  }
  int fd = joined(argv[2], argv[3]);
  uint32_t run = (uint32_t)now_ns() ^ (uint32_t)getpid();
  double rate = atof(argv[5]), seconds = 0;
  int length = atoi(argv[6]);
  if (strcmp(argv[1], "up") == 0) {
    uint64_t sent = blast(fd, NULL, run, bytes, rate, length, &seconds);
    said(sent, ask(fd, run), seconds);
  } else if (strcmp(argv[1], "down") == 0) {
    down(fd, run, bytes, (uint64_t)rate, length);
  } else {
    ping(fd, run, bytes, (int)rate, length);
  }
  return 0;
}
