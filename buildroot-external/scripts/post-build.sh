#!/bin/sh
# Buildroot runs this when the target directory is complete: post-build.sh TARGET_DIR BOARD
set -eu
exec "$HOST_DIR/lib/ntm/node" --disable-warning=ExperimentalWarning "$(dirname "$0")/../../image/buildroot.ts" root "$2"
