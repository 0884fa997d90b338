#!/bin/sh
# Makes the image of the partition `state`: make-state.sh BOARD FILE
#
# Raspberry Pi: blank but for the two copies. PC: GRUB can only write into files, so the partition starts as a FAT12 made here byte by byte,
# with two files of one cluster each at fixed sectors, /env1 and /env2. Nothing ever mounts it; GRUB and boot-state write those sectors in place.
set -eu

board=${1:?usage: make-state.sh BOARD FILE}
file=${2:?usage: make-state.sh BOARD FILE}
here=$(cd "$(dirname "$0")" && pwd)

# at BYTE: standard input to that place.
at() { dd of="$file" bs=1 seek="$1" conv=notrunc 2>/dev/null; }

rm -f "$file"
dd if=/dev/zero of="$file" bs=1048576 count=1 2>/dev/null

if [ "$board" = x86_64 ]; then
  # 512-byte sectors, one to a cluster; 1 reserved, one FAT of 6, 16 root entries, 2048 in all: data begins at sector 8, so sector N is cluster N - 6.
  {
    printf '\353\074\220NTM     \000\002\001\001\000\001\020\000\000\010\370\006\000\040\000\100\000'
    printf '\000\000\000\000\000\000\000\000\200\000\051\116\124\115\123NTMSTATE   FAT12   '
  } | at 0
  printf '\125\252' | at 510
  # FAT: media byte, then one-cluster files: cluster 122 (sector 128) and cluster 1146 (sector 1152), both even: 12 bits 0xfff.
  printf '\370\377\377' | at 512
  printf '\377\017' | at $((512 + 122 * 3 / 2))
  printf '\377\017' | at $((512 + 1146 * 3 / 2))
  # Root directory, sector 7: label, then the files; 32 bytes each, 1980-01-01, 512 bytes long.
  {
    printf 'NTMSTATE   \010\000\000\000\000\000\000\000\000\000\000\000\000\041\000\000\000\000\000\000\000'
    printf 'ENV1       \040\000\000\000\000\041\000\041\000\000\000\000\000\041\000\172\000\000\002\000\000'
    printf 'ENV2       \040\000\000\000\000\041\000\041\000\000\000\000\000\041\000\172\004\000\002\000\000'
  } | at $((7 * 512))
fi

NTM_STATE=$file NTM_BOARD=$board NTM_RUN=$(dirname "$file") "$here/overlay/usr/lib/ntm/boot-state" repair
rm -f "$(dirname "$file")/boot-state.lock"
