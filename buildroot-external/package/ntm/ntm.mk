################################################################################
#
# ntm
#
################################################################################

NTM_VERSION = 0.1.0
NTM_SITE = $(BR2_EXTERNAL_NTM_PATH)/..
NTM_SITE_METHOD = local
NTM_LICENSE = Apache-2.0
NTM_LICENSE_FILES = LICENSE
NTM_DEPENDENCIES = host-ntm-node ntm-deps ntm-node

# What a working checkout has beside the source, some of it large.
NTM_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude=/.run \
	--exclude=/bench \
	--exclude=/coverage \
	--exclude=/dist \
	--exclude=/lab \
	--exclude=/native/packet-io/build \
	--exclude=/node_modules \
	--exclude=/test

# A warning that a newer compiler invents is no reason to stop somebody's build.
define NTM_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D)/native/packet-io \
		CC="$(TARGET_CC)" \
		CFLAGS="$(TARGET_CFLAGS) -Wno-error" \
		NODE_INCLUDE="$(STAGING_DIR)/usr/include/node"
endef

define NTM_INSTALL_TARGET_CMDS
	$(HOST_DIR)/lib/ntm/node --disable-warning=ExperimentalWarning $(@D)/image/app.ts \
		--from $(@D) \
		--modules $(STAGING_DIR)/usr/lib/ntm-deps/node_modules \
		--addon $(@D)/native/packet-io/build/packet-io.node \
		--out $(TARGET_DIR)/usr/lib/ntm/app
endef

define NTM_USERS
	ntm 900 ntm 900 * - - - NTM appliance
endef

$(eval $(generic-package))
