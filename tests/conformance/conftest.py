# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of several conformance tests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(name="short_folder")
def _short_folder():
    """A directory whose path is short, for that of a socket has at most 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="ovs-", dir="/tmp"))
    yield path
    shutil.rmtree(path)
