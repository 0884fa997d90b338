#!/bin/sh
# Checks buildroot-external/ with a real Buildroot, without downloading or building anything but Buildroot's own `conf`:
# both defconfigs are taken without losing a symbol, the packages are understood, check-package has nothing to say,
# and the stub of Buildroot's symbols that the tests use is true.
# Usage: scripts/buildroot-check.sh BUILDROOT_DIRECTORY [OUTPUT_DIRECTORY]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
external=$here/buildroot-external
buildroot=${1:-}
# Debian's packages of Python modules (python3-magic, which check-package needs) are for Debian's Python.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
say() { echo "buildroot-check: $*"; }
fail() { echo "buildroot-check: $*" >&2; exit 1; }

[ -n "$buildroot" ] || fail "where is your Buildroot? make buildroot-check BUILDROOT=DIRECTORY"
[ -f "$buildroot/package/pkg-generic.mk" ] || fail "$buildroot is no Buildroot checkout"
buildroot=$(CDPATH='' cd -- "$buildroot" && pwd)
out=${2:-$here/.run/buildroot-check}
mkdir -p "$out"

version=$(sed -n 's/^export BR2_VERSION := //p' "$buildroot/Makefile")
case $version in
  2026.02*) say "Buildroot $version" ;;
  *) say "Buildroot $version; made for 2026.02, trying all the same" ;;
esac

br() {
  make -s -C "$buildroot" O="$output" BR2_EXTERNAL="$external" "$@"
}

# Lines of a defconfig that are not in the .config made from it.
lost() {
  grep -E '^(BR2_|# BR2_)' "$1" | while IFS= read -r line; do
    case $line in
      # Kconfig writes nothing about a symbol whose dependencies do not hold: absent is what "not set" asks for.
      '# '*) symbol=${line#'# '}; symbol=${symbol%% *}; if grep -q "^$symbol=" "$2"; then echo "$line"; fi ;;
      *) if ! grep -qxF -- "$line" "$2"; then echo "$line"; fi ;;
    esac
  done
}

for defconfig in "$external"/configs/*_defconfig; do
  name=$(basename "$defconfig")
  output=$out/$name
  mkdir -p "$output"
  br "$name" >"$output/log" 2>&1 || { cat "$output/log" >&2; fail "$name: make $name does not work"; }
  if grep -A 3 'unmet direct dependencies' "$output/log" >&2; then fail "$name: something is selected that cannot be"; fi
  gone=$(lost "$defconfig" "$output/.config")
  [ -z "$gone" ] || fail "$name: Buildroot does not take
$gone"
  if grep -q '^BR2_LEGACY=y' "$output/.config"; then fail "$name: uses symbols that Buildroot has removed"; fi
  # Without Buildroot's note of which commit this tree is at: somebody may commit meanwhile.
  grep -v '^BR2_EXTERNAL_' "$output/.config" >"$output/config.before"
  br olddefconfig >"$output/log" 2>&1 || { cat "$output/log" >&2; fail "$name: make olddefconfig does not work"; }
  grep -v '^BR2_EXTERNAL_' "$output/.config" | diff "$output/config.before" - >&2 || fail "$name: olddefconfig changes what the defconfig made"
  br savedefconfig BR2_DEFCONFIG="$output/defconfig" >"$output/log" 2>&1 || { cat "$output/log" >&2; fail "$name: make savedefconfig does not work"; }
  diff "$defconfig" "$output/defconfig" >&2 || fail "$name: not as savedefconfig writes it (left: ours)"
  br show-info >"$output/info.json" 2>"$output/log" || { cat "$output/log" >&2; fail "$name: make show-info does not work"; }
  "$python" - "$output/info.json" <<'PYTHON' || fail "$name: show-info lacks a package"
import json, sys
info = json.load(open(sys.argv[1]))
wanted = ['ntm', 'ntm-node', 'host-ntm-node', 'ntm-deps', 'systemd', 'rauc', 'host-rauc', 'nftables', 'iproute2', 'busybox', 'linux']
missing = [name for name in wanted if name not in info]
if missing:
    sys.exit('missing: ' + ', '.join(missing))
for name in ('ntm-node', 'host-ntm-node', 'ntm-deps'):
    files = [d['source'] for d in info[name]['downloads']]
    if not files or not all(f.endswith('.tgz') for f in files):
        sys.exit('%s: downloads %s' % (name, files))
PYTHON
  say "$name: every symbol kept, $(grep -c '^BR2_PACKAGE_.*=y' "$output/.config") package symbols, show-info complete"
done

"$python" -c 'import magic, flake8' 2>/dev/null || fail "check-package needs: apt-get install python3-magic python3-flake8 shellcheck"
(
  cd "$buildroot"
  # Every file Buildroot itself would look at; the README is ours alone.
  # shellcheck disable=SC2046  # no spaces in our names
  "$python" utils/check-package -b $(find "$external" -type f ! -name '*.md' | sort)
) >"$out/check-package.log" 2>&1 || { cat "$out/check-package.log" >&2; fail "check-package has remarks"; }
say "check-package: $(tail -n 1 "$out/check-package.log")"

# The stub of the tests: each symbol is there, and of that type.
stub=$here/test/image-static/buildroot-symbols.in
"$python" - "$stub" "$buildroot" <<'PYTHON' || fail "test/image-static/buildroot-symbols.in is not true of this Buildroot"
import os, re, sys
def symbols(path):
    name = None
    with open(path, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            told = re.match(r'(?:menu)?config (BR2_\w+)', line)
            if told:
                name = told.group(1)
            told = re.match(r'\s+(bool|string|int|hex)\b', line)
            if told and name:
                yield name, told.group(1)
                name = None
real = {}
for directory, _, files in os.walk(sys.argv[2]):
    for file in files:
        if file.startswith('Config'):
            for name, kind in symbols(os.path.join(directory, file)):
                real.setdefault(name, set()).add(kind)
wrong = ['%s is %s there' % (name, ' and '.join(real.get(name, ['not']))) for name, kind in symbols(sys.argv[1]) if kind not in real.get(name, ())]
print('\n'.join(wrong))
sys.exit(1 if wrong else 0)
PYTHON
say "the stub of the tests is true"
