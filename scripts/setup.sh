#!/bin/sh
# Makes this machine and this clone ready: Debian packages, npm dependencies, the pinned Node, native builds.
# Usage: scripts/setup.sh [--no-native]. Quick and silent about what is already there; safe to run twice, also at once.
# Supported: Debian 12 or newer (and its relatives with apt), x86_64 and aarch64.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
PATH=$PATH:/usr/sbin:/sbin
export PATH

label=setup
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

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

# Read by packages.sh.
# shellcheck disable=SC2034
services='unbound nginx'
# shellcheck disable=SC2034
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
shellcheck|shellcheck
/usr/lib/python3/dist-packages/kconfiglib.py|python3-kconfiglib
ps|procps
flock|util-linux
/usr/include/pcap.h|libpcap-dev
/usr/include/linux/if_tun.h|linux-libc-dev
/etc/ssl/certs/ca-certificates.crt|ca-certificates
npm|nodejs npm
'

install_missing

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
    # shellcheck disable=SC2030,SC2031  # for npm alone
    ( PATH=$here/.run/node:$PATH; export PATH; npm_ci )
    as_owner rm -rf .run/node
  fi
  # npm 9 leaves this link out; tools that begin with `env node`, started by npm scripts, would get the machine's Node.
  as_owner ln -sfn "../node-linux-$arch/bin/node" node_modules/.bin/node
  # shellcheck disable=SC2016  # that shell's own arguments
  as_owner sh -c 'echo "$1" >"$2"' stamp "$lock_hash" "$stamp"
fi

# --- native builds -----------------------------------------------------------------------------------------------------

if [ "${1:-}" != --no-native ]; then
  # shellcheck disable=SC2031  # the one from before
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
      # shellcheck disable=SC2016  # that shell's own arguments
      as_owner sh -c 'echo "$1" >"$2"' mark "$version" "$mark"
    fi
  done

  as_owner make -s -C native/packet-io 9>&- || fail "native/packet-io does not compile"
fi
