# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our metadata says of a domain's functions; _guests/test_hostdevs.py reads elements."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import NAMESPACE, functions_of, marks_of
from unit.devices import domain_of


def test_functions_and_marks():
    tree = ET.fromstring(domain_of("plc1", "0000:41:00.0", interrupts="1"))
    assert list(functions_of(tree)) == ["0000:41:00.0"]
    assert marks_of(tree)["0000:41:00.0"]["interrupts"] == "1"
    foreign = ET.fromstring(domain_of("plc1", "0000:41:00.0").replace(NAMESPACE, "http://example.com"))
    assert (list(functions_of(foreign)), marks_of(foreign)) == (["0000:41:00.0"], {})
