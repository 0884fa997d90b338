#!/bin/sh
# Makes this machine ready to build the appliance's images and to boot them in QEMU: Debian packages. Quick and silent about what is already
# there. scripts/setup.sh comes before it (`make setup-image` sees to that).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
PATH=$PATH:/usr/sbin:/sbin
export PATH
label=setup-image
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

# Two at once would install over each other; the same lock as setup's.
if command -v flock >/dev/null 2>&1; then
  exec 9>>.run/setup.lock
  flock -w 900 9 || fail "another setup has been running for 15 minutes; see .run/setup.lock"
fi

# Read by packages.sh.
# shellcheck disable=SC2034
services=
# Building: roots, squashfs, disks, boot loaders, updates; the arm64 compiler. Booting: QEMU for both, UEFI firmware. Checking: the last ones.
# shellcheck disable=SC2034
needs='
mmdebstrap|mmdebstrap
mksquashfs|squashfs-tools
genimage|genimage
mcopy|mtools
mkfs.vfat|dosfstools
mke2fs|e2fsprogs
depmod|kmod
cpio|cpio
zstd|zstd
git|git
rauc|rauc
grub-mkimage|grub-common
mkimage|u-boot-tools
'
case $(uname -m) in
  x86_64)
    needs="$needs
aarch64-linux-gnu-gcc|gcc-aarch64-linux-gnu
/usr/aarch64-linux-gnu/include/stdio.h|libc6-dev-arm64-cross
"
    ;;
esac
needs="$needs
qemu-system-x86_64|qemu-system-x86
qemu-system-aarch64|qemu-system-arm
qemu-img|qemu-utils
/usr/share/OVMF/OVMF_CODE.fd|ovmf
ssh|openssh-client
shellcheck|shellcheck
/usr/lib/python3/dist-packages/kconfiglib.py|python3-kconfiglib
"

install_missing
