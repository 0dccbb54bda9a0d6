# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows text as text: the result of a task is shown as JSON or YAML, in which the lines of a table are hard to read. Edge."""

from __future__ import annotations

from collections.abc import Sequence

from ansible import constants
from ansible.utils.display import Display


def show(lines: Sequence[str]) -> list[str]:
    """Print lines, and return none; return them where the callback prints a document for other programs (JSON), which they would break."""
    if "json" in str(constants.DEFAULT_STDOUT_CALLBACK):
        return list(lines)
    Display().display("\n".join(["", *lines, ""]))
    return []
