#!/bin/bash
# Everything that must hold, in order: types, lint, generated docs, tests without root, fuzzing, tests in namespaces, a chosen part of the
# image's tests (the whole: scripts/test-image.sh).
# Goes on after a failure, so that one run shows all; exit code 0 only if everything passed. Usage: scripts/test.sh [--only STEP]
# STEP: check, lint, docs, fast, fuzz, netns, image. Namespace tests run on real kernels in real time: up to two files that failed are run
# once more by themselves, and the summary names each test that failed only the first time as unsteady. A namespace test that skips itself counts as a failure (NTM_MUST_RUN=netns,image).
set -u
cd "$(dirname "$0")/.." || exit 1
# The pinned Node before all, so that tools started by their own first line do not find the machine's.
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac
export PATH="$PWD/node_modules/node-linux-$arch/bin:$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export NTM_MUST_RUN="${NTM_MUST_RUN-netns,image}"

only=
if [ "${1:-}" = --only ]; then only=${2:?--only needs a step}; fi

results=.run/results-$$
mkdir -p "$results"
broken=()

# Each step leads its own process group, so that an interruption reaches all of it. After that too, killed tests may have
# left namespaces, whose owners are dead by then.
set -m
running=
finish() {
  trap '' INT TERM HUP
  if [ -n "$running" ] && kill -TERM -- "-$running" 2>/dev/null; then
    for _ in $(seq 100); do
      kill -0 -- "-$running" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$running" 2>/dev/null
  fi
  if [ "$(id -u)" = 0 ]; then scripts/run-node lab/sweep.ts; fi
  rm -rf "$results"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

step() {
  local name=$1
  shift
  if [ -n "$only" ] && [ "$only" != "${name%-build}" ]; then return; fi
  echo "== $name"
  local begun=$SECONDS
  # In the background and waited for: bash handles a signal at once only while it waits.
  "$@" </dev/null &
  running=$!
  if wait "$running"; then echo "== $name: ok, $((SECONDS - begun)) s"; else
    echo "== $name: FAILED, $((SECONDS - begun)) s"
    broken+=("$name")
  fi
  running=
}

# The rest: files, all unless told.
suite() {
  local name=$1
  shift
  step "$name" vitest run --project "$name" --reporter=default --reporter=json --outputFile.json="$results/$name.json" "$@"
}

# The x86_64 image, built as for a release, and the tests that show most of it in the least time.
image() {
  step image-build scripts/image-for-tests.sh x86_64
  case " ${broken[*]} " in *" image-build "*) return ;; esac
  NTM_BOARDS=x86_64 suite image test/image/papers.test.ts test/image/line-and-update.test.ts
}

# Up to two failed files once more, on a machine that does nothing else.
again() {
  case " ${broken[*]} " in *" $1 "*) ;; *) return ;; esac
  local files
  mapfile -t files < <(scripts/run-node lab/test-summary.ts --failed "$results/$1.json")
  if [ ${#files[@]} = 0 ] || [ ${#files[@]} -gt 2 ]; then return; fi
  local whole=$only
  only=
  step "$1-again" vitest run --project "$1" --reporter=default --reporter=json --outputFile.json="$results/$1.again.json" "${files[@]}"
  only=$whole
  # Passed now: the first failure is not lost, the summary tells it.
  case " ${broken[*]} " in *" $1-again "*) return ;; esac
  local left=() name
  for name in "${broken[@]}"; do [ "$name" = "$1" ] || left+=("$name"); done
  broken=("${left[@]}")
}

step check tsc -p tsconfig.json
step lint biome check .
step docs scripts/run-node tools/wire-doc.ts --check
suite fast
step fuzz scripts/fuzz-native.sh
suite netns
again netns
image

case $only in
  '' | fast | netns | image) scripts/run-node lab/test-summary.ts "$results" "${broken[@]}" ;;
  *) [ ${#broken[@]} = 0 ] ;;
esac
