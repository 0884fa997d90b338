# Shared by the shell tools of the appliance; sourced. Tests set the four NTM_ variables.
# shellcheck shell=sh disable=SC2034
RUN=${NTM_RUN:-/run/ntm-box}
DATA=${NTM_DATA:-/data}
LIB=${NTM_LIB:-/usr/lib/ntm}

# One line to every console, and to the journal. A console that does not take it is not waited for.
say() {
  if [ -n "${NTM_CONSOLES:-}" ]; then
    echo "$*" >>"$NTM_CONSOLES"
    return 0
  fi
  echo "<6>$*" >/dev/kmsg || true
  read -r consoles </sys/class/tty/console/active || return 0
  writers=
  for console in $consoles; do
    printf '%s\r\n' "$*" 2>/dev/null >"/dev/$console" &
    writers="$writers $!"
  done
}

# For a unit whose last word was `say`: waits until it is written, two seconds at most. Who still writes when a unit ends is ended with it.
said() {
  n=0
  for writer in ${writers:-}; do
    while kill -0 "$writer" 2>/dev/null && [ $n -lt 20 ]; do
      n=$((n + 1))
      sleep 0.1
    done
  done
}

# Sets $up to the seconds since the kernel started, with one decimal.
uptime_now() {
  read -r up _ </proc/uptime
  up=${up%?}
}

# state NAME KEY=VALUE...   what is so now, for people and programs: /run/ntm-box/NAME, whole or not at all.
state() {
  name=$1
  shift
  mkdir -p "$RUN"
  printf '%s\n' "$@" >"$RUN/.$name.$$"
  mv "$RUN/.$name.$$" "$RUN/$name"
}

# Sets $value to what FILE says of KEY ("key=value" lines); empty when it says nothing.
value_of() {
  value=
  [ -r "$1" ] || return 0
  while IFS='=' read -r k v || [ -n "$k" ]; do
    if [ "$k" = "$2" ]; then value=$v; fi
  done <"$1"
}

# Sets $role to this box's role: a box that was told nothing bridges.
role_now() {
  role=bridge
  if [ -r "$DATA/config/system/role" ]; then read -r role <"$DATA/config/system/role" || true; fi
  case $role in bridge | tt | coordinator | relay | node) ;; *) role=bridge ;; esac
}

# keep FILE   writes standard input there so that a power cut leaves the old text or the new one.
keep() {
  cat >"$1.new"
  sync "$1.new"
  mv "$1.new" "$1"
  sync "${1%/*}"
}
