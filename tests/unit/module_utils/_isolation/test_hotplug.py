# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPUs are switched off and on again before they are isolated, and what a killed run leaves."""

import errno
import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.hotplug import (
    LeftOffError,
    check_all_on,
    left_off,
    plan_cycles,
    plan_recovery,
)
from unit.trees import fill, machine_files, plan, refuse_writes, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
SWITCH = "/sys/devices/system/cpu/cpu{}/online"


@pytest.fixture(name="node")
def _node(tmp_path):
    return fill(tmp_path, {**machine_files(), **{SWITCH.format(cpu): "1\n" for cpu in (1, 2, 3)}, "/var/lib/": None})


def cycled(node):
    host = writable(node, "cpu_partition", check_mode=True)
    plan_cycles(host, PARTITION)
    return [(change.resource, change.before, change.after, change.disruption) for change in host.changes]


def test_every_cpu_that_becomes_isolated_is_switched_once(node):
    assert cycled(node) == [(SWITCH.format(cpu), "1", "0, then 1", "stall") for cpu in (1, 2, 3)]


def test_a_cpu_that_is_isolated_already_is_left_alone(node):
    fill(node, {f"{HOLDERS['realtime']}/cpuset.cpus": "2-3\n", f"{HOLDERS['realtime']}/cpuset.cpus.partition": "isolated\n"})
    assert [resource for resource, *_rest in cycled(node)] == [SWITCH.format(1)]


def test_a_cpu_of_a_running_guest_is_left_alone(node):
    scope = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope/libvirt/vcpu0"
    fill(node, {f"{scope}/cpuset.cpus": "2\n", f"{scope}/cgroup.threads": "1234\n"})
    assert [resource for resource, *_rest in cycled(node)] == [SWITCH.format(1), SWITCH.format(3)]


def test_a_cpu_that_cannot_be_switched_off_is_named(node):
    (node / SWITCH.format(2).lstrip("/")).unlink()
    host = writable(node, "cpu_partition")
    plan_cycles(host, PARTITION)
    assert len(host.changes) == 2
    assert "cannot switch off CPU 2" in host.notes[0]


def test_afterwards_the_cpu_is_on_and_nothing_is_left_to_undo(node):
    host = writable(node, "cpu_partition")
    plan_cycles(host, PARTITION)
    host.commit()
    assert host.value(SWITCH.format(1)) == "1"
    assert not host.exists(JOURNAL)


def killed(node, owner="cpu_partition"):
    """A node on which a run was killed while CPU 2 was off."""
    boot = writable(node).boot_id()
    entry = {"owner": owner, "kind": "value", "before": "1", "boot_id": boot}
    journal = {"schema": 1, "directories": [], "kernels": [], "entries": {SWITCH.format(2): entry}}
    return fill(node, {JOURNAL: json.dumps(journal), SWITCH.format(2): "0\n"})


def test_a_killed_runs_cpu_is_switched_on(node):
    host = writable(killed(node), "cpu_partition")
    plan_recovery(host)
    assert [(change.resource, change.before, change.after) for change in host.changes] == [(SWITCH.format(2), "0", "1")]
    assert host.value(SWITCH.format(2)) == "0"
    host.commit()
    assert host.value(SWITCH.format(2)) == "1"
    assert not host.exists(JOURNAL)


@pytest.mark.parametrize("check_mode", [True, False])
def test_nothing_can_be_planned_before_that_and_the_refusal_says_so(node, check_mode):
    host = writable(killed(node), "cpu_partition", check_mode=check_mode)
    with pytest.raises(LeftOffError, match=r"CPUs 2 are off: .* Switch them on with the cpu_partition role") as refused:
        check_all_on(host)
    assert refused.value.results == {"left_off": "2"}
    assert host.value(SWITCH.format(2)) == "0"


def test_check_mode_predicts_the_recovery(node):
    host = writable(killed(node), "cpu_partition", check_mode=True)
    plan_recovery(host)
    host.commit()
    assert [(change.resource, change.after) for change in host.changes] == [(SWITCH.format(2), "1")]
    assert host.value(SWITCH.format(2)) == "0"


def test_a_cpu_that_another_user_switched_off_stays_off(node):
    fill(node, {SWITCH.format(2): "0\n"})
    host = writable(node, "cpu_partition")
    check_all_on(host)
    plan_recovery(host)
    assert left_off(host) == {}
    assert host.changes == []


def test_a_cpu_that_does_not_come_back_stops_a_plan_but_no_undo(node, monkeypatch):
    killed(node)
    refuse_writes(monkeypatch, [f"{node}{SWITCH.format(2)}"], errno.EIO)
    host = writable(node, "cpu_partition")
    plan_recovery(host)
    with pytest.raises(HostError, match="the kernel refused '1'"):
        host.commit()
    assert host.exists(JOURNAL)
    host = writable(node, "cpu_partition")
    plan_recovery(host, until_boot=True)
    host.commit()
    assert host.notes == [
        f"{SWITCH.format(2)}: the kernel refused '1': Input/output error; it stays as it is until the next reboot"
    ]
    assert (host.changes, host.exists(JOURNAL)) == ([], False)
