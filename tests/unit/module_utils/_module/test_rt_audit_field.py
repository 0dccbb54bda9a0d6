# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit on nodes from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import re

from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from unit.loaders import field, field_values
from unit.trees import fill

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


def test_11_the_thread_of_an_interrupt_stays_on_a_realtime_cpu(plant):
    case = field_values("11")
    thread = case.pop("thread")
    fill(plant.root, {path: None if path.endswith("/") else f"{text}\n" for path, text in case.items()})
    assert (thread["kernel"], thread["PF_NO_SETAFFINITY"], thread["policy"]) == (True, True, "FIFO")
    plant.task(
        thread["pid"],
        thread["comm"],
        str(thread["Cpus_allowed_list"]),
        kernel=True,
        bound=True,
        policy=1,
        priority=thread["priority"],
    )
    (found,) = plant.audit()["findings"]
    assert (found["rule"], found["resource"]) == ("interrupt-thread", "irq/167-pps@12 (pid 167)")
    assert found["actual"] == "bound to CPUs 2 with SCHED_FIFO 50, above the vCPUs there"
    assert found["remedy"] == (
        "it cannot be moved; keep its device's driver from loading, or plan around it: take CPUs 2 out of the isolated sets "
        "(cpu_partition_cpus)"
    )


def test_20_the_slice_of_a_guest_has_no_housekeeping_cpu(plant):
    plant.libvirt.definitions["plc"] = to_text(parse(field("20")[""]))
    fill(plant.root, {"/sys/fs/cgroup/machine.slice/machine-rt.slice/cpuset.cpus": "2-9\n"})
    (found,) = plant.audit()["findings"]
    assert (found["rule"], found["resource"]) == ("slice-limit", "machine-rt.slice")
    assert "limits guests to CPUs 2-9, but they need 0,2-6,8-11: housekeeping CPUs (0,3,6,9)" in found["actual"]


def test_20_each_slice_has_its_finding(plant):
    definition = to_text(parse(field("20")[""]))
    for name in ("rt", "other"):
        plant.libvirt.definitions[name] = definition.replace("/machine/rt", f"/machine/{name}").replace(">plc<", f">{name}<")
        fill(plant.root, {f"/sys/fs/cgroup/machine.slice/machine-{name}.slice/cpuset.cpus": "2-9\n"})
    assert set(plant.findings()) == {("slice-limit", "machine-rt.slice"), ("slice-limit", "machine-other.slice")}
