# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's clock does now, from what is kept there and what the services say."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._time.state import KEPT, describe, read_kept, read_state
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import PHC2SYS_UNIT, PTP4L_UNIT
from unit.clocks import DEBIAN, LINUXPTP, PTP, Clocks, node, run
from unit.module_utils._time.test_answers import ALONE, PHC, SOURCES, TIME, TRACKING
from unit.trees import fill, writable


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("ansible_collections.realtime.kvm.plugins.module_utils._time.plan._SETTLE_S", 0.0)


def test_nothing_was_set_up(tmp_path):
    assert describe(writable(tmp_path), None) == {}


def test_chrony(tmp_path):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, {"chrony.service": (True, True)}, {"chronyc": TRACKING + SOURCES})
    run(root, systemd, source="chrony")
    found = describe(writable(root), systemd)
    assert found["services"] == {"chrony.service": "0"}
    assert (found["synchronised"], found["reference"], found["offset_us"], found["stamping"]) == (
        True,
        "10.99.0.1",
        -2.508,
        "software",
    )
    systemd.answers["chronyc"] = ALONE + SOURCES
    assert describe(writable(root), systemd)["why"] == "it follows none of 2 sources, of which 1 answer"
    systemd.end("chrony.service")
    assert describe(writable(root), systemd)["why"] == "its service does not run"


def test_of_two_offsets_the_larger_counts(tmp_path):
    root = node(tmp_path, LINUXPTP)
    systemd = Clocks(root, answers={"pmc": TIME, "journalctl": PHC})
    run(root, systemd, **PTP)
    host = writable(root)
    wanted = read_kept(host)
    assert (read_state(host, systemd, wanted).offset_us, describe(host, systemd)["stamping"]) == (1.111, "hardware")
    systemd.answers["journalctl"] = PHC.replace("-123", "-9000")
    assert read_state(host, systemd, wanted).offset_us == -9
    systemd.answers["journalctl"] = ""
    assert read_state(host, systemd, wanted).why == "phc2sys has not compared the clocks yet"
    assert sorted(describe(host, systemd)["services"]) == [PHC2SYS_UNIT, PTP4L_UNIT]
    systemd.answers["pmc"] = TIME.replace("SLAVE", "LISTENING")
    assert not read_state(host, systemd, wanted).synchronised


def test_a_damaged_text_is_refused_by_its_name(tmp_path):
    fill(tmp_path, {KEPT: "{"})
    with pytest.raises(HostError, match=f"{KEPT} is damaged .*run the time_sync role"):
        read_kept(writable(tmp_path))
