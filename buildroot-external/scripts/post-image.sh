#!/bin/sh
# Buildroot runs this when rootfs.squashfs and the boot loader are there: post-image.sh BINARIES_DIR BOARD
set -eu
exec "$HOST_DIR/lib/ntm/node" --disable-warning=ExperimentalWarning "$(dirname "$0")/../../image/buildroot.ts" image "$2"
