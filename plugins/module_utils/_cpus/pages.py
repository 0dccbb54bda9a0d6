# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of huge pages. Pure."""

from __future__ import annotations

#: Page size in MiB by its name in the inventory.
PAGE_MIB = {"2M": 2, "1G": 1024}
