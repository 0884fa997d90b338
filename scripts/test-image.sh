#!/bin/bash
# Builds both images and runs every test that boots them: scripts/test-image.sh [vitest's words, such as the name of a file].
# Under emulation this takes hours, most of them the power cuts; NTM_CUTS=3 makes those few, NTM_SEED repeats them.
set -u
cd "$(dirname "$0")/.." || exit 1
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac
export PATH="$PWD/node_modules/node-linux-$arch/bin:$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export NTM_MUST_RUN="${NTM_MUST_RUN-image}"
results=.run/results-image-$$
mkdir -p "$results"
trap 'scripts/run-node lab/sweep.ts; rm -rf "$results"' EXIT
scripts/image-for-tests.sh x86_64 rpi-arm64 || exit 1
failed=()
vitest run --project image --reporter=default --reporter=json --outputFile.json="$results/image.json" "$@" </dev/null || failed=(image)
scripts/run-node lab/test-summary.ts "$results" "${failed[@]}"
