# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look's own code that a node keeps: of which release it is, and how it is started. Edge: reads this collection's files."""

from __future__ import annotations

import hashlib
import shlex
from functools import cache
from pathlib import Path

from ansible.release import __version__ as ansible_version
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import kept_path
from ansible_collections.realtime.kvm.plugins.module_utils._node.keep import PYTHON

_PLUGINS = Path(__file__).resolve().parents[2]


@cache
def release() -> str:
    """Return the digest of all that the look may run: the module, the code below it, and the ansible-core that is sent with them."""
    digest = hashlib.sha256(ansible_version.encode())
    for path in [_PLUGINS / "modules" / "rt_plan.py", *sorted((_PLUGINS / "module_utils").rglob("*.py"))]:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_PLUGINS)} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def command_of(python: str, environment: str) -> str:
    """Return the command that starts the kept code; empty if the modules' Python is to be another than its."""
    if python not in (PYTHON, "auto", "auto_silent"):
        return ""
    return f"{environment} {PYTHON} -I {shlex.quote(kept_path(release()))}".strip()
