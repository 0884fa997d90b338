/* Arguments from JavaScript: nothing here is trusted, because a wrong offset would be a wild write later. */
#include "packet_io.h"

#include <string.h>

bool throw_range(napi_env env, const char *what) {
  napi_throw_range_error(env, "ERR_PACKET_IO_RANGE", what);
  return false;
}

bool throw_type(napi_env env, const char *what) {
  napi_throw_type_error(env, "ERR_PACKET_IO_TYPE", what);
  return false;
}

napi_value number(napi_env env, double v) {
  napi_value out = NULL;
  napi_create_double(env, v, &out);
  return out;
}

bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value *out) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, out, NULL, NULL) != napi_ok) return throw_type(env, "call");
  return given == count || throw_type(env, "wrong number of arguments");
}

bool get_u32(napi_env env, napi_value v, const char *what, uint32_t max, uint32_t *out) {
  double d;
  if (napi_get_value_double(env, v, &d) != napi_ok) return throw_type(env, what);
  /* Written so that NaN fails too. */
  if (!(d >= 0 && d <= (double)max) || d != (double)(uint32_t)d) return throw_range(env, what);
  *out = (uint32_t)d;
  return true;
}

bool get_bool(napi_env env, napi_value v, const char *what, bool *out) {
  return napi_get_value_bool(env, v, out) == napi_ok || throw_type(env, what);
}

bool get_name(napi_env env, napi_value v, const char *what, bool may_be_empty, char out[IFNAMSIZ]) {
  size_t bytes;
  if (napi_get_value_string_utf8(env, v, NULL, 0, &bytes) != napi_ok) return throw_type(env, what);
  if (bytes >= IFNAMSIZ || (bytes == 0 && !may_be_empty)) return throw_range(env, what);
  memset(out, 0, IFNAMSIZ);
  if (napi_get_value_string_utf8(env, v, out, IFNAMSIZ, &bytes) != napi_ok) return throw_type(env, what);
  return strlen(out) == bytes || throw_range(env, what);
}

bool get_array(napi_env env, napi_value v, const char *what, napi_typedarray_type type, void **data, size_t *length) {
  bool is = false;
  napi_typedarray_type got;
  if (napi_is_typedarray(env, v, &is) != napi_ok || !is) return throw_type(env, what);
  if (napi_get_typedarray_info(env, v, &got, length, data, NULL, NULL) != napi_ok || got != type)
    return throw_type(env, what);
  /* A detached buffer has no memory; its length reads as zero, but say so rather than rely on it. */
  if (*data == NULL) *length = 0;
  return true;
}

bool get_batch(napi_env env, const napi_value *a, batch *out) {
  void *arena, *lens;
  size_t arena_bytes, slots;
  memset(out, 0, sizeof *out);
  if (!get_array(env, a[0], "arena: Uint8Array", napi_uint8_array, &arena, &arena_bytes)) return false;
  if (!get_u32(env, a[1], "slotBytes: 1..2^20", 1u << 20, &out->slot_bytes)) return false;
  if (!get_u32(env, a[2], "headroom: below slotBytes", 1u << 20, &out->headroom)) return false;
  if (!get_array(env, a[3], "lens: Uint32Array", napi_uint32_array, &lens, &slots)) return false;
  if (out->headroom >= out->slot_bytes) return throw_range(env, "headroom: below slotBytes");
  if (slots > arena_bytes / out->slot_bytes) return throw_range(env, "arena: smaller than lens.length slots");
  if (slots > 1u << 16) return throw_range(env, "lens: more than 65536 slots");
  out->arena = arena;
  out->lens = lens;
  out->slots = (uint32_t)slots;
  return true;
}

bool get_headers(napi_env env, napi_value v, batch *b) {
  napi_valuetype type;
  void *data;
  size_t length;
  if (napi_typeof(env, v, &type) == napi_ok && type == napi_null) return true;
  if (!get_array(env, v, "virtio: Uint16Array or null", napi_uint16_array, &data, &length)) return false;
  _Static_assert(VNET_BYTES == 5 * sizeof(uint16_t), "a virtio-net header is five 16-bit words");
  if (length < 5 * (size_t)b->slots) return throw_range(env, "virtio: five words per slot");
  b->headers = data;
  return true;
}

bool get_send_count(napi_env env, napi_value v, const batch *b, uint32_t *out) {
  if (!get_u32(env, v, "count: at most lens.length", b->slots, out)) return false;
  for (uint32_t i = 0; i < *out; i++)
    if (b->lens[i] > b->slot_bytes - b->headroom) return throw_range(env, "lens: a packet is longer than its slot");
  return true;
}
