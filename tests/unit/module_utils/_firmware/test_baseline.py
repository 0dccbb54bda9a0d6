# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The baselines as data: well formed, documented, chosen by manufacturer, and adapted to the inventory."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.baseline import (
    Intent,
    choose_baseline,
    make_requests,
    parse_baselines,
)
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import BiosError
from bmc.captures import baselines

ROOT = Path(__file__).resolve().parents[4]


def test_the_baselines_are_well_formed_and_documented():
    known = parse_baselines(baselines())
    assert known[-1].name == "generic", "the last resort comes last"
    page = (ROOT / "docs/bios.md").read_text()
    assert [one.name for one in known if f"`{one.name}`" not in page] == []
    for one in known:
        for setting in one.settings:
            assert setting.topic, setting.name
            if setting.topic == "virtualization":
                assert not {value for values in setting.wanted.values() for value in values} & {"Disabled", "Disable"}
            # the strict profile has all that the balanced one has
            assert set(setting.wanted) in (set(), {"latency"}, {"latency", "balanced"}), setting.name


@pytest.mark.parametrize(
    ("maker", "name"),
    [
        ("Dell Inc.", "dell_idrac9"),
        ("HPE", "hpe_ilo5_ilo6"),
        ("Lenovo", "lenovo_xcc"),
        ("Supermicro", "supermicro"),
        ("", "generic"),
    ],
)
def test_manufacturers(maker, name):
    assert choose_baseline(parse_baselines(baselines()), "auto", maker).name == name


GOOD = {"name": "A", "latency": "x", "reason": "r", "cost": "c", "source": "s"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**GOOD, "cost": ""}, "A: cost is missing; every attribute needs a reason"),
        ({**GOOD, "lateny": "x"}, "A: unknown keys lateny"),
        ({**GOOD, "topic": "speed"}, "A: topic is 'speed'; choose one of profile"),
        ({**GOOD, "gate": True}, "A: gate is True; choose one of needed, always"),
        ({**GOOD, "follows": "smt"}, "A: give either values by profile"),
        ({**GOOD, "latency": None}, "A: give either values by profile"),
        ({**GOOD, "latency": [1.5]}, "A: a value is text, a number or true/false"),
        ("A", "an attribute is a dictionary with a name"),
    ],
)
def test_bad_baselines_of_the_operator(entry, words):
    with pytest.raises(BiosError, match=f"bios_baselines: own.*{words}"):
        parse_baselines([{"name": "own", "title": "own", "manufacturers": [], "attributes": [entry]}])


def test_smt_and_clusters_follow_the_inventory():
    dell = parse_baselines(baselines())[0]
    current = {"LogicalProc": "Enabled", "SubNumaCluster": "Disabled", "ProcTurboMode": "Enabled"}
    for intent, wanted in (
        (Intent(smt="together"), {"LogicalProc": ("Enabled",), "SubNumaCluster": (), "ProcTurboMode": ()}),
        (Intent(smt="single"), {"LogicalProc": ("Disabled",), "SubNumaCluster": (), "ProcTurboMode": ()}),
        (
            Intent(smt="keep", numa="2", turbo="off"),
            {"LogicalProc": (), "SubNumaCluster": ("2-Way",), "ProcTurboMode": ("Disabled",)},
        ),
    ):
        requests = make_requests(dell, intent, current, None).requests
        assert {request.name: request.accepted for request in requests} == wanted
