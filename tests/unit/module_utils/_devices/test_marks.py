# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our metadata says of a domain's functions; _guests/test_hostdevs.py reads elements."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import NAMESPACE, functions_of, is_ours, marks_of
from unit.devices import domain_of


def test_functions_and_marks():
    tree = ET.fromstring(domain_of("plc1", "0000:41:00.0", interrupts="1"))
    assert list(functions_of(tree)) == ["0000:41:00.0"]
    assert marks_of(tree)["0000:41:00.0"]["interrupts"] == "1"
    assert is_ours(tree)
    foreign = ET.fromstring(domain_of("plc1", "0000:41:00.0").replace(NAMESPACE, "http://example.com"))
    assert (list(functions_of(foreign)), marks_of(foreign)) == (["0000:41:00.0"], {})
    assert not is_ours(foreign)


def test_numbers_are_read_as_libvirt_reads_them():
    text = "<domain><devices><hostdev type='pci'><source><address bus='{}' slot='00' function='1'/></source></hostdev></devices></domain>"
    found = {bus: list(functions_of(ET.fromstring(text.format(bus)))) for bus in ("1", "01", "010", "0x10", "", "08")}
    assert found == {
        "1": ["0000:01:00.1"],
        "01": ["0000:01:00.1"],
        "010": ["0000:08:00.1"],
        "0x10": ["0000:10:00.1"],
        "": [],
        "08": [],
    }
