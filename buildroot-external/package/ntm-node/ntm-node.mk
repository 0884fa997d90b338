################################################################################
#
# ntm-node
#
################################################################################

NTM_NODE_VERSION = 24.21.0
NTM_NODE_LICENSE = MIT, Apache-2.0 (OpenSSL), BSD-3-Clause (V8), Unicode-3.0 (ICU), and others
NTM_NODE_LICENSE_FILES = LICENSE
NTM_NODE_INSTALL_STAGING = YES

# npm names architectures as Node does.
NTM_NODE_ARCH = $(if $(BR2_aarch64),arm64,x64)
NTM_NODE_SOURCE = node-linux-$(NTM_NODE_ARCH)-$(NTM_NODE_VERSION).tgz
NTM_NODE_SITE = $(NTM_NPM_REGISTRY)/node-linux-$(NTM_NODE_ARCH)/-

# The same on the build machine: the product's own tools run there.
HOST_NTM_NODE_ARCH = $(if $(filter aarch64,$(HOSTARCH)),arm64,x64)
HOST_NTM_NODE_SOURCE = node-linux-$(HOST_NTM_NODE_ARCH)-$(NTM_NODE_VERSION).tgz
HOST_NTM_NODE_SITE = $(NTM_NPM_REGISTRY)/node-linux-$(HOST_NTM_NODE_ARCH)/-

# The headers, for the addon.
define NTM_NODE_INSTALL_STAGING_CMDS
	mkdir -p $(STAGING_DIR)/usr/include
	cp -a $(@D)/include/node $(STAGING_DIR)/usr/include/
endef

define NTM_NODE_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/node $(TARGET_DIR)/usr/bin/node
endef

# Not in bin/: it belongs to this build alone, whatever else calls itself node there.
define HOST_NTM_NODE_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/node $(HOST_DIR)/lib/ntm/node
endef

$(eval $(generic-package))
$(eval $(host-generic-package))
