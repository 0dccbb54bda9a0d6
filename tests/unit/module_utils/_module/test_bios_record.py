# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_record: the former firmware values on the node, from before the first change until they are restored."""

from __future__ import annotations

import json
import stat

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._module import bios_record
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module.bios_record import RECORD
from unit.hostile import VALUES
from unit.hosts import plan_all, undo
from unit.trees import fill, snapshot, writable

DELL = "Dell Inc. PowerEdge R750"


def run(root, *, check_mode=False, values=None, machine=DELL, forget=()):
    edges = Edges(writable(root, "bios_record", check_mode=check_mode), lambda command: pytest.fail(f"{command} was run"))
    return carry_out(edges, bios_record.run, {"values": values or {}, "machine": machine, "forget": list(forget)})


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "aaaa\n", "/var/lib/": None})


def kept(root):
    return json.loads((root / RECORD[1:]).read_text())


def test_the_first_value_is_recorded_and_stays(root):
    before = snapshot(root)
    predicted = run(root, check_mode=True, values={"ProcC1E": "Enabled", "Delay": 60})
    assert snapshot(root) == before
    made = run(root, values={"ProcC1E": "Enabled", "Delay": 60})
    assert made == predicted
    assert (made["changed"], made["added"], made["recorded"]) == (
        False,
        ["Delay", "ProcC1E"],
        {"ProcC1E": "Enabled", "Delay": 60},
    )
    # what this collection has made of it since is no original
    again = run(root, values={"ProcC1E": "Disabled", "NumLock": True})
    assert (again["added"], again["recorded"]["ProcC1E"]) == (["NumLock"], "Enabled")
    assert kept(root) == {"schema": 1, "machine": DELL, "settings": {"ProcC1E": "Enabled", "Delay": 60, "NumLock": True}}
    assert stat.S_IMODE((root / RECORD[1:]).stat().st_mode) == 0o600
    assert stat.S_IMODE((root / RECORD[1:]).parent.stat().st_mode) == 0o700


def test_reading_writes_nothing(root):
    before = snapshot(root)
    assert run(root, machine="") == run(root, check_mode=True, machine="")
    assert snapshot(root) == before


def test_what_is_restored_is_forgotten_and_the_file_ends_with_the_last(root):
    empty = snapshot(root)
    run(root, values={"A": 1, "B": None})
    result = run(root, machine="", forget=["A", "unknown"])
    assert (result["recorded"], result["machine"]) == ({"B": None}, DELL)
    assert kept(root)["machine"] == DELL
    assert run(root, machine="", forget=["B"])["machine"] == ""
    assert snapshot(root) == empty, "neither file nor folder is left"


def test_it_stays_when_everything_else_is_undone(root):
    fill(root, {"/proc/sys/vm/stat_interval": "1", "/proc/sys/kernel/watchdog": "1", "/etc/kept.conf": "own\n"})
    run(root, values={"A": "x"})
    host = writable(root, "test")
    with host.locked():
        plan_all(host)
        host.commit()
    undo(root)
    assert not (root / JOURNAL[1:]).exists()
    assert run(root, machine="")["recorded"] == {"A": "x"}


def test_values_of_another_machine_are_not_mixed_in(root):
    run(root, values={"A": "x"})
    with pytest.raises(
        HostError, match=r"has the former values of another machine \(Dell Inc\. PowerEdge R750\), not of HPE DL380; move it away"
    ):
        run(root, values={"B": "y"}, machine="HPE DL380")
    assert kept(root)["settings"] == {"A": "x"}


@pytest.mark.parametrize("value", [value for value in VALUES if not isinstance(value, (str, int, bool, type(None)))][:20])
def test_a_value_that_no_bios_has_is_refused(root, value):
    with pytest.raises(HostError, match=r"bios_record: values\.A is"):
        run(root, values={"A": value})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is damaged, so the former values of the firmware cannot be read"),
        ("[]", "is damaged"),
        ('{"schema": 1}', "is damaged"),
        ('{"schema": 1, "machine": "m", "settings": {"A": [1]}}', r"is damaged.*settings\.A is a list"),
        ('{"schema": 2}', r"was written by a newer release \(schema 2, this release knows 1\); it was left as it is"),
        ("[" * 100_000, "is damaged"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_as_it_is(root, content, said):
    fill(root, {RECORD: content})
    with pytest.raises(HostError, match=said):
        run(root, values={"A": "x"})
    assert (root / RECORD[1:]).read_text() == content
