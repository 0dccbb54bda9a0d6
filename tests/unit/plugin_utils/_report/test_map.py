# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of a node: its sets, guests and poll-mode threads, each on its CPU."""

from __future__ import annotations

import re

from unit.fleets import foreign, node_info
from unit.pages import SPECS, page_of


def test_guests_and_sets_are_drawn_on_their_cpus_with_letters():
    info = node_info("n1", SPECS)
    info["guests"].append(foreign("legacy", [3]))
    text = page_of({"n1": {"info": info, "verify": {"findings": []}}})
    assert "<title>CPU 3: realtime; plc1, vCPU 0; legacy, vCPU 0; per second" in text
    assert "2 users!" in text
    assert "<title>CPU 1: dataplane; PMD, pmd-c01/id:1;" in text
    for letter in "HDRS":
        assert re.search(rf'class="letter" x="10" y="[\d.]+">{letter}</text>', text)
