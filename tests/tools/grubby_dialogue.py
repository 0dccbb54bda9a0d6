# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what grubby's real script prints and writes, as the truth of the stand-in in tests/unit/bls.py.

    REALTIME_KVM_GRUBBY=/path/to/grubby-bls PYTHONPATH=tests:collections python tests/tools/grubby_dialogue.py > tests/fixtures/grubby/dialogue.json

Needs root, mount namespaces and grub-editenv.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from unit.bls import SNAPSHOT, STOCK, RealGrubby, entries_in, state_of

COMMANDS = [
    ["--info=ALL"],
    ["--default-index"],
    ["--update-kernel=0", "--args=isolcpus=managed_irq,domain,2-3 nowatchdog skew_tick=1"],
    ["--update-kernel=1", "--args=nowatchdog"],
    ["--info=ALL"],
    ["--update-kernel=0", "--remove-args=isolcpus=managed_irq,domain,2-3", "--args=isolcpus=managed_irq,domain,2"],
    ["--update-kernel=0", "--remove-args=nowatchdog skew_tick=1"],
    ["--update-kernel=2", "--args=hugepagesz=1G hugepages=4"],
    ["--update-kernel=2", "--remove-args=hugepagesz=1G hugepages=4"],
    ["--set-default-index=1"],
    ["--default-index"],
    ["--info=ALL"],
]


def record(entries: dict[str, tuple[str, str]]) -> list[dict[str, object]]:
    """Return each command with its output and the files after it."""
    with tempfile.TemporaryDirectory() as folder:
        root = entries_in(Path(folder) / "machine", entries, next(iter(entries)))
        grubby = RealGrubby(root)
        said = []
        for command in COMMANDS:
            code, out, err = grubby(["/usr/sbin/grubby", *command])
            said.append({"command": command, "code": code, "out": out, "err": err, "files": state_of(root)})
        return said


if __name__ == "__main__":
    cases = {"stock": STOCK, "two entries of one kernel": {**STOCK, **SNAPSHOT}}
    print(json.dumps({name: record(entries) for name, entries in cases.items()}, indent=1))
