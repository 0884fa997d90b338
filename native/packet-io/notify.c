/* One datagram to a UNIX socket, which Node cannot send: how a service tells its manager of itself (sd_notify(3)). */
#include "packet_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_TEXT = 4096 };

/* notify(path, text): `path` begins with '/', or with '@' for an abstract address. 0 or -errno; never waits. */
napi_value js_notify(napi_env env, napi_callback_info info) {
  napi_value a[2];
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  char text[MOST_TEXT + 1];
  size_t path_bytes, bytes;
  if (!get_args(env, info, 2, a)) return NULL;
  if (napi_get_value_string_utf8(env, a[0], NULL, 0, &path_bytes) != napi_ok) {
    throw_type(env, "path: a string");
    return NULL;
  }
  /* One byte is left for the end of a path in the file system, as everywhere. */
  if (path_bytes < 2 || path_bytes >= sizeof to.sun_path) {
    throw_range(env, "path: 2 to 107 bytes");
    return NULL;
  }
  napi_get_value_string_utf8(env, a[0], to.sun_path, sizeof to.sun_path, &path_bytes);
  if ((to.sun_path[0] != '/' && to.sun_path[0] != '@') || memchr(to.sun_path, 0, path_bytes) != NULL) {
    throw_range(env, "path: begins with / or @");
    return NULL;
  }
  if (napi_get_value_string_utf8(env, a[1], NULL, 0, &bytes) != napi_ok) {
    throw_type(env, "text: a string");
    return NULL;
  }
  if (bytes == 0 || bytes > MOST_TEXT) {
    throw_range(env, "text: 1 to 4096 bytes");
    return NULL;
  }
  napi_get_value_string_utf8(env, a[1], text, sizeof text, &bytes);

  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes);
  if (to.sun_path[0] == '@')
    to.sun_path[0] = 0;
  else
    length++;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return number(env, -errno);
  ssize_t sent;
  do sent = sendto(fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, length);
  while (sent < 0 && errno == EINTR);
  int error = sent < 0 ? -errno : 0;
  close(fd);
  return number(env, error);
}
