# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of real machines, tuned by other users or not at all: what it must report, and no more."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_audit import run
from conformance.snapshots import each_snapshot, snapshot_of

PARAMETERS = {
    "interval": 1.0,
    "priority_limit": None,
    "networks": [],
    "guests": [],
    "host": {},
    "switch": {},
    "nova": {"priority": None, "plain_pinned": False},
}

#: What a machine that was never tuned may get: there is no document, and what its kernel or its capture lacks.
UNTUNED = {"document-missing", "unchecked"}


def audit(snapshot):
    host = Host(str(snapshot.root()), captured=True)
    result = carry_out(SwitchEdges(host, lambda _command: (1, "", "")), run, PARAMETERS)
    assert host.changes == []
    return result


def told(items):
    return [(item["rule"], item["resource"], item["expected"], item["actual"]) for item in items if item["rule"] != "interrupt"]


def interrupts(result):
    """Name of the family to the CPUs that it fires on, as reported."""
    found = [item for item in result["findings"] if item["rule"] == "interrupt"]
    return {re.search(r"\((.*)\)$", item["resource"])[1]: item["actual"] for item in found}


def by_hand(root, isolated):
    """The interrupts on isolated CPUs, counted without the collection's readers: those that have a handler."""
    handled = {line.split(":")[0].strip() for line in (root / "proc/interrupts").read_text().splitlines()[1:]}
    found = set()
    for folder in (root / "proc/irq").iterdir():
        if folder.is_dir() and folder.name in handled:
            fires, allowed = ((folder / name).read_text().strip() for name in ("effective_affinity_list", "smp_affinity_list"))
            cpus = {
                cpu for text in (fires, allowed) for part in text.split(",") if part
                for cpu in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)
            }  # fmt: skip
            if cpus & isolated:
                found.add(folder.name)
    return found


MISSING = ("document-missing", "/etc/ansible/facts.d/realtime_partition.fact", "a partition file", "absent")
NO_STATES = "given beside idle=poll, with which no idle state is entered"
POLL = (
    "idle-poll",
    "idle=poll",
    "per-CPU limits (pm_qos_resume_latency_us)",
    "2 threads per core, of which an idle one takes half of the core from the other",
)
MCE = ("mce-off", "mce", "reports of uncorrected errors (mce=ignore_ce is quiet too)", "mce=off")
REDUNDANT = [
    ("argument-redundant", "processor.max_cstate", "nothing", NO_STATES),
    ("argument-redundant", "intel_idle.max_cstate", "nothing", NO_STATES),
]


def test_the_live_real_time_node_gets_what_it_deserves():
    """It runs with all CPUs but 5-10 isolated, the boot CPU and the siblings of its six housekeeping CPUs among them."""
    snapshot = snapshot_of("openshift/worker1.internal")
    result = audit(snapshot)
    assert told(result["findings"]) == [
        MISSING,
        ("boot-cpu-isolated", "CPU 0", "housekeeping, as the boot CPU", "isolated"),
        (
            "smt-split",
            "CPUs 5-10,45-50",
            "all threads of a core in one set",
            "CPUs 45-50 isolated, their siblings 5-10 housekeeping",
        ),
        POLL,
        MCE,
        ("interrupt-default", "/proc/irq/default_smp_affinity", "CPUs 5-10", "isolated CPUs 0-4,11-79 too"),
    ]
    assert told(result["remarks"]) == [
        *REDUNDANT,
        ("argument-duplicate", "skew_tick", "once", "skew_tick=1, 2 times"),
        ("argument-duplicate", "tsc", "once", "tsc=reliable, 2 times"),
    ]
    assert interrupts(result) == {
        "timer": "CPUs 0; allowed on CPUs 0-79",
        "rtc0": "CPUs 28; allowed on 40 of CPUs 0-78",
        "acpi": "CPUs 2; allowed on 40 of CPUs 0-78",
        "ipmi_si": "CPUs 48; allowed on 40 of CPUs 0-78",
        "i801_smbus": "CPUs 18",
        "dmar*": "CPUs 1,3-7; allowed on 40 of CPUs 1-79",
        "PCIe PME": "CPUs 12,19,22,30,34,43-44,57; allowed on 16 of CPUs 3-74",
        "pciehp": "CPUs 6,24,27,29,32,37,39,41-42,45,65,75; allowed on 24 of CPUs 1-79",
        "xhci_hcd": "CPUs 14; allowed on CPUs 14,54",
        "megasas1-msix*": "CPUs 0-4,11-79",
        "eno*": "CPUs 32,36",
        "eno*-TxRx-*": "15 of CPUs 4-78",
        "ahci[0000:00:*.*]": "CPUs 16,26",
        "nvme0q*": "CPUs 0-4,11-79",
        "i40e-0000:*:00.*:misc": "CPUs 1,17,70,78",
        "i40e-eno*-TxRx-*": "37 of CPUs 0-78",
        "i40e-0000:*:00.*:fdir-TxRx-0": "CPUs 3,27-28,78",
        "i40e-ens7f*-TxRx-*": "37 of CPUs 1-79",
    }
    isolated = set(parse_cpulist("0-4,11-79"))
    assert len(by_hand(snapshot.root(), isolated)) == sum(counts(result).values()) > 500


def counts(result):
    """How many interrupts each finding stands for."""
    found = {}
    for item in result["findings"]:
        if item["rule"] == "interrupt":
            many = re.match(r"(\d+) IRQs from", item["resource"])
            numbers = re.match(r"IRQs? ([\d,-]+) ", item["resource"])
            found[item["resource"]] = int(many[1]) if many else len(parse_cpulist(numbers[1]))
    return found


def test_the_older_real_time_node_splits_the_same_cores_the_other_way():
    snapshot = snapshot_of("openshift/older-worker1")
    result = audit(snapshot)
    assert told(result["findings"]) == [
        MISSING,
        (
            "smt-split",
            "CPUs 5-10,45-50",
            "all threads of a core in one set",
            "CPUs 5-10 isolated, their siblings 45-50 housekeeping",
        ),
        POLL,
        MCE,
    ]
    assert told(result["remarks"]) == REDUNDANT
    assert len(by_hand(snapshot.root(), set(range(5, 11)))) == sum(counts(result).values())


@each_snapshot()
def test_every_captured_machine_can_be_looked_at(snapshot):
    result = audit(snapshot)
    rules = {item["rule"] for item in result["findings"] + result["remarks"]}
    assert "document-missing" in rules
    if str(snapshot) not in ("openshift/worker1.internal", "openshift/older-worker1"):
        assert rules <= UNTUNED, result["findings"]
        assert ("unchecked" in rules) == bool([item for item in result["unchecked"] if item["part"] == "topology"])


@pytest.mark.parametrize("guests", [[], [{"name": "plc1", "memory_mib": 64}]])
def test_a_capture_is_never_compared_with_an_inventory(guests):
    snapshot = snapshot_of("openshift/sno")
    host = Host(str(snapshot.root()), captured=True)
    result = carry_out(SwitchEdges(host, lambda _command: (1, "", "")), run, {**PARAMETERS, "guests": guests})
    assert [item["rule"] for item in result["findings"]] == ["document-missing"]
