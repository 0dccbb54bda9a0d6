# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all unit tests have in common."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """The machine of the tests loses no power, so no test waits for its disk."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
