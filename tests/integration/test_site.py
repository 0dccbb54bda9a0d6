# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml on stock nodes of different topology: prediction, result, second run, drift, undo.

The tests build on each other in the order they stand in, as each step takes minutes.
"""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import TRIAL_TOKENS
from integration.conftest import NODES, Converged
from integration.lab import FREEZE, THAW, differences, fingerprint, playbook, ssh, wait_for

#: What each node of the lab must come out as: worked out by hand from its hardware, not by the planner.
EXPECTED = {
    "node1": {"housekeeping": "0-1,6-7", "dataplane": "2-3", "realtime": "4-5,8-11", "isolated": "2-5,8-11", "threads": 2},
    "node2": {"housekeeping": "0,4", "dataplane": "", "realtime": "1-3,5-7", "isolated": "1-3,5-7", "threads": 1},
    "node3": {"housekeeping": "0-1", "dataplane": "", "realtime": "2-7", "isolated": "2-7", "threads": 2},
}
#: Threads that isolated CPUs are there for (a KVM of 6.x lets its large-page thread inherit a vCPU's).
TENANTS = ("CPU ", "pmd-", "kvm-nx-lpage")
#: The most remote executions that an unchanged run may cost a host, with or without switch and guests: a look, and one to spare.
UNCHANGED_LIMIT = 2

#: Runs on the node: allowed CPUs of every task, and whether the kernel has bound it.
TASKS = r"""
import glob, json
rows = []
for folder in glob.glob("/proc/[0-9]*/task/[0-9]*"):
    try:
        fields = open(folder + "/stat").read().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in open(folder + "/status") if ":" in line)
    except OSError:
        continue
    flags = int(fields[6])
    name, allowed = status["Name"].strip(), status["Cpus_allowed_list"].strip()
    rows.append([name, allowed, bool(flags & 0x00200000), bool(flags & 0x04000000), int(fields[38]), int(fields[37])])
print(json.dumps(rows))
"""
FAKE_GUEST = """
import os, time
with open("/proc/self/comm", "w") as stream:
    stream.write("CPU 0/KVM")
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
time.sleep(600)
"""
INTERRUPTS = r"""
import glob, json, os
rows = []
for folder in glob.glob("/proc/irq/[0-9]*"):
    names = [name for name in os.listdir(folder) if os.path.isdir(folder + "/" + name)]
    if names:
        read = lambda name: open(folder + "/" + name).read().strip()
        rows.append([names, read("smp_affinity_list"), read("effective_affinity_list"), os.path.basename(folder)])
print(json.dumps(rows))
"""


def cpus(text: str) -> set[int]:
    """A reader of cpulists that shares nothing with the collection's."""
    found = set()
    for part in filter(None, text.split(",")):
        first, _rest, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def on_node(node: str, program: str) -> list:
    return json.loads(ssh(node, "python3 -", stdin=program))


@pytest.mark.parametrize("node", NODES)
def test_check_mode_predicted_the_real_run(converged: Converged, node: str) -> None:
    assert converged.check.changes(node) == converged.real.changes(node)
    assert len(converged.real.changes(node)) >= 6  # partition, power, interrupts, arguments, package, reboot


@pytest.mark.parametrize("node", NODES)
def test_node_rebooted_once_into_a_realtime_kernel(converged: Converged, node: str) -> None:
    assert [
        event
        for event in converged.real.events
        if event.get("action") == "ansible.builtin.reboot" and event["host"] == node and event["changed"]
    ][1:] == []
    assert "PREEMPT_RT" in ssh(node, "uname -v")


def cmdline(node: str) -> list[str]:
    """The arguments of the running kernel without those of its boot on trial."""
    return [token for token in ssh(node, "cat /proc/cmdline").split() if token not in TRIAL_TOKENS]


@pytest.mark.parametrize("node", NODES)
def test_command_line_is_the_plan_and_what_was_there(converged: Converged, node: str) -> None:
    keeps = {token for token in converged.cmdline[node] if not token.startswith("BOOT_IMAGE=")}
    now = {token for token in cmdline(node) if not token.startswith("BOOT_IMAGE=")}
    planned = set(json.loads(ssh(node, "cat /etc/realtime-kvm/kernel_arguments.json"))["tokens"])
    assert now == keeps | planned
    isolated = EXPECTED[node]["isolated"]
    assert {f"isolcpus=managed_irq,domain,{isolated}", f"nohz_full={isolated}", f"rcu_nocbs={isolated}"} <= now
    assert f"irqaffinity={EXPECTED[node]['housekeeping']}" in now


@pytest.mark.parametrize("node", NODES)
def test_each_topology_has_its_own_plan(converged: Converged, node: str) -> None:
    document = json.loads(ssh(node, "cat /etc/ansible/facts.d/realtime_partition.fact"))
    for name in ("housekeeping", "dataplane", "realtime"):
        assert document["sets"][name]["cpus"] == EXPECTED[node][name], name
    assert ssh(node, "cat /sys/devices/system/cpu/isolated").strip() == EXPECTED[node]["isolated"]
    assert ssh(node, "stat -c %a /etc/ansible/facts.d/realtime_partition.fact /var/lib/realtime-kvm/journal.json").split() == [
        "644",
        "600",
    ]
    threads = ssh(node, "cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list").strip()
    assert len(cpus(threads)) == EXPECTED[node]["threads"]


@pytest.mark.parametrize("node", NODES)
def test_no_movable_interrupt_may_fire_on_an_isolated_cpu(converged: Converged, node: str) -> None:
    isolated = cpus(EXPECTED[node]["isolated"])
    managed = []
    for names, allowed, effective, number in on_node(node, INTERRUPTS):
        if not isolated & (cpus(allowed) | cpus(effective)):
            continue
        # only the kernel itself shows a managed one: it refuses to move it
        refusal = ssh(node, f"echo {EXPECTED[node]['housekeeping']} > /proc/irq/{number}/smp_affinity_list; echo $?", ok=False)
        assert refusal.strip() != "0", f"IRQ {number} ({names}) could be moved off {allowed} (effective {effective})"
        managed.append(names)
    assert managed, "the lab's disk has queues on every CPU; this test looked at nothing"
    assert all("-req." in name for names in managed for name in names), managed


@pytest.mark.parametrize("node", NODES)
def test_only_bound_kernel_threads_may_run_on_isolated_cpus(converged: Converged, node: str) -> None:
    isolated = cpus(EXPECTED[node]["isolated"])
    strays = [
        (name, allowed)
        for name, allowed, kernel, bound, _policy, _priority in on_node(node, TASKS)
        if cpus(allowed) & isolated
        and not (kernel and (bound or len(cpus(allowed)) == 1))
        and not (name.startswith(TENANTS) and len(cpus(allowed)) == 1)
    ]
    assert strays == []


@pytest.mark.parametrize("node", NODES)
def test_kernel_threads_stand_above_vcpus(converged: Converged, node: str) -> None:
    wanted = {"ksoftirqd": (1, 2), "ktimers": (1, 2), "rcuc": (1, 4), "irq_work": (1, 5)}
    seen = set()
    for name, _allowed, kernel, _bound, policy, priority in on_node(node, TASKS):
        kind = name.split("/")[0]
        if kernel and kind in wanted:
            seen.add(kind)
            assert (policy, priority) == wanted[kind], name
    assert {"ksoftirqd", "rcuc"} <= seen


@pytest.mark.parametrize("node", NODES)
def test_settings_are_as_documented(converged: Converged, node: str) -> None:
    ordinary = cpus(EXPECTED[node]["housekeeping"])
    now = fingerprint(node)
    for path, value in now.items():
        if path in ("/sys/devices/virtual/workqueue/cpumask", "/sys/devices/virtual/workqueue/writeback/cpumask"):
            assert {bit for bit in range(16) if int(value.replace(",", ""), 16) >> bit & 1} == ordinary, path
        if path.startswith("/sys/kernel/debug/sched/fair_server/cpu"):
            number = int(path.split("/cpu")[1].split("/")[0])
            small = "10000" if path.endswith("/runtime") else "10000000"
            assert (value == small) == (number in cpus(EXPECTED[node]["realtime"])), path
        if path.endswith("pm_qos_resume_latency_us"):
            number = int(path.split("/cpu/cpu")[1].split("/")[0])
            assert value == ("0" if number in ordinary else "1"), path
        if path.endswith("scaling_governor"):
            assert value == "performance", path
    sysctls = {
        "kernel/timer_migration": "0",
        "kernel/numa_balancing": "0",
        "kernel/hung_task_timeout_secs": "600",
        "kernel/sched_rt_runtime_us": "999900" if node == "node2" else "-1",
        "vm/stat_interval": "10",
        "vm/swappiness": "10",
    }
    for name, value in sysctls.items():
        if f"/proc/sys/{name}" in now:
            assert now[f"/proc/sys/{name}"] == value, name
    assert now["/proc/sys/vm/stat_interval"] == "10"


def test_second_run_changes_nothing(converged: Converged) -> None:
    boots = {node: ssh(node, "cat /proc/sys/kernel/random/boot_id") for node in converged.nodes}
    before = {node: fingerprint(node) for node in converged.nodes}
    again = playbook("site.yml", "-vvv", nodes=",".join(converged.nodes))
    for node in converged.nodes:
        assert again.changes(node) == []
        assert differences(before[node], fingerprint(node)) == {}
        assert ssh(node, "cat /proc/sys/kernel/random/boot_id") == boots[node]
    assert again.remote_executions() <= len(converged.nodes) * UNCHANGED_LIMIT


def test_drift_is_named_predicted_and_repaired(converged: Converged) -> None:
    node = converged.nodes[0]
    isolated = min(cpus(EXPECTED[node]["isolated"]))
    number = next(
        number
        for names, _allowed, _effective, number in on_node(node, INTERRUPTS)
        if "virtio0-config" in names or "acpi" in names
    )
    ssh(
        node,
        # the watcher would move the interrupt back before anything sees it
        f"{FREEZE}; echo {isolated} > /proc/irq/{number}/smp_affinity_list;"
        f"echo 2 > /proc/sys/vm/stat_interval; chrt -o -p 0 $(pgrep -x ksoftirqd/{isolated})",
    )
    verify = playbook("verify.yml", nodes=node, ok=False)
    assert "/proc/sys/vm/stat_interval" in verify.output
    assert f"/proc/irq/{number}/smp_affinity_list" in verify.output
    assert f"ksoftirqd/{isolated}" in verify.output
    check = playbook("site.yml", "--check", nodes=node)
    real = playbook("site.yml", nodes=node)
    assert check.changes(node) == real.changes(node)
    resources = sorted(
        change["resource"].split(":")[0] for _t, _a, changes in real.changes(node) for change in json.loads(changes)
    )
    assert resources == sorted(["/proc/sys/vm/stat_interval", f"/proc/irq/{number}/smp_affinity_list", "thread"])
    ssh(node, THAW)
    playbook("verify.yml", nodes=node)


@pytest.mark.parametrize(
    "event", ["ip link add watched type veth peer name watched1", "ip link set watched mtu 1400", "ip link del watched"]
)
def test_the_watcher_moves_an_interrupt_back_within_two_seconds_of_an_event(converged: Converged, event: str) -> None:
    node = converged.nodes[0]
    isolated = min(cpus(EXPECTED[node]["isolated"]))
    number = next(
        number
        for names, _allowed, _effective, number in on_node(node, INTERRUPTS)
        if "virtio0-config" in names or "acpi" in names
    )
    file = f"/proc/irq/{number}/smp_affinity_list"
    time.sleep(12)  # its looks after the event before
    cursor = ssh(node, "journalctl -n 0 --show-cursor --no-pager").rpartition("-- cursor: ")[2].strip()
    allowed = ssh(node, f"echo {isolated} > {file}; {event}; sleep 2; cat {file}").strip()
    assert not cpus(allowed) & cpus(EXPECTED[node]["isolated"])
    assert f"{file}: {isolated} -> " in ssh(node, f"journalctl -u realtime-kvm-watch --no-pager --after-cursor='{cursor}'")


def test_a_reboot_by_hand_keeps_the_node_as_it_is(converged: Converged) -> None:
    node = converged.nodes[0]
    boot = ssh(node, "cat /proc/sys/kernel/random/boot_id").strip()
    ssh(node, "systemd-run --on-active=1 systemctl reboot", ok=False)
    assert wait_for(node, f"! grep -q {boot} /proc/sys/kernel/random/boot_id", 300)
    ssh(node, "systemctl is-system-running --wait", timeout=200, ok=False)
    if EXPECTED[node]["dataplane"]:  # libvirt starts them one by one
        assert wait_for(node, "test $(virsh list --name | grep -c .) -ge 3", 200)
    playbook("verify.yml", nodes=node)
    assert playbook("site.yml", nodes=node).changes(node) == []


def test_reboot_is_refused_while_realtime_guests_run(converged: Converged) -> None:
    """A thread that is named and scheduled like a real-time vCPU stands for a guest: nothing of libvirt is looked at."""
    node = converged.nodes[-1]
    ssh(node, "cat > /run/fake_guest.py", stdin=FAKE_GUEST)
    ssh(node, "systemd-run --unit=fake-guest python3 /run/fake_guest.py -name guest=press-line-7,debug-threads=on")
    assert wait_for(node, "systemctl is-active --quiet fake-guest && grep -l 'CPU 0/KVM' /proc/[0-9]*/comm >/dev/null", 60)
    try:
        refused = playbook("site.yml", nodes=node, ok=False, extra={"rt_kernel_arguments": ["quiet_by_test=1"]})
        assert "press-line-7" in refused.output
        assert "rt_kernel_reboot_with_guests" in refused.output
    finally:
        ssh(node, "systemctl stop fake-guest; rm -f /run/fake_guest.py", ok=False)
    playbook("site.yml", nodes=node)  # takes the argument away again; it was never booted


def test_undo_puts_everything_back(converged: Converged) -> None:
    everyone = ",".join(converged.nodes)
    playbook("undo.yml", nodes=everyone, timeout=1500, extra={"rt_guest_undo_running": True})
    for node in converged.nodes:
        assert "PREEMPT_RT" not in ssh(node, "uname -v")
        assert cmdline(node) == converged.cmdline[node]
        assert differences(converged.before[node], fingerprint(node)) == {}
    again = playbook("undo.yml", nodes=everyone)
    for node in converged.nodes:
        assert again.changes(node) == []
