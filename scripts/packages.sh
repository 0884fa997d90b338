# Sourced by the set-up scripts, in the clone's directory: finds Debian packages that are missing and installs them, so that nothing starts.
# The sourcing script sets:
#   label     its make target, and the word in front of its messages
#   needs     lines "what it is known by | package": a command, or a file when it starts with a slash
#   services  what these packages would start, now and at every boot
# shellcheck shell=sh disable=SC2154

say() { echo "$label: $*"; }
fail() { echo "$label: $*" >&2; exit 1; }

missing_packages() {
  echo "$needs" | while IFS='|' read -r what package; do
    case $what in
      '') ;;
      /*) [ -e "$what" ] || echo "$package" ;;
      *) command -v "$what" >/dev/null 2>&1 || echo "$package" ;;
    esac
  done | tr ' ' '\n' | sort -u | tr '\n' ' '
}

policy=/usr/sbin/policy-rc.d
policy_saved=/usr/sbin/policy-rc.d.before-ntm-setup
guarded=no

# Installing a server starts it. Nothing of ours wants that: while we install, the policy answers "not now" (101).
guard_services() {
  # A leftover of ours that was killed: the administrator's own file is the saved one.
  if [ -e "$policy_saved" ]; then mv -f "$policy_saved" "$policy"; fi
  if [ -e "$policy" ] && grep -q 'ntm-setup' "$policy"; then rm -f "$policy"; fi
  guarded=yes
  if [ -e "$policy" ]; then mv "$policy" "$policy_saved"; fi
  printf '#!/bin/sh\n# ntm-setup: services do not start while packages are being installed\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

unguard_services() {
  [ "$guarded" = yes ] || return 0
  guarded=no
  rm -f "$policy"
  if [ -e "$policy_saved" ]; then mv -f "$policy_saved" "$policy"; fi
}

# $1: how often; the rest: an apt-get command. Waits for whoever holds dpkg's lock, and tries again when the network fails.
apt_try() {
  times=$1
  shift
  n=1
  while :; do
    if DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
      >.run/apt.log 2>&1 </dev/null 9>&-; then
      return 0
    fi
    if [ "$n" -ge "$times" ]; then return 1; fi
    # A lock of `apt-get update` is not covered by DPkg::Lock::Timeout, and an interrupted dpkg must be finished first.
    if grep -q 'dpkg --configure -a' .run/apt.log; then
      DEBIAN_FRONTEND=noninteractive dpkg --configure -a >>.run/apt.log 2>&1 </dev/null 9>&- || true
    fi
    say "apt-get $1 did not work (attempt $n of $times), trying again: $(grep -m1 '^[EW]:' .run/apt.log || true)"
    n=$((n + 1))
    sleep $((n * 3))
  done
}

was_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

install_packages() {
  command -v apt-get >/dev/null 2>&1 || fail "please install by hand (no apt-get here): $*"
  [ "$(id -u)" = 0 ] || fail "missing packages: $*
$label: run 'sudo make $label' once to install them"
  say "installing packages: $*"
  new_services=
  for service in $services; do
    was_installed "$service" || new_services="$new_services $service"
  done
  trap 'unguard_services' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  guard_services
  # shellcheck disable=SC2086  # the list is meant to be split
  # The lists may be absent or stale: update only when installing from what is there does not work.
  apt_try 1 install --no-install-recommends "$@" || {
    apt_try 5 update || { cat .run/apt.log >&2; fail "apt-get update does not work; is there a network?"; }
    apt_try 3 install --no-install-recommends "$@" || { cat .run/apt.log >&2; fail "apt-get install does not work"; }
  }
  unguard_services
  # Started by nobody now, and not at the next boot either; services that were there before stay as they were.
  for service in $new_services; do
    if [ -d /run/systemd/system ]; then
      systemctl disable --now --quiet "$service" >/dev/null 2>&1 || true
    else
      # No systemd to ask: what `systemctl disable` would do, for the day this disk boots one.
      rm -f "/etc/systemd/system/multi-user.target.wants/$service.service"
    fi
  done
}

# Installs what `needs` names and this machine lacks; ends the script when that does not work.
install_missing() {
  missing=$(missing_packages)
  if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing
    missing=$(missing_packages)
    [ -z "$missing" ] || fail "installed, but still missing: $missing (see .run/apt.log)"
  fi
}
