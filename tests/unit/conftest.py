# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all unit tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Writing to the disk and waiting for it is slow; no test cuts the power of its own machine."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
