# sudo make demo     the product at work, in a network of namespaces on this machine
# sudo make test     every test there is
#
# Both install what they need (Debian packages, npm dependencies, the pinned Node, native builds). `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
# Targets share one lab machine and one output: never side by side.
.NOTPARALLEL:
.PHONY: help setup demo test test-image test-all demo-image check lint bench grid image setup-image buildroot-check native clean need-root

# The pinned Node before all, so that tools started by their own first line do not find the machine's.
ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
export PATH := $(CURDIR)/node_modules/node-linux-$(ARCH)/bin:$(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1|/p' Makefile | while IFS='|' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

need-root:
	@if [ "$$(id -u)" != 0 ]; then echo "make: network namespaces need root; please run: sudo make $(firstword $(MAKECMDGOALS))" >&2; exit 1; fi

setup: ## install what is missing and build (root only if packages are missing)
	@scripts/setup.sh

demo: need-root setup ## two scenes: an untouched host reaches an IPv6-only server; a laptop moves during a download (root)
	@exec scripts/run-node lab/demo.ts

test: need-root setup-image ## types, lint, docs, all tests, and a chosen part of the images' (root)
	@exec scripts/test.sh

test-image: need-root setup-image ## boots both images in QEMU: everything but `make test` (root; hours)
	@exec scripts/test-image.sh

test-all: need-root setup-image ## make test and make test-image
	@scripts/test.sh
	@exec scripts/test-image.sh

demo-image: need-root setup-image ## the demo's first scene with three boxes of one image; ARGS=--arm for the Pi's as bridge (root)
	@scripts/image-for-tests.sh x86_64 $(if $(findstring --arm,$(ARGS)),rpi-arm64)
	@exec scripts/run-node lab/demo-image.ts $(ARGS)

check: setup ## types only
	@scripts/test.sh --only check

lint: setup ## lint and format only
	@scripts/test.sh --only lint

bench: need-root setup ## measure beside other tunnels; ARGS=--quick for a look (root)
	@exec scripts/run-node bench/run.ts $(ARGS)

grid: setup ## who reaches whom, and how: makes docs/nat-grid.md anew
	@exec scripts/run-node tools/nat-grid.ts

image: setup ## the appliance image: BOARD=x86_64 or rpi-arm64; ARGS=--fast to try things out (what it needs: make setup-image)
	@exec scripts/run-node --disable-warning=ExperimentalWarning image/main.ts $(BOARD) $(ARGS)

setup-image: setup ## install what building and booting images needs (root)
	@scripts/setup-image.sh

buildroot-check: ## buildroot-external/ against a real Buildroot: BUILDROOT=its directory
	@scripts/buildroot-check.sh "$(BUILDROOT)"

native: ## build the packet addon
	@$(MAKE) -s -C native/packet-io

clean: ## remove builds and run directories; keeps node_modules and the keys that sign updates
	@$(MAKE) -s -C native/packet-io clean
	@rm -rf coverage dist
	@if [ -d .run ]; then find .run -mindepth 1 -maxdepth 1 ! -name image -exec rm -rf {} +; fi
	@if [ -d .run/image ]; then find .run/image -mindepth 1 -maxdepth 1 ! -name keys -exec rm -rf {} +; fi
