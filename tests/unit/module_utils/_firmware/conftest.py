# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BMC of these tests."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import connection
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.redfish import Redfish
from unit.bmcs import TREE, Wire, access


@pytest.fixture(name="bmc")
def _bmc(monkeypatch):
    def make(answers=None, **more):
        wire = Wire({**TREE, **(answers or {})})
        monkeypatch.setattr(connection, "open_url", wire)
        slept = []
        redfish = Redfish(access(**more), slept.append)
        redfish.wire, redfish.slept = wire, slept
        return redfish

    return make
