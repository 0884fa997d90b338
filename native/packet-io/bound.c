/* Bound calls: the memory of a call is checked once and kept, so that calling costs its numbers alone. */
#include "packet_io.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  napi_ref kept; /* an array of all that was bound: it lives as long as the function */
  max_align_t call[];
} bound;

static void finalize_bound(napi_env env, void *memory, void *hint) {
  (void)hint;
  bound *b = memory;
  napi_delete_reference(env, b->kept);
  free(b);
}

/*
 * Where memory was once it stays only in a SharedArrayBuffer: it is never detached, moved or made smaller, and lives as long as an object
 * that names it. An ArrayBuffer may be gone at the next call.
 */
static bool stays(napi_env env, napi_value v) {
  bool is = false;
  napi_value buffer;
  if (napi_is_typedarray(env, v, &is) != napi_ok || !is) return true;
  if (napi_get_typedarray_info(env, v, NULL, NULL, NULL, &buffer, NULL) == napi_ok &&
      napi_is_arraybuffer(env, buffer, &is) == napi_ok && !is)
    return true;
  return throw_type(env, "only arrays over a SharedArrayBuffer can be bound");
}

napi_value bind_call(napi_env env, const napi_value *args, uint32_t count, napi_callback function, const void *call, size_t bytes) {
  napi_value array, out;
  if (napi_create_array_with_length(env, count, &array) != napi_ok) return NULL;
  for (uint32_t i = 0; i < count; i++)
    if (!stays(env, args[i]) || napi_set_element(env, array, i, args[i]) != napi_ok) return NULL;
  bound *b = malloc(sizeof *b + bytes);
  if (b == NULL || napi_create_reference(env, array, 1, &b->kept) != napi_ok) {
    free(b);
    throw_type(env, "cannot bind a call");
    return NULL;
  }
  memcpy(b->call, call, bytes);
  if (napi_create_function(env, NULL, 0, function, b->call, &out) == napi_ok &&
      napi_add_finalizer(env, out, b, finalize_bound, NULL, NULL) == napi_ok)
    return out;
  finalize_bound(env, b, NULL);
  throw_type(env, "cannot bind a call");
  return NULL;
}

void *get_bound(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t given = count;
  void *call;
  if (napi_get_cb_info(env, info, &given, args, NULL, &call) == napi_ok && given == count) return call;
  throw_type(env, "wrong number of arguments");
  return NULL;
}
