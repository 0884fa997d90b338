#!/bin/sh
# Runs inside mmdebstrap, when the root's packages are unpacked and apt is set up for the board's processor. Writes down which packages
# there are, and unpacks those of which the build needs files beside the root: the kernel, the boot loader, firmware.
# Usage: debian-hook.sh ROOT KERNEL_PACKAGE "PACKAGES TO UNPACK"
set -eu
root=$1
kernel=$2
wanted=$3
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
export APT_CONFIG

# Name, version, source, source's version of a package file.
describe() {
  # shellcheck disable=SC2016  # dpkg-deb's own variables
  dpkg-deb --show --showformat='${Package}\t${Version}\t${source:Package}\t${source:Version}\n' "$1"
}

mkdir -p "$root/ntm-files"
for deb in "$root"/var/cache/apt/archives/*.deb; do
  describe "$deb"
  # shellcheck disable=SC2016
  dpkg-deb --fsys-tarfile "$deb" | tar -t >"$root/ntm-files/$(dpkg-deb --show --showformat='${Package}' "$deb")"
done >"$root/ntm-packages-root"

debs=$root/ntm-debs
mkdir -p "$debs" "$root/ntm-unpacked"
cd "$debs"
for package in $wanted; do
  name=$package
  # linux-image-amd64 is empty and depends on the newest kernel there is.
  if [ "$package" = "$kernel" ]; then
    package=$(apt-cache depends --important "$kernel" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "$kernel names no kernel" >&2; exit 1; }
    name=kernel
  fi
  apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download "$package" >&2
  dpkg-deb --extract "$package"_*.deb "$root/ntm-unpacked/$name"
  describe "$package"_*.deb >>"$root/ntm-packages-unpacked"
done
cd /
rm -rf "$debs"
