# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a node for each module: `python tests/bench/payload.py`."""

from __future__ import annotations

import base64
import io
import re
import sys
import zipfile
from functools import cache
from pathlib import Path

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[2]
OURS = "realtime.kvm"


@cache
def _load() -> None:
    init_plugin_loader([str(ROOT / "collections")])


@cache
def payload(name: str) -> tuple[int, int, int]:
    """The bytes that are sent, and how many files and lines of this collection are among them."""
    _load()
    path = module_loader.find_plugin_with_context(name).plugin_resolved_path
    built = modify_module(
        module_name=name,
        module_path=path,
        module_args={},
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    )
    data = built.b_module_data
    encoded = max(re.findall(rb"[A-Za-z0-9+/=]{1000,}", data), key=len, default=b"")  # the archive, as one string
    files = lines = 0
    if encoded:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(encoded))) as sent:
            ours = [item for item in sent.namelist() if "/realtime/kvm/" in item and item.endswith(".py")]
            files, lines = len(ours), sum(sent.read(item).count(b"\n") for item in ours)
    return len(data), files, lines


def main() -> int:
    """Print the table."""
    ping, _files, _lines = payload("ansible.builtin.ping")
    print(f"{'module':24} {'bytes sent':>10} {'x ping':>7} {'files':>6} {'lines':>6}")
    print(f"{'ansible.builtin.ping':24} {ping:>10} {1:>7.2f}")
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        size, files, lines = payload(f"{OURS}.{path.stem}")
        print(f"{path.stem:24} {size:>10} {size / ping:>7.2f} {files:>6} {lines:>6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
