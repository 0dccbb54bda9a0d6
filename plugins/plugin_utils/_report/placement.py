# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of place in the report: each host before and after, and what has changed since. Pure.

The plan's own digest was checked when it was read. Whether its form is a plan's is checked here, so that nothing else is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, differs, plain, reason_of
from ansible_collections.realtime.kvm.plugins.module_utils._tables import binary_size
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural

from .since import Seen, whereabouts

#: Bounds of what is shown: characters of a name and of a text, guests of a host, rows of a table.
_NAME, _WORDS, _GUESTS, _ROWS = 120, 600, 60, 1000
#: So many rows are open, more are folded.
_OPEN = 40
