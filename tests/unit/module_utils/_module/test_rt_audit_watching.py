# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit without an inventory: the switch's mask and links, and what rt_metrics has set up; each sabotage has one finding."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import WATCH_ARCHIVE
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_metrics
from ansible_collections.realtime.kvm.plugins.module_utils._module._self_audit import defaults
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_audit import OPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._switch.ovsdb import Ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._watch.plan import OPTIONS_FILE
from unit.plants import GUESTS, NETWORKS, SWITCH, matches
from unit.watches import DEFAULTS, FOLDER, OUTPUT, TIMERS, Timers

UNITS = "/etc/systemd/system"
ALONE = {**defaults(OPTIONS), "interval": 0.0}
MASK = "pmd-cpu-mask of Open vSwitch"


@pytest.fixture(name="watched")
def _watched(plant, monkeypatch):
    """A node with metrics, without an inventory."""
    systemd = Timers()
    other = plant._command
    monkeypatch.setattr(plant, "_command", lambda command: systemd(command) if command[0] == "systemctl" else other(command))
    monkeypatch.setattr(rt_metrics, "build_watch_archive", lambda _audit: b"PK program")
    monkeypatch.setattr(Ovsdb, "running", lambda _self: True)
    plant.systemd = systemd
    plant.write(f"{FOLDER}/", None)
    plant.run(rt_metrics, "rt_metrics", {**DEFAULTS, "enabled": True})
    return plant


def alone(plant):
    return plant.findings(**ALONE)


def test_a_converged_node_has_no_finding(watched):
    assert alone(watched) == []
    assert watched.findings() == []


def test_a_node_without_metrics_has_no_finding_of_them(plant, monkeypatch):
    monkeypatch.setattr(Ovsdb, "running", lambda _self: True)
    assert alone(plant) == []


def stopped(plant):
    plant.systemd.units[TIMERS[1]][1] = False


def removed(path):
    return lambda plant: os.unlink(f"{plant.root}{path}")


def edited(path, old, new):
    return lambda plant: plant.edit(path, old, new)


SABOTAGES = {
    "timer stopped": (stopped, [("metrics", TIMERS[1])]),
    "timer gone": (removed(f"{UNITS}/{TIMERS[0]}"), [("host-file", f"{UNITS}/{TIMERS[0]}")]),
    "timer not enabled": (removed(f"{UNITS}/timers.target.wants/{TIMERS[0]}"), [("host-file", f"{UNITS}/timers*")]),
    "unit on other CPUs": (
        edited(f"{UNITS}/realtime-kvm-audit.service", "CPUAffinity=0,3,6,9", "CPUAffinity=0-11"),
        [("host-file", f"{UNITS}/realtime-kvm-audit.service")],
    ),
    "program changed": (lambda plant: plant.write(WATCH_ARCHIVE, "other"), [("host-file", WATCH_ARCHIVE)]),
    "program gone": (removed(WATCH_ARCHIVE), [("host-file", WATCH_ARCHIVE)]),
    "options damaged": (lambda plant: plant.write(OPTIONS_FILE, "{"), [("file-damaged", OPTIONS_FILE)]),
    "options gone": (removed(OPTIONS_FILE), [("unconfigured", OPTIONS_FILE)]),
    "folder gone": (lambda plant: os.rmdir(f"{plant.root}{FOLDER}"), [("metrics", FOLDER)]),
    "folder open to all": (lambda plant: os.chmod(f"{plant.root}{FOLDER}", 0o777), [("metrics", FOLDER)]),
    "a link in its place": (
        lambda plant: (os.rmdir(f"{plant.root}{FOLDER}"), plant.write(FOLDER, ("link", "/tmp"))),
        [("metrics", FOLDER)],
    ),
    "another's file in the folder": (lambda plant: plant.write(OUTPUT, "node_other 1\n"), [("metrics", FOLDER)]),
    "mask edited": (lambda plant: plant.switch.set(".", "other_config", "pmd-cpu-mask", "0x2"), [("pmd-mask", MASK)]),
    "mask gone": (lambda plant: plant.switch.rows.root.columns["other_config"].pop("pmd-cpu-mask"), [("pmd-mask", MASK)]),
    "mask unreadable": (lambda plant: plant.switch.set(".", "other_config", "pmd-cpu-mask", "\x1b[2J"), [("pmd-mask", MASK)]),
    "link down": (
        lambda plant: plant.switch.rows.interfaces["plc1.control"].columns.update(link_state="down"),
        [("guest-link", "port plc1.control")],
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_sabotage_has_its_finding_and_no_other(watched, name):
    sabotage, expected = SABOTAGES[name]
    sabotage(watched)
    found = alone(watched)
    assert matches(found, expected), found


def test_the_threads_of_a_wrong_mask_are_no_second_finding(watched):
    """The switch moves its threads at once."""
    watched.switch.set(".", "other_config", "pmd-cpu-mask", "0x8")
    watched.task(902, "pmd-c03/id:902", "3", process=SWITCH)
    assert alone(watched) == [("pmd-mask", MASK)]
    watched.task(902, "pmd-c03/id:902", "3-4", process=SWITCH)
    assert alone(watched) == [("pmd-mask", MASK), ("pmd-pin", "pmd-c03/id:902 (thread 902)")]


def test_a_thread_that_was_moved_by_hand_is_no_part_of_a_wrong_mask(watched):
    """The repair of the mask leaves it where it is: on the CPU of a vCPU."""
    watched.switch.set(".", "other_config", "pmd-cpu-mask", "0x6")
    watched.task(902, "pmd-c02/id:902", "2", process=SWITCH)
    watched.task(901, "pmd-c01/id:901", "2", process=SWITCH)
    assert alone(watched) == [("pmd-mask", MASK), ("pmd-pin", "pmd-c01/id:901 (thread 901)")]


def test_with_an_inventory_its_comparison_names_the_mask(watched):
    watched.switch.set(".", "other_config", "pmd-cpu-mask", "0x2")
    assert watched.findings(networks=NETWORKS, guests=GUESTS) == [("switch", "ovs:Open_vSwitch other_config:pmd-cpu-mask")]


def test_the_mask_of_a_switch_that_is_not_ours_is_none_of_ours(plant, monkeypatch):
    monkeypatch.setattr(Ovsdb, "running", lambda _self: True)
    journal = Path(f"{plant.root}/var/lib/realtime-kvm/journal.json")
    found = json.loads(journal.read_text())
    found["entries"] = {key: entry for key, entry in found["entries"].items() if entry["kind"] != "ovs"}
    journal.write_text(json.dumps(found))
    plant.switch.set(".", "other_config", "pmd-cpu-mask", "0x2")
    assert alone(plant) == []


def test_a_switch_that_does_not_run_is_not_looked_at(watched, monkeypatch):
    monkeypatch.setattr(Ovsdb, "running", lambda _self: False)
    watched.switch.set(".", "other_config", "pmd-cpu-mask", "0x2")
    assert alone(watched) == []


def test_what_a_guest_that_is_off_lacks_is_no_link(watched):
    watched.switch.rows.interfaces["plc1.control"].columns.update(link_state="down")
    watched.libvirt.stop(["plc1"], 1, force=False)
    assert ("guest-link", "port plc1.control") not in alone(watched)
