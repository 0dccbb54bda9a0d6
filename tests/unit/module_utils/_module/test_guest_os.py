# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_os as Ansible runs it: a guest gets its node's clock, a node is refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import GuestProfile
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_audit
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.ptp_kvm import FILE, RESOURCE
from unit.trees import documented, fill, plan, snapshot

GUEST = to_document(replace(plan(), guest=GuestProfile("plc1")))
CLOCK = {
    "/sys/class/ptp/ptp0/clock_name": "KVM virtual PTP\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/etc/modules-load.d/": None,
}


def test_the_clock_is_kept_over_boots_and_given_back(call, tree):
    fill(tree, {**documented(GUEST), **CLOCK})
    before = snapshot(tree)
    check = call("guest_os", check=True)
    made = call("guest_os")
    assert made["changes"] == check["changes"] != []
    assert (made["clock"], made["clock_source"]) == ("/dev/ptp0", "tsc")
    assert call("guest_os")["changed"] is False
    planned = call("guest_os", check=True, state="absent")
    assert call("guest_os", ptp_kvm=False)["changes"] == planned["changes"]
    assert call("guest_os", state="absent")["changed"] is False
    assert set(snapshot(tree)) == set(before)


def test_a_node_is_refused(call, tree):
    fill(tree, {**documented(plan()), **CLOCK})
    assert re.search("this machine has the partition of a node, which has no node's clock", call("guest_os")["msg"])
    assert call("guest_os", state="absent")["changed"] is False, "undo of a node has nothing to do"


def test_a_plan_ahead_of_the_document(call, tree):
    fill(tree, CLOCK)
    assert call("guest_os", check=True, partition=GUEST)["changed"] is True
    assert "there is no partition on this node" in call("guest_os", partition=GUEST)["msg"]


MODULES = "/lib/modules/6.1.0-50-rt-amd64/modules.dep"
SOURCES = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
X86 = {"/proc/cpuinfo": "vendor_id : AuthenticAMD\nflags : hypervisor\n"}
HAS = {MODULES: "kernel/drivers/ptp/ptp_kvm.ko.xz:\n", SOURCES: "tsc kvm-clock acpi_pm\n", **X86}


@pytest.fixture(name="warned")
def _warned(monkeypatch):
    """What the module warns of; Ansible itself tells each warning once in a process."""
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text, **_options: warned.append(text))
    return warned


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        (HAS, "hpet", "the clock source of its node is 'hpet', not tsc"),
        ({**HAS, MODULES: "kernel/drivers/ptp/ptp_vmw.ko:\n"}, "tsc", "kernel 6.1.0-50-rt-amd64 has no module ptp_kvm"),
        ({**HAS, SOURCES: "tsc hpet acpi_pm\n"}, "tsc", "the guest has no clock source kvm-clock, but tsc, hpet, acpi_pm"),
    ],
)
def test_a_guest_that_cannot_have_the_clock_does_without_or_is_refused_before_any_change(call, tree, warned, files, source, said):
    """Nobody is stopped by a default; who asks for the clock hears in the plan why the guest does not get it."""
    fill(tree, {**documented(GUEST), "/etc/modules-load.d/": None, **files})
    found = call("guest_os", check=True, node_clock_source=source)
    assert (found["changed"], found["asks_node"]) == (False, False)
    assert said in str(warned)
    assert said in call("guest_os", check=True, node_clock_source=source, ptp_kvm=True)["msg"]


def test_the_node_is_asked_once_for_a_guest_without_a_clock(call, tree, warned):
    fill(tree, {**documented(GUEST), "/etc/modules-load.d/": None, **HAS})
    first = call("guest_os", check=True)
    assert (first["changed"], first["asks_node"]) == (False, True)
    unknown = call("guest_os", node_clock_source="unknown")
    assert (unknown["changed"], unknown["asks_node"]) == (False, False)
    assert "the node could not be asked" in str(warned)
    planned = call("guest_os", check=True, node_clock_source="tsc")
    assert [change["resource"] for change in planned["changes"]] == [RESOURCE, FILE]
    assert call("guest_os", check=True, ptp_kvm=True)["changes"] == planned["changes"]
    fill(tree, CLOCK)
    assert call("guest_os")["asks_node"] is False
    assert call("guest_os", node_clock_source="hpet")["changed"] is False, "a clock that is there counts"


def test_what_answers_in_the_place_of_a_guest_is_told(call, tree):
    """Before its topology is read, which other systems do not have."""
    definition = {"name": "plc1", "vcpus": 4, "realtime_vcpus": "1-3"}
    fill(tree, {"/proc/sys/kernel/ostype": "Linux\n", "/proc/cpuinfo": "vendor_id : GenuineIntel\nflags : sse\n"})
    assert "the machine that answers is no virtual machine" in call("cpu_partition", guest=definition)["msg"]
    shutil.rmtree(tree / "proc/sys")
    shutil.rmtree(tree / "sys")
    assert "guest plc1 runs no Linux" in call("cpu_partition", guest=definition)["msg"]


def test_a_snapshot_is_not_asked(call, snap):
    assert call("guest_os", fsroot=str(snap))["changed"] is False


def test_a_guest_that_all_modules_have_set_up_has_no_finding(call, tree):
    """The rules of nodes hold in a guest: none of them misses guests, gate, emulator threads or whole cores there."""
    virtual = {
        "/proc/sys/kernel/ostype": "Linux\n",
        "/proc/cpuinfo": "vendor_id : AuthenticAMD\nflags : hypervisor\n",
        "/proc/stat": "cpu0 0\n",
    }
    fill(tree, {**CLOCK, **virtual})
    definition = {"name": "plc1", "vcpus": 4, "realtime_vcpus": "1-3", "idle": "poll"}
    for name, given in (
        ("cpu_partition", {"guest": definition}),
        ("cpu_power", {}),
        ("irq_affinity", {}),
        ("guest_os", {}),
        ("kernel_arguments", {}),
    ):
        assert not call(name, **given).get("failed"), name
        assert call(name, **given)["changed"] is False, name
    cmdline = (tree / "proc/cmdline").read_text().split() + call("kernel_arguments")["missing"]
    assert "idle=poll" in cmdline
    assert not [token for token in cmdline if token.startswith("kvm")]
    fill(tree, {"/proc/cmdline": " ".join(cmdline)})

    def audit(**given):
        edges = SwitchEdges(Host(str(tree), check_mode=True, owner="rt_audit"), lambda _command: (1, "", "not there"))
        options = {
            "networks": [],
            "guests": [],
            "interval": 0.0,
            "priority_limit": 1,
            "host": {},
            "switch": {},
            "nova": {"priority": None, "plain_pinned": False},
        }
        found = carry_out(edges, rt_audit.run, {**options, "guest": {**definition, **given}})
        assert [item["part"] for item in found["unchecked"]] == ["boot loader"], "a guest's inside has no libvirt to compare"
        return {(item["rule"], item["resource"]) for item in found["findings"]}

    boot = {("unchecked", "boot loader")}  # which is no part of this tree
    assert audit() == boot
    assert audit(realtime_vcpus="2-3") - boot == {("guest-os-vcpus", "guest plc1")}
    fill(tree, {"/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n"})
    assert {rule for rule, _resource in audit() - boot} == {"guest-os-clock"}
