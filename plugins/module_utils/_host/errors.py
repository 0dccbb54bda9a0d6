# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine refuses. Pure."""

from __future__ import annotations

from .._cpus.errors import RefusalError


class HostError(RefusalError):
    """The machine refused a read or a write; the message names the file and what would help."""
