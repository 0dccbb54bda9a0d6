# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What site leaves as a job's artefact: each node that was compared, in whichever part of the run."""

from __future__ import annotations

import json
import re

import pytest
from playbooks.test_rolling import AUDIT, NAMES, REBOOT, Rolling

SOUND = {"results": {"rt_audit": AUDIT}}
FINDING = {"severity": "warning", "rule": "interrupt", "resource": "IRQ 9", "remedy": "x" * 100}
FOUND = {"results": {"rt_audit": {**AUDIT, "findings": [FINDING] * 20}}}


@pytest.fixture(name="rolling")
def _rolling(nodes, monkeypatch):
    monkeypatch.setenv("ANSIBLE_SHOW_CUSTOM_STATS", "true")
    return Rolling(nodes)


def drift(said):
    """The artefact of a run."""
    return json.JSONDecoder().raw_decode(re.search(r"RUN: (\{.*)", said)[1])[0]["realtime_drift"]


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_fleet_on_which_nothing_is_to_be_done_has_an_artefact(rolling, check):
    code, said = rolling.run(SOUND, *check, most=3)
    assert code == 0, said
    assert drift(said) == {name: [] for name in NAMES[:3]}


def test_all_nodes_are_in_the_artefact_and_share_its_bytes(rolling):
    """One has nothing to do, one nothing but findings, the others are verified in their batches."""
    path = rolling.nodes.base / "plugins" / "plugin_utils" / "_artefact.py"
    path.write_text(re.sub("^MOST = .*", "MOST = 2_000", path.read_text(), flags=re.M))
    busy = {**REBOOT, "results": {**REBOOT["results"], **FOUND["results"]}}
    code, said = rolling.run({**busy, "nodes": {"kvm01": SOUND, "kvm02": FOUND}}, most=4)
    assert code == 0, said
    found = drift(said)
    assert sorted(found) == NAMES[:4]
    assert found["kvm01"] == []
    assert {found[name][-1]["rule"] for name in NAMES[1:4]} == {"more"}
    assert len(json.dumps(found)) < 2000
