# Where npm's tarballs come from: the configuration, else the user's own npm. Asked once, and only when something needs it.
ifeq ($(BR2_PACKAGE_NTM_NODE)$(BR2_PACKAGE_NTM_DEPS),)
NTM_NPM_REGISTRY =
else
NTM_NPM_REGISTRY := $(patsubst %/,%,$(or \
	$(call qstrip,$(BR2_NTM_NPM_REGISTRY)),\
	$(shell npm config get registry 2>/dev/null),\
	https://set-BR2_NTM_NPM_REGISTRY.invalid))
endif

include $(sort $(wildcard $(BR2_EXTERNAL_NTM_PATH)/package/*/*.mk))
