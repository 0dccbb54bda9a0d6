# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all unit tests."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import disk_checks


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Writing to the disk and waiting for it is slow; no test cuts the power of its own machine."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    """No test depends on the file system of the folder that it gets."""
    monkeypatch.setattr(disk_checks, "takes_direct_io", lambda _host, _path: True)
