"""Reads the external tree's Config.in below a stub of Buildroot's symbols, and each defconfig over it. Prints JSON:
for each defconfig the symbols nobody defines and the lines that did not stick, and every symbol with what it became."""
import json
import os
import re
import sys

import kconfiglib

# Buildroot has its prefix in the names themselves.
os.environ["CONFIG_"] = ""
stub, *defconfigs = sys.argv[1:]
answer = {}
for path in defconfigs:
    kconfig = kconfiglib.Kconfig(stub, warn_to_stderr=False)
    kconfig.warn_assign_undef = True
    kconfig.load_config(path)
    unknown, lost = [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            told = re.match(r"^(# )?(BR2_\w+)(?:=(.*)| is not set)$", line.rstrip("\n"))
            if told is None:
                lost.append("not understood: " + line.rstrip("\n"))
                continue
            name, value = told.group(2), told.group(3)
            symbol = kconfig.syms.get(name)
            if symbol is None or not symbol.nodes:
                unknown.append(name)
                continue
            want = "n" if told.group(1) else re.sub(r'^"(.*)"$', r"\1", value)
            if symbol.str_value != want:
                lost.append("%s: asked for %s, is %s" % (name, want, symbol.str_value))
    answer[os.path.basename(path)] = {
        "unknown": unknown,
        "lost": lost,
        # What Config.in refers to and nobody defines.
        "undefined": sorted(
            name
            for name, symbol in kconfig.syms.items()
            if not symbol.nodes and not symbol.is_constant and name.startswith("BR2_") and not name.endswith("_PATH")
        ),
        "warnings": [w for w in kconfig.warnings if "undefined symbol" not in w],
        "values": {s.name: s.str_value for s in kconfig.unique_defined_syms if s.str_value not in ("", "n")},
    }
json.dump(answer, sys.stdout)
