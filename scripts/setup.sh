#!/bin/sh
# Makes this machine and this clone ready: Debian packages, npm dependencies, the pinned Node, native builds.
# Usage: scripts/setup.sh [--no-native]. Quick and silent about what is already there; safe to run twice, also at once.
# Supported: Debian 12 or newer (and its relatives with apt), x86_64 and aarch64.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

case $(uname -s)-$(uname -m) in
  Linux-x86_64) arch=x64 ;;
  Linux-aarch64) arch=arm64 ;;
  *) fail "this is $(uname -s) on $(uname -m); supported: Linux on x86_64 or aarch64" ;;
esac

owner=$(stat -c %u .)
mkdir -p .run
# What root writes here under sudo, the owner of the clone must be able to write the next time without.
if [ "$(id -u)" = 0 ]; then
  for file in setup.lock apt.log npm.log raw-socket.log pcap.log; do : >>".run/$file"; done
  chown "$owner" .run .run/setup.lock .run/*.log
fi

# Two setups at once would install over each other. The lock goes with this process.
if command -v flock >/dev/null 2>&1; then
  exec 9>>.run/setup.lock
  flock -w 900 9 || fail "another setup has been running for 15 minutes; see .run/setup.lock"
fi

# --- Debian packages ---------------------------------------------------------------------------------------------------

# "what it is known by | package": a command, or a file when it starts with a slash.
needs='
make|build-essential
g++|build-essential
clang|clang
/usr/share/doc/libclang-rt-dev|libclang-rt-dev
nft|nftables
ip|iproute2
bridge|iproute2
unbound|unbound
nginx|nginx-light
dnsmasq|dnsmasq-base
busybox|busybox
curl|curl
dig|bind9-dnsutils
ping|iputils-ping
traceroute|traceroute
tcpdump|tcpdump
ethtool|ethtool
conntrack|conntrack
iperf3|iperf3
openssl|openssl
python3|python3
ps|procps
flock|util-linux
/usr/include/pcap.h|libpcap-dev
/usr/include/linux/if_tun.h|linux-libc-dev
/etc/ssl/certs/ca-certificates.crt|ca-certificates
npm|nodejs npm
'

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
setup: run 'sudo make setup' once to install them"
  say "installing packages: $*"
  new_services=
  for service in unbound nginx; do
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

missing=$(missing_packages)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  install_packages $missing
  missing=$(missing_packages)
  [ -z "$missing" ] || fail "installed, but still missing: $missing (see .run/apt.log)"
fi

# --- npm dependencies and the pinned Node ------------------------------------------------------------------------------

# What we make in the clone belongs to whoever owns the clone, also under sudo.
as_owner() {
  if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
    group=$(stat -c %g .)
    home=$(getent passwd "$owner" | cut -d: -f6)
    HOME=${home:-/tmp} setpriv --reuid "$owner" --regid "$group" --clear-groups "$@"
  else
    "$@"
  fi
}

pinned=node_modules/node-linux-$arch
stamp=node_modules/.ntm-setup
lock_hash="$(sha256sum package-lock.json | cut -d' ' -f1) $arch 2"

# Installs what the lock file says. --ignore-scripts: no package runs code of its own here; what must be compiled is below.
npm_ci() {
  n=1
  until as_owner npm ci --ignore-scripts --no-fund --no-audit --include=optional --include=dev >.run/npm.log 2>&1 </dev/null 9>&-; do
    if [ "$n" -ge 3 ]; then cat .run/npm.log >&2; fail "npm ci does not work (log: .run/npm.log)"; fi
    say "npm ci did not work (attempt $n of 3), trying again"
    n=$((n + 1))
    sleep $((n * 3))
  done
}

if [ ! -x "$pinned/bin/node" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$lock_hash" ]; then
  say "installing npm dependencies from package-lock.json with npm $(npm --version 2>/dev/null)"
  npm_ci
  [ -x "$pinned/bin/node" ] || fail "npm ci left no $pinned/bin/node; optional dependencies may be switched off in your npm settings"
  "$pinned/bin/node" --version >/dev/null || fail "the pinned Node does not run here (too old a C library?)"
  # An older Node makes npm leave out, without a word, the native parts that ask for a newer one (Debian 12 has Node 18).
  if [ "$(node -p 'Number(process.versions.node.split(".")[0]) < 22' 2>/dev/null)" = true ]; then
    as_owner mkdir -p .run/node
    as_owner cp -f "$pinned/bin/node" .run/node/node
    ( PATH=$here/.run/node:$PATH; export PATH; npm_ci )
    as_owner rm -rf .run/node
  fi
  # npm 9 leaves this link out; tools that begin with `env node`, started by npm scripts, would get the machine's Node.
  as_owner ln -sfn "../node-linux-$arch/bin/node" node_modules/.bin/node
  as_owner sh -c 'echo "$1" >"$2"' stamp "$lock_hash" "$stamp"
fi

# --- native builds -----------------------------------------------------------------------------------------------------

if [ "${1:-}" != --no-native ]; then
  PATH=$here/$pinned/bin:$PATH
  version=$(node --version)

  # The portable packet ports (raw-socket sends, pcap captures), compiled against the pinned Node's own headers.
  for addon in raw-socket pcap; do
    mark=node_modules/$addon/build/.ntm-built
    if [ "$(cat "$mark" 2>/dev/null)" != "$version" ]; then
      say "compiling $addon for Node $version"
      (
        cd "node_modules/$addon"
        as_owner node "$here/node_modules/node-gyp/bin/node-gyp.js" rebuild --nodedir="$here/$pinned" -j 2
      ) >".run/$addon.log" 2>&1 </dev/null 9>&- || { tail -n 30 ".run/$addon.log" >&2; fail "$addon does not compile (log: .run/$addon.log)"; }
      as_owner sh -c 'echo "$1" >"$2"' mark "$version" "$mark"
    fi
  done

  as_owner make -s -C native/packet-io 9>&- || fail "native/packet-io does not compile"
fi
