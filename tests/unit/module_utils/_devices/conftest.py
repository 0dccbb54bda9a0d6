# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with devices as the tests find them."""

from __future__ import annotations

import pytest
from unit.nics import Machine


@pytest.fixture(name="machine")
def _machine(tmp_path):
    return Machine(tmp_path)
