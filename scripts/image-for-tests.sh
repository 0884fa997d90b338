#!/bin/sh
# Builds the images of these boards for the tests, as a release is built: scripts/image-for-tests.sh [BOARD...]. What is there already and is
# this commit's, with no change since, stays. NTM_IMAGES names a folder with images to be tested as they are: nothing is built then.
set -eu
cd "$(dirname "$0")/.."
[ -z "${NTM_IMAGES:-}" ] || exit 0
for board; do
  have=$(readlink "dist/$board/ntm.img" 2>/dev/null || true)
  case $have in
    *.dirty.img) ;;
    *".g$(git rev-parse --short=8 HEAD 2>/dev/null || echo none).img")
      if [ -z "$(git status --porcelain 2>/dev/null)" ]; then continue; fi
      ;;
  esac
  scripts/run-node --disable-warning=ExperimentalWarning image/main.ts "$board"
done
