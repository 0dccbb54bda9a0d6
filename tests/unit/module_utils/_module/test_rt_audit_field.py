# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit on nodes from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import re

#: One cell whose memory is on node 0, like that of field/05; the guest's CPUs are on node 1.
_CELL = {
    "numatune": "<numatune><memory mode='strict' nodeset='1'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>",
    "cells": "<numa><cell id='0' cpus='0-{last}' memory='{memory}' unit='MiB'/></numa>",
}


def test_05_a_cell_s_memory_of_another_node_is_found(plant):
    cells = _CELL["cells"].format(last=0, memory=64)
    plant.foreign(cpu="5", scheduler=1, more=f"{_CELL['numatune']}<cpu>{cells}</cpu>")
    (found,) = plant.audit()["findings"]
    assert (found["rule"], found["resource"]) == ("guest-memory-node", "domain theirs")
    assert "each memnode to nodeset 1 (virsh edit theirs)" in found["remedy"]


def test_05_of_a_listed_guest_the_definition_differs(plant):
    text = plant.libvirt.definitions["plc2"]
    text = re.sub(r"<numatune>.*</numatune>", _CELL["numatune"], text)
    cells = _CELL["cells"].format(last=1, memory=128)
    plant.libvirt.definitions["plc2"] = plant.libvirt.live["plc2"] = text.replace("<topology", f"{cells}<topology")
    assert set(plant.findings()) == {("guest-definition", "domain plc2: numatune"), ("guest-restart", "domain plc2")}
