/*
 * Life of a port: a JavaScript object that wraps a descriptor and, once watched, a uv_poll on Node's loop.
 * Memory lives until both sides let go: the object is finalized and libuv has called back from uv_close.
 */
#include "packet_io.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Marks our objects, so that another addon's wrapped object is never taken for a port. Random, never changes. */
static const napi_type_tag PORT_TAG = {0x7d1f0e3ac95b4a62ull, 0x9c34b8e15f02d7a1ull};

enum { SILENCE_NS = 500000 };

static void addon_unref(addon_state *a) {
  if (--a->refs == 0) free(a);
}

static void port_free_if_done(port *p) {
  if (p->js_alive || p->uv_alive) return;
  addon_unref(p->addon);
  free(p);
}

static void finalize(napi_env env, void *memory, void *hint) {
  (void)env;
  (void)hint;
  port *p = memory;
  port_close(p);
  p->js_alive = false;
  port_free_if_done(p);
}

uint32_t port_most_now(port *p, uint32_t slots) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  bool silence = p->woken && ns - p->last_read_ns > SILENCE_NS;
  p->woken = false;
  p->last_read_ns = ns;
  return silence && slots > 0 ? 1 : slots;
}

napi_value port_new(napi_env env, port_kind kind, int fd, port **out) {
  napi_value object;
  addon_state *addon = NULL;
  port *p = calloc(1, sizeof *p);
  if (p == NULL || napi_get_instance_data(env, (void **)&addon) != napi_ok || addon == NULL ||
      napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &PORT_TAG) != napi_ok ||
      napi_wrap(env, object, p, finalize, NULL, NULL) != napi_ok) {
    free(p);
    close(fd);
    throw_type(env, "cannot create a port object");
    return NULL;
  }
  p->env = env;
  p->addon = addon;
  p->kind = kind;
  p->fd = fd;
  p->js_alive = true;
  addon->refs++;
  addon->open_ports++;
  *out = p;
  return object;
}

bool port_is_open(napi_env env, const port *p) {
  if (p->fd >= 0) return true;
  napi_throw_error(env, "ERR_PACKET_IO_CLOSED", "the port is closed");
  return false;
}

port *get_port(napi_env env, napi_value v, int kind_or_any) {
  napi_valuetype type;
  bool ours = false;
  port *p = NULL;
  if (napi_typeof(env, v, &type) != napi_ok || type != napi_object ||
      napi_check_object_type_tag(env, v, &PORT_TAG, &ours) != napi_ok || !ours ||
      napi_unwrap(env, v, (void **)&p) != napi_ok) {
    throw_type(env, "not a port");
    return NULL;
  }
  if (!port_is_open(env, p)) return NULL;
  if (kind_or_any >= 0 && (int)p->kind != kind_or_any) {
    throw_type(env, "a port of another kind");
    return NULL;
  }
  return p;
}

void set_number(napi_env env, napi_value object, const char *name, double v) {
  napi_set_named_property(env, object, name, number(env, v));
}

bool port_is_gone(port *p) {
  if (p->gone || p->fd < 0) return p->gone;
  if (p->kind == KIND_PACKET) {
    struct sockaddr_ll at = {0};
    socklen_t n = sizeof at;
    /* The kernel unbinds the socket (interface -1) when the device is unregistered, but not when it goes down. */
    p->gone = getsockname(p->fd, (struct sockaddr *)&at, &n) != 0 || at.sll_ifindex != p->ifindex;
  } else if (p->kind == KIND_TUN) {
    struct ifreq r = {0};
    p->gone = ioctl(p->fd, TUNGETIFF, &r) != 0;
  }
  return p->gone;
}

static void forget_callback(port *p) {
  if (p->callback != NULL) napi_delete_reference(p->env, p->callback);
  if (p->self != NULL) napi_delete_reference(p->env, p->self);
  if (p->context != NULL) napi_async_destroy(p->env, p->context);
  p->callback = NULL;
  p->self = NULL;
  p->context = NULL;
  p->watching = false;
}

static void on_uv_closed(uv_handle_t *h) {
  port *p = h->data;
  p->uv_alive = false;
  napi_remove_async_cleanup_hook(p->hook);
  port_free_if_done(p);
}

void port_close(port *p) {
  if (p->fd < 0) return;
  forget_callback(p);
  /* uv_close takes the descriptor out of epoll at once, so it can be closed right after. */
  if (p->uv_alive) uv_close((uv_handle_t *)&p->poll, on_uv_closed);
  close(p->fd);
  for (uint32_t i = 0; i < p->sender_count; i++) close(p->senders[i].fd);
  p->fd = -1;
  p->addon->open_ports--;
}

/* The environment (a worker, or the process) ends while the port is open. */
static void on_env_cleanup(napi_async_cleanup_hook_handle hook, void *arg) {
  (void)hook;
  port_close(arg);
}

/* What a poll error means, as a negative errno; clears what the socket remembers of it. */
static int poll_error(port *p) {
  int error = 0;
  socklen_t n = sizeof error;
  if (p->kind != KIND_TUN) getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &n);
  if (port_is_gone(p)) return p->kind == KIND_TUN ? -EBADFD : -ENXIO;
  return error != 0 ? -error : -EIO;
}

static void on_poll(uv_poll_t *h, int status, int events) {
  (void)events;
  port *p = h->data;
  p->woken = true;
  napi_handle_scope scope;
  if (!p->watching || napi_open_handle_scope(p->env, &scope) != napi_ok) return;
  napi_value self, callback, argument = number(p->env, status < 0 ? poll_error(p) : 0);
  if (napi_get_reference_value(p->env, p->self, &self) == napi_ok &&
      napi_get_reference_value(p->env, p->callback, &callback) == napi_ok &&
      napi_make_callback(p->env, p->context, self, callback, 1, &argument, NULL) == napi_pending_exception) {
    napi_value thrown;
    napi_get_and_clear_last_exception(p->env, &thrown);
    napi_fatal_exception(p->env, thrown);
  }
  /* libuv stops a poll that saw POLLERR. A removed device would report it for ever; anything else is over by now. */
  if (status < 0 && p->watching && !p->gone) uv_poll_start(&p->poll, UV_READABLE, on_poll);
  napi_close_handle_scope(p->env, scope);
}

/* watch(port, callback): `callback(status)` once per readiness; a second call replaces the callback. */
napi_value js_watch(napi_env env, napi_callback_info info) {
  napi_value a[2], name;
  napi_valuetype type;
  uv_loop_t *loop;
  port *p;
  if (!get_args(env, info, 2, a) || (p = get_port(env, a[0], -1)) == NULL) return NULL;
  if (napi_typeof(env, a[1], &type) != napi_ok || type != napi_function) {
    throw_type(env, "callback: function");
    return NULL;
  }
  forget_callback(p);
  if (!p->uv_alive) {
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return NULL;
    int error = uv_poll_init(loop, &p->poll, p->fd);
    if (error != 0) return number(env, error);
    p->poll.data = p;
    p->uv_alive = true;
    napi_add_async_cleanup_hook(env, on_env_cleanup, p, &p->hook);
  }
  napi_create_string_utf8(env, "packet-io", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, a[0], name, &p->context);
  napi_create_reference(env, a[1], 1, &p->callback);
  /* Strong: a watched port is in use even when nobody else holds it. */
  napi_create_reference(env, a[0], 1, &p->self);
  p->watching = true;
  return number(env, uv_poll_start(&p->poll, UV_READABLE, on_poll));
}

napi_value js_unwatch(napi_env env, napi_callback_info info) {
  napi_value a[1];
  port *p;
  if (!get_args(env, info, 1, a) || (p = get_port(env, a[0], -1)) == NULL) return NULL;
  if (p->uv_alive) uv_poll_stop(&p->poll);
  forget_callback(p);
  return NULL;
}

/* setRef(port, keeps): whether a watched port keeps the process alive (it does unless told). */
napi_value js_set_ref(napi_env env, napi_callback_info info) {
  napi_value a[2];
  bool keeps;
  port *p;
  if (!get_args(env, info, 2, a) || (p = get_port(env, a[0], -1)) == NULL || !get_bool(env, a[1], "keeps: boolean", &keeps))
    return NULL;
  if (p->uv_alive && keeps) uv_ref((uv_handle_t *)&p->poll);
  if (p->uv_alive && !keeps) uv_unref((uv_handle_t *)&p->poll);
  return NULL;
}

napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value a[1];
  port *p;
  if (!get_args(env, info, 1, a) || (p = get_port(env, a[0], -1)) == NULL) return NULL;
  port_close(p);
  return NULL;
}

/* What the kernel dropped before we could read it. A packet socket forgets its count when asked, a UDP socket does not. */
static void refresh_losses(port *p) {
  if (p->kind == KIND_PACKET) {
    struct tpacket_stats s = {0};
    socklen_t n = sizeof s;
    if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &s, &n) == 0) p->stats.lost_in += s.tp_drops;
  } else if (p->kind == KIND_UDP) {
    uint32_t values[SK_MEMINFO_VARS] = {0};
    socklen_t n = sizeof values;
    if (getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, values, &n) == 0) p->stats.lost_in = values[SK_MEMINFO_DROPS];
  }
}

napi_value js_stats(napi_env env, napi_callback_info info) {
  napi_value a[2];
  void *out;
  size_t length;
  port *p;
  if (!get_args(env, info, 2, a) || (p = get_port(env, a[0], -1)) == NULL ||
      !get_array(env, a[1], "into: Float64Array", napi_float64_array, &out, &length))
    return NULL;
  if (length < STAT_COUNT) {
    throw_range(env, "into: too few entries");
    return NULL;
  }
  refresh_losses(p);
  const uint64_t *from = (const uint64_t *)&p->stats;
  for (int i = 0; i < STAT_COUNT; i++) ((double *)out)[i] = (double)from[i];
  return NULL;
}

/* openPorts(): how many this environment has open; tests look for leaks with it. */
napi_value js_open_ports(napi_env env, napi_callback_info info) {
  (void)info;
  addon_state *addon = NULL;
  napi_get_instance_data(env, (void **)&addon);
  return number(env, addon == NULL ? 0 : addon->open_ports);
}

static void finalize_addon(napi_env env, void *memory, void *hint) {
  (void)env;
  (void)hint;
  addon_unref(memory);
}

static void export_function(napi_env env, napi_value exports, const char *name, napi_callback call) {
  napi_value f;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &f) == napi_ok)
    napi_set_named_property(env, exports, name, f);
}

NAPI_MODULE_INIT() {
  addon_state *addon = calloc(1, sizeof *addon);
  if (addon == NULL) return NULL;
  addon->refs = 1;
  napi_set_instance_data(env, addon, finalize_addon, NULL);
  export_function(env, exports, "openTun", js_open_tun);
  export_function(env, exports, "openPacket", js_open_packet);
  export_function(env, exports, "openUdp", js_open_udp);
  export_function(env, exports, "openNetlink", js_open_netlink);
  export_function(env, exports, "recv", js_recv);
  export_function(env, exports, "send", js_send);
  export_function(env, exports, "recvUdp", js_recv_udp);
  export_function(env, exports, "sendUdp", js_send_udp);
  export_function(env, exports, "udpErrors", js_udp_errors);
  export_function(env, exports, "recvSuper", js_recv_super);
  export_function(env, exports, "sendSuper", js_send_super);
  export_function(env, exports, "recvRuns", js_recv_runs);
  export_function(env, exports, "sendRuns", js_send_runs);
  export_function(env, exports, "bindRecvSuper", js_bind_recv_super);
  export_function(env, exports, "bindSendSuper", js_bind_send_super);
  export_function(env, exports, "bindRecvRuns", js_bind_recv_runs);
  export_function(env, exports, "bindSendRuns", js_bind_send_runs);
  export_function(env, exports, "bindSeal", js_bind_seal);
  export_function(env, exports, "bindOpen", js_bind_open);
  export_function(env, exports, "steer", js_steer);
  export_function(env, exports, "newKeys", js_new_keys);
  export_function(env, exports, "setSeal", js_set_seal);
  export_function(env, exports, "setOpen", js_set_open);
  export_function(env, exports, "clearSeal", js_clear_seal);
  export_function(env, exports, "clearOpen", js_clear_open);
  export_function(env, exports, "nextCounter", js_next_counter);
  export_function(env, exports, "newestCounter", js_newest_counter);
  export_function(env, exports, "seal", js_seal);
  export_function(env, exports, "open", js_open);
  export_function(env, exports, "coalesce", js_coalesce);
  export_function(env, exports, "segment", js_segment);
  export_function(env, exports, "talk", js_talk);
  export_function(env, exports, "recvNetlink", js_recv_netlink);
  export_function(env, exports, "notify", js_notify);
  export_function(env, exports, "watch", js_watch);
  export_function(env, exports, "unwatch", js_unwatch);
  export_function(env, exports, "setRef", js_set_ref);
  export_function(env, exports, "close", js_close);
  export_function(env, exports, "stats", js_stats);
  export_function(env, exports, "openPorts", js_open_ports);
  return exports;
}
