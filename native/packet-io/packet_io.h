/* Shared by the files of this addon. The contract is in README.md; what is said there is not repeated here. */
#ifndef PACKET_IO_H
#define PACKET_IO_H

#define _GNU_SOURCE
#define NAPI_VERSION 8

#include <linux/virtio_net.h>
#include <net/if.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* Frames per recvmmsg/sendmmsg; larger batches take several calls. Bounds the stack used (about 12 KiB). */
enum { CHUNK = 64, VNET_BYTES = sizeof(struct virtio_net_hdr), VLAN_BYTES = 4, ADDR_BYTES = 16 };

/* Whether a UDP port may have sockets that send by one interface each, beside its own: see `way_fd`. */
typedef enum { NO_GROUP, OWN_GROUP, SHARED_GROUP } way_sockets;
enum { MOST_SENDERS = 8 };

typedef enum { KIND_TUN, KIND_PACKET, KIND_UDP, KIND_NETLINK } port_kind;

/* Order is the order of `Stat` in index.d.ts. */
typedef struct {
  uint64_t in, out, oversized_in, bad_in, refused_out, full_out, down_out, errors_in;
  uint64_t super_in, super_out; /* packets or runs of several segments */
  uint64_t gso_refused;         /* super-packets and runs that the kernel did not take whole and that we cut */
  uint64_t lost_in;             /* the kernel found no room in the socket's receive buffer */
  uint64_t via_refused_out;     /* datagrams that the kernel did not let out by their via */
} port_stats;
enum { STAT_COUNT = sizeof(port_stats) / sizeof(uint64_t) };

/* Per environment (main thread or worker); outlives it while a port does. */
typedef struct {
  int refs;
  int open_ports;
} addon_state;

typedef struct {
  napi_env env;
  addon_state *addon;
  port_kind kind;
  int fd; /* -1 once closed */
  int ifindex;
  bool vnet;     /* a virtio-net header precedes every frame on the descriptor */
  bool ipv4only; /* the UDP socket is AF_INET */
  bool grouped;  /* the netlink socket listens to multicast groups */
  bool gone;     /* the interface was removed: nothing will ever arrive again */
  bool ethernet; /* a link header precedes the IP packet */
  bool tagged;   /* the last frame came with a VLAN tag that the kernel had taken off: the next one probably does too */
  bool runs;     /* the UDP socket joins datagrams (UDP_GRO) and tells the address they came to */
  bool reuse;    /* the UDP socket is one of several on its port */
  way_sockets by_interface;
  struct {
    uint32_t ifindex;
    int fd;
  } senders[MOST_SENDERS];
  uint32_t sender_count, oldest_sender;
  uint32_t most_segments; /* of one UDP_SEGMENT send */
  uint32_t gso_rest;      /* runs that go as single datagrams before UDP_SEGMENT is tried again */
  bool woken;             /* readiness was told, and nothing read since */
  int64_t last_read_ns;   /* when recvSuper or recvRuns last read; CLOCK_MONOTONIC */
  port_stats stats;

  bool js_alive, uv_alive; /* memory is freed when both are false */
  bool watching;
  uv_poll_t poll;
  napi_ref self, callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
} port;

/* Packets in caller-owned memory, checked: every slot lies inside `arena`, `lens` has `slots` entries. */
typedef struct {
  uint8_t *arena;
  uint32_t slot_bytes, headroom, slots;
  uint32_t *lens;
  struct virtio_net_hdr *headers; /* one per slot, or NULL */
  uint16_t *gso;                  /* one per slot for recvSuper, else NULL */
} batch;

/* args.c: reading arguments. All return false with a JavaScript exception pending. */
bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value *out);
bool get_u32(napi_env env, napi_value v, const char *what, uint32_t max, uint32_t *out);
bool get_bool(napi_env env, napi_value v, const char *what, bool *out);
bool get_name(napi_env env, napi_value v, const char *what, bool may_be_empty, char out[IFNAMSIZ]);
bool get_array(napi_env env, napi_value v, const char *what, napi_typedarray_type type, void **data, size_t *length);
/* args: arena, slotBytes, headroom, lens, starting at `a`. */
bool get_batch(napi_env env, const napi_value *a, batch *out);
/* `null`, or a Uint16Array with five entries per slot. */
bool get_headers(napi_env env, napi_value v, batch *b);
/* `count` of slots to send; each length must fit its slot. */
bool get_send_count(napi_env env, napi_value v, const batch *b, uint32_t *out);
/* How many of `have` there may be at all: rather than refusing a larger array, what is beyond is out of reach. */
static inline uint32_t at_most(size_t have, uint32_t most) {
  return have < most ? (uint32_t)have : most;
}
bool throw_range(napi_env env, const char *what);
bool throw_type(napi_env env, const char *what);
napi_value number(napi_env env, double v);

/*
 * bound.c: a JavaScript function that calls `function` with a copy of `call`, made of the `count` arguments `args`, which it keeps alive. NULL
 * with an exception pending when one of them is an array whose memory may go away.
 */
napi_value bind_call(napi_env env, const napi_value *args, uint32_t count, napi_callback function, const void *call, size_t bytes);
/* In such a function: its copy, and the arguments of this call; NULL with an exception pending. */
void *get_bound(napi_env env, napi_callback_info info, size_t count, napi_value *args);

/* port.c */
napi_value port_new(napi_env env, port_kind kind, int fd, port **out);
/* The open port behind a handle; NULL with an exception pending for anything else, a closed one too. */
port *get_port(napi_env env, napi_value v, int kind_or_any);
/* For a port that is held already; false with an exception pending. */
bool port_is_open(napi_env env, const port *p);
void port_close(port *p);
void set_number(napi_env env, napi_value object, const char *name, double v);
/*
 * How many packets (or runs) one call may bring. Reading until nothing is left costs a system call that finds nothing, some 20 µs in a cold cache: a
 * packet that wakes its reader after a silence is handed over at once, and readiness is level-triggered, so that whatever came with
 * it is told again. Single packets are what latency is about; in a stream there is no silence.
 */
uint32_t port_most_now(port *p, uint32_t slots);
/* Whether the interface of a TUN or packet port has been removed. */
bool port_is_gone(port *p);
napi_value js_watch(napi_env env, napi_callback_info info);
napi_value js_unwatch(napi_env env, napi_callback_info info);
napi_value js_set_ref(napi_env env, napi_callback_info info);
napi_value js_close(napi_env env, napi_callback_info info);
napi_value js_stats(napi_env env, napi_callback_info info);
napi_value js_open_ports(napi_env env, napi_callback_info info);

/* frames.c */
napi_value js_open_tun(napi_env env, napi_callback_info info);
napi_value js_open_packet(napi_env env, napi_callback_info info);
napi_value js_recv(napi_env env, napi_callback_info info);
napi_value js_send(napi_env env, napi_callback_info info);
int recv_frames(port *p, const batch *b);
/* What to do with the frame at hand after an error: go on with the next, stop here, or give the error up. */
typedef enum { NEXT_FRAME, SAME_FRAME, STOP_HERE, ALL_LOST, GIVE_UP } after_error;
after_error on_send_error(port *p, int error);

/* super.c */
napi_value js_recv_super(napi_env env, napi_callback_info info);
napi_value js_send_super(napi_env env, napi_callback_info info);
napi_value js_bind_recv_super(napi_env env, napi_callback_info info);
napi_value js_bind_send_super(napi_env env, napi_callback_info info);

/* udp.c */
napi_value js_open_udp(napi_env env, napi_callback_info info);
napi_value js_recv_udp(napi_env env, napi_callback_info info);
napi_value js_send_udp(napi_env env, napi_callback_info info);
napi_value js_udp_errors(napi_env env, napi_callback_info info);

/* runs.c */
napi_value js_recv_runs(napi_env env, napi_callback_info info);
napi_value js_send_runs(napi_env env, napi_callback_info info);
napi_value js_bind_recv_runs(napi_env env, napi_callback_info info);
napi_value js_bind_send_runs(napi_env env, napi_callback_info info);
napi_value js_steer(napi_env env, napi_callback_info info);

/* netlink.c */
napi_value js_open_netlink(napi_env env, napi_callback_info info);
napi_value js_talk(napi_env env, napi_callback_info info);
napi_value js_recv_netlink(napi_env env, napi_callback_info info);

/* notify.c */
napi_value js_notify(napi_env env, napi_callback_info info);

/* seal_api.c */
napi_value js_new_keys(napi_env env, napi_callback_info info);
napi_value js_set_seal(napi_env env, napi_callback_info info);
napi_value js_set_open(napi_env env, napi_callback_info info);
napi_value js_clear_seal(napi_env env, napi_callback_info info);
napi_value js_clear_open(napi_env env, napi_callback_info info);
napi_value js_next_counter(napi_env env, napi_callback_info info);
napi_value js_newest_counter(napi_env env, napi_callback_info info);
napi_value js_seal(napi_env env, napi_callback_info info);
napi_value js_open(napi_env env, napi_callback_info info);
napi_value js_bind_seal(napi_env env, napi_callback_info info);
napi_value js_bind_open(napi_env env, napi_callback_info info);
napi_value js_coalesce(napi_env env, napi_callback_info info);
napi_value js_segment(napi_env env, napi_callback_info info);

/* Tries the privileged form first: an appliance may exceed rmem_max, an ordinary user gets what is allowed. */
void set_buffer(int fd, int force_option, int option, uint32_t bytes);

#endif
