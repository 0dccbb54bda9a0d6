# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of huge pages. Pure."""

from __future__ import annotations

#: Page size in MiB by its name in the inventory.
PAGE_MIB = {"2M": 2, "1G": 1024}
