# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all unit tests."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import disk_checks
from ansible_collections.realtime.kvm.plugins.module_utils._host import journald


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Writing to the disk and waiting for it is slow; no test cuts the power of its own machine."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    """No test depends on the file system of the folder that it gets."""
    monkeypatch.setattr(disk_checks, "takes_direct_io", lambda _host, _path: True)


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch):
    """No test writes to the journal, or the system's log, of its own machine."""
    monkeypatch.setattr(journald, "SOCKET", "/nonexistent/journal")
    monkeypatch.setattr(journald.syslog, "syslog", lambda _level, _text: None)
