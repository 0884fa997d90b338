# What U-Boot does on a Raspberry Pi: choose a slot, count the try, start its kernel. Becomes boot.scr (mkimage -T script).
# @CONSOLES@ and @TRIES@ are filled in from board/layout.json. Comes with: devtype, devnum, fdt_addr.
#
# Memory (bytes from 0; every supported model has 1 GiB): kernel unpacked from 2 MiB, this script at 36 MiB, the firmware's
# device tree wherever it lies (128 MiB under QEMU), packed kernel at 192 MiB, initramfs at 256 MiB.
setenv state_at 0x01000000
setenv check_at 0x01001000
setenv kernel_at 0x02800000
setenv kernel_comp_addr_r 0x0c000000
setenv kernel_comp_size 0x03000000
setenv initrd_at 0x10000000
setenv initrd_high ffffffffffffffff
setenv fdt_high ffffffffffffffff

# --- the boot loader's memory: partition `state`, two copies, at its sectors 0 and 1024 ---------------------------------------------------
setenv ORDER
setenv A_LEFT
setenv B_LEFT
setenv BUTTON
setenv TRIAL
setenv known
setenv first
setenv second
mmc dev ${devnum}
if part start mmc ${devnum} state first; then
  setexpr second ${first} + 400
  if mmc read ${state_at} ${first} 1; then
    if env import -c ${state_at} 200 ORDER A_LEFT B_LEFT BUTTON TRIAL; then setenv known first; fi
  fi
  if test -z "${known}"; then
    if mmc read ${state_at} ${second} 1; then
      if env import -c ${state_at} 200 ORDER A_LEFT B_LEFT BUTTON TRIAL; then setenv known second; fi
    fi
  fi
fi
if test -z "${known}"; then
  echo "ntm-boot: no boot state, starting with a new one"
  setenv A_LEFT @TRIES@
  setenv B_LEFT @TRIES@
  setenv BUTTON 0
fi
if test "${ORDER}" != "B A"; then setenv ORDER "A B"; fi
if test -z "${TRIAL}"; then setenv TRIAL none; fi

# --- which slot, and what became of the starts before this one ---------------------------------------------------------------
if test "${ORDER}" = "A B"; then setenv want A; setenv left ${A_LEFT}; else setenv want B; setenv left ${B_LEFT}; fi
if test "${left}" = 1 || test "${left}" = 2; then echo "ntm-boot: the last start of slot ${want} ended before it was found good"; fi
if test "${left}" = 0; then echo "ntm-boot: slot ${want} has no starts left: it did not come up, or not do its work"; fi
# Every slot used up: both get their tries back, for a box that tries is better than one that stands.
setenv slot
for round in 1 2; do
  for s in ${ORDER}; do
    if test -z "${slot}"; then
      if test "${s}" = A; then setenv left ${A_LEFT}; else setenv left ${B_LEFT}; fi
      if test "${left}" = 1 || test "${left}" = 2 || test "${left}" = 3; then setenv slot ${s}; fi
    fi
  done
  if test -z "${slot}"; then
    echo "ntm-boot: no slot has starts left: both get theirs back"
    setenv A_LEFT @TRIES@
    setenv B_LEFT @TRIES@
  fi
done
if test "${slot}" = A; then setexpr A_LEFT ${A_LEFT} - 1; else setexpr B_LEFT ${B_LEFT} - 1; fi

# --- the reset button: GPIO 22 (pin 15) to 3.3 V (pin 17) at power-on ------------------------------------------------------
# Acted on once: a jumper left in place must not erase the box again at every start. `gpio input` says by its exit code what it
# reads, and 1 also when it cannot read at all: GPIO 27, pulled low like 22, tells the two apart.
setenv pressed 0
setenv reset_arg
if gpio input 27; then
  if gpio input 22; then setenv pressed 0; else setenv pressed 1; fi
fi
if test "${pressed}" = 1; then
  if test "${BUTTON}" != 1; then
    echo "ntm-boot: reset button pressed: back to factory settings"
    setenv reset_arg "ntm.reset=button"
  fi
  setenv BUTTON 1
else
  setenv BUTTON 0
fi

# --- the try is counted before the kernel starts; first copy first, so that one of them always holds -------------------------
if test -n "${first}"; then
  mw.b ${state_at} 0 200
  env export -c -s 200 ${state_at} A_LEFT BUTTON B_LEFT ORDER TRIAL
  mmc write ${state_at} ${first} 1
  mmc write ${state_at} ${second} 1
fi
echo "ntm-boot: starting slot ${slot} (starts left: A ${A_LEFT}, B ${B_LEFT})"

# --- start it; whatever fails here ends in a reset, and the counter decides who is next --------------------------------------
# `local.env` on the boot partition, one line `extra=…`: more arguments for the kernel, for those who look for a fault.
setenv extra
if load mmc ${devnum}:1 ${check_at} local.env; then env import -t ${check_at} ${filesize} extra; fi
setenv bootargs "@CONSOLES@ panic=10 quiet ntm.slot=${slot} ${reset_arg} ${extra}"
setenv kernel_part
part number mmc ${devnum} kernel${slot} kernel_part
setenv whole
if load mmc ${devnum}:${kernel_part} ${kernel_at} vmlinuz.gz; then
  if load mmc ${devnum}:${kernel_part} ${initrd_at} initrd.img; then
    setenv initrd_bytes ${filesize}
    # A torn initramfs would panic before the module that can reset this machine is loaded: checked here.
    setenv whole 1
    if load mmc ${devnum}:${kernel_part} ${check_at} initrd.crc; then
      setexpr found_at ${check_at} + 100
      crc32 ${initrd_at} ${initrd_bytes} ${found_at}
      if cmp.b ${check_at} ${found_at} 4; then setenv whole 1; else setenv whole; fi
    fi
  fi
fi
if test -n "${whole}"; then booti ${kernel_at} ${initrd_at}:${initrd_bytes} ${fdt_addr}; fi
echo "ntm-boot: the kernel of slot ${slot} cannot be read: starting again"
sleep 1
reset
