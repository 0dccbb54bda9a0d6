# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches as the tests find them."""

from __future__ import annotations

import pytest
from unit.nics import Machine
from unit.ovsdb import settled_switch, shared_switch


@pytest.fixture(name="machine")
def _machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture(name="settled")
def _settled():
    return settled_switch()


@pytest.fixture(name="foreign")
def _foreign():
    return shared_switch()
