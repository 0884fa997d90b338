# A very small Buildroot: enough of its package infrastructure to read the makefiles of buildroot-external/, to say what they ask for
# (`make record`), and to run their commands in directories of the test's own (`make build`), with this machine's compiler.
# Given: BR2_EXTERNAL_NTM_PATH, W (a scratch directory, W/dl filled), HOSTARCH, the BR2_ symbols a configuration would set.
BUILD_DIR := $(W)/build
TARGET_DIR := $(W)/target
STAGING_DIR := $(W)/staging
HOST_DIR := $(W)/host
DL_DIR := $(W)/dl
TARGET_CC := gcc
TARGET_CFLAGS := -O0
TARGET_MAKE_ENV := PATH="$(PATH)"
INSTALL := install
TAR := tar
TAR_OPTIONS = --no-same-owner -xf
qstrip = $(strip $(subst ",,$(1)))
suitable-extractor = gzip -dc
sep :=

PACKAGES :=
pkgname = $(lastword $(subst /, ,$(dir $(lastword $(MAKEFILE_LIST)))))
upper = $(subst -,_,$(shell echo '$(1)' | tr a-z A-Z))
# A host package takes from the target's variables what it does not have.
var = $(or $($(call upper,$(1))_$(2)),$($(call upper,$(patsubst host-%,%,$(1)))_$(2)))

generic-package = $(call package,$(pkgname))
host-generic-package = $(call package,host-$(pkgname))

define package
PACKAGES += $(1)
$(call upper,$(1))_DL_DIR := $(DL_DIR)
$(BUILD_DIR)/$(1)/.stamp: $(foreach d,$(if $(filter host-%,$(1)),,$($(call upper,$(1))_DEPENDENCIES)),$(BUILD_DIR)/$(d)/.stamp)
	mkdir -p $$(@D) $(TARGET_DIR) $(STAGING_DIR) $(HOST_DIR)
	$$(if $$(filter local,$$(call var,$(1),SITE_METHOD)),$$(call unpack-local,$(1)),$$(if $$(call var,$(1),EXTRACT_CMDS),,$$(call unpack,$(1))))
	$$(call var,$(1),EXTRACT_CMDS)
	$$(call var,$(1),BUILD_CMDS)
	$(if $(filter host-%,$(1)),$$(call var,$(1),INSTALL_CMDS),\
$$(if $$(filter YES,$$(call var,$(1),INSTALL_STAGING)),$$(call var,$(1),INSTALL_STAGING_CMDS)))
	$(if $(filter host-%,$(1)),,$$(if $$(filter NO,$$(call var,$(1),INSTALL_TARGET)),,$$(call var,$(1),INSTALL_TARGET_CMDS)))
	touch $$@
endef

unpack = tar -C $(@D) --strip-components=1 -xzf $(DL_DIR)/$(call var,$(1),SOURCE)
unpack-local = tar -C $(call var,$(1),SITE) -cf - --exclude=./.git $(subst --exclude=/,--exclude=./,$(call var,$(1),OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)) . | tar -C $(@D) -xf -

include $(BR2_EXTERNAL_NTM_PATH)/external.mk

FIELDS := VERSION SITE SITE_METHOD SOURCE EXTRA_DOWNLOADS DEPENDENCIES LICENSE LICENSE_FILES USERS
.PHONY: record build
record:
	@:
	$(foreach p,$(PACKAGES),$(foreach f,$(FIELDS),$(info $(p)|$(f)|$(strip $(call var,$(p),$(f))))))
build: $(foreach p,$(PACKAGES),$(BUILD_DIR)/$(p)/.stamp)
	@:
