# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolation without a reboot, on a node that was booted without any: made, used, grown, shrunk, killed half-way and undone.

Looks at cgroups, /proc and /sys alone. The node keeps a snapshot ``realtime`` (its PREEMPT_RT kernel, no isolation).
"""

from __future__ import annotations

import json
import random
import subprocess
import time

import pytest
from integration.conftest import NODES
from integration.lab import INVENTORY, ROOT, STATE, lab, module, ssh, wait_for
from integration.machine import cpus

NODE = NODES[0]
PARTITION = "realtime.kvm.cpu_partition"
RUNTIME = {"isolation": "runtime", "dataplane_devices": ["ens1"]}  # as in the node's host_vars
SETS = {"dataplane": cpus("2-3"), "realtime": cpus("4-5,8-11")}  # worked out by hand from its hardware
ORDINARY = cpus("0-1,6-7")

#: Prints what the partition touches of a running node: cpusets, settings, kernel threads, files.
LOOK = r"""
import glob, hashlib, json, os
found = {}
def read(path):
    try:
        return open(path, "rb").read().decode(errors="replace").strip()
    except OSError as error:
        return f"error {error.errno}"
for folder, _folders, names in os.walk("/sys/fs/cgroup"):
    if folder.count("/") <= 5:
        found.update({f"{folder}/{name}": read(f"{folder}/{name}") for name in names if name.startswith("cpuset.cpus") or name == "cgroup.subtree_control"})
for pattern in ("/proc/sys/kernel/*", "/proc/sys/vm/*", "/proc/irq/*/smp_affinity", "/sys/devices/virtual/workqueue/cpumask",
                "/sys/devices/virtual/workqueue/*/cpumask", "/sys/kernel/debug/sched/fair_server/cpu*/runtime", "/sys/kernel/mm/ksm/run",
                "/sys/devices/system/machinecheck/machinecheck0/*", "/sys/devices/system/cpu/online"):
    found.update({path: read(path) for path in glob.glob(pattern) if os.path.isfile(path)})
for pid in filter(str.isdecimal, os.listdir("/proc")):
    try:
        name, rest = open(f"/proc/{pid}/stat").read().rsplit(")", 1)
        if int(rest.split()[6]) & 0x200000 and "kworker" not in name and "psimon" not in name:
            number = int(pid)
            found[name] = [sorted(os.sched_getaffinity(number)), os.sched_getscheduler(number), os.sched_getparam(number).sched_priority]
    except OSError:
        pass
for tree in ("/etc", "/usr/local", "/var/lib/realtime-kvm"):
    for folder, folders, names in os.walk(tree):
        found.update({f"{folder}/{name}/": "" for name in folders})
        for name in names:
            path = f"{folder}/{name}"
            found[path] = os.readlink(path) if os.path.islink(path) else hashlib.sha256(open(path, "rb").read()).hexdigest()
unsteady = ("random", "ns_last_pid", "usermodehelper", "stat_refresh", "sched_domain", "pty", "dirty", "printk")
print(json.dumps({key: value for key, value in found.items() if not any(word in key for word in unsteady)}))
"""


def look() -> dict:
    return json.loads(ssh(NODE, "python3 -", stdin=LOOK))


def different(before: dict, after: dict) -> dict:
    return {key: (before.get(key), after.get(key)) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def run(*arguments: str, **options: object) -> dict:
    result = module(NODE, PARTITION, *arguments, "-a", json.dumps(options))
    assert not result["failed"], result["msg"]
    return result


def holders() -> dict[str, tuple[set[int], str]]:
    text = ssh(
        NODE,
        "cd /sys/fs/cgroup; for h in realtime-kvm.*; do [ -d $h ] && echo $h $(cat $h/cpuset.cpus $h/cpuset.cpus.partition); done; true",
    )
    rows = [line.split(" ", 2) for line in text.splitlines()]
    return {name.partition(".")[2]: (cpus(listed), state) for name, listed, state in rows}


@pytest.fixture(scope="module", autouse=True)
def _realtime() -> None:
    """A PREEMPT_RT kernel that isolates nothing."""
    if (
        "realtime"
        in subprocess.run(
            ["qemu-img", "snapshot", "-U", "-l", str(STATE / NODE / "disk.qcow2")], capture_output=True, text=True, check=True
        ).stdout.split()
    ):
        lab("reset", NODE, lab_snapshot="realtime")
        return
    lab("reset", NODE)
    ssh(
        NODE,
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq linux-image-rt-amd64 >/dev/null 2>&1",
        timeout=500,
    )
    # the highest entry below "Advanced options" is the real-time kernel
    ssh(NODE, "sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=\"1>0\"/' /etc/default/grub; update-grub 2>/dev/null", timeout=200)
    ssh(NODE, "(sleep 1; reboot) >/dev/null 2>&1 &")
    time.sleep(20)
    assert wait_for(NODE, "uname -v | grep -q PREEMPT_RT && systemctl is-system-running --wait >/dev/null", 300)
    lab("snapshot", NODE, lab_snapshot="realtime")


def test_both_sets_are_isolated_without_a_reboot_as_check_mode_said() -> None:
    boot = ssh(NODE, "cat /proc/sys/kernel/random/boot_id")
    said = run("--check", **RUNTIME)
    assert holders() == {}
    made = run(**RUNTIME)
    assert made["changed"]
    assert made["changes"] == said["changes"]
    assert holders() == {name: (wanted, "isolated") for name, wanted in SETS.items()}
    assert cpus(ssh(NODE, "cat /sys/fs/cgroup/cpuset.cpus.effective")) == ORDINARY
    assert ssh(NODE, "cat /proc/sys/kernel/random/boot_id") == boot
    assert run(**RUNTIME)["changes"] == []
    assert "nohz_full=2-5,8-11" in [item["argument"] for item in made["not_at_runtime"]]


def test_only_the_kernels_own_threads_are_left_on_isolated_cpus() -> None:
    script = """
import os, re
for pid in filter(str.isdecimal, os.listdir("/proc")):
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            name, rest = open(f"/proc/{pid}/task/{task}/stat").read().rsplit(")", 1)
            allowed = os.sched_getaffinity(int(task))
        except OSError:
            continue
        isolated = allowed & {2, 3, 4, 5, 8, 9, 10, 11}
        if isolated and not (int(rest.split()[6]) & 0x200000 and (len(allowed) == 1 or int(rest.split()[6]) & 0x04000000)):
            print(pid, name, sorted(allowed))
"""
    assert ssh(NODE, "python3 -", stdin=script) == ""


def test_a_cpu_moves_from_shared_to_realtime_and_back_alone() -> None:
    run(**RUNTIME, cpus={"housekeeping": "0-1,6-7", "shared": "10-11", "dataplane": "2-3", "realtime": "4-5,8-9"})
    assert holders()["realtime"] == (cpus("4-5,8-9"), "isolated")
    assert cpus(ssh(NODE, "cat /sys/fs/cgroup/system.slice/cpuset.cpus")) == ORDINARY | {10, 11}
    run(**RUNTIME)
    assert holders()["realtime"] == (SETS["realtime"], "isolated")
    assert cpus(ssh(NODE, "cat /sys/fs/cgroup/system.slice/cpuset.cpus")) == ORDINARY


def test_rtpart_does_what_its_manual_says() -> None:
    rows = json.loads(ssh(NODE, "rtpart list --json"))["cpus"]
    assert {row["cpu"] for row in rows if row["owner"] == "held (isolated)"} == SETS["dataplane"] | SETS["realtime"]
    assert ssh(NODE, "rtpart status") == "the machine is as its document says\n"
    ran = ssh(
        NODE,
        "rtpart run realtime --cpu 9 -f 10 -- sh -c 'grep Cpus_allowed_list /proc/self/status; chrt -p $$; cat /proc/self/cgroup'",
    )
    assert ran.split() == [
        *("Cpus_allowed_list: 9 pid " + ran.split()[3] + "'s current scheduling policy: SCHED_FIFO").split(),
        *("pid " + ran.split()[3] + "'s current scheduling priority: 10 0::/realtime-kvm.realtime").split(),
    ]
    pid = ssh(NODE, "sleep 600 >/dev/null 2>&1 & echo $!").strip()
    moved = json.loads(ssh(NODE, f"rtpart move {pid} dataplane --json"))
    assert (moved["before"], moved["after"]) == ("0-1,6-7", "2")
    refused = ssh(NODE, "rtpart run dataplane --cpu 2 -- true 2>&1; true")
    assert refused == f"rtpart: CPU 2: in use: CPU 2 by sleep (pid {pid}); stop or move it first\n"
    assert json.loads(ssh(NODE, f"rtpart move {pid} housekeeping --json"))["after"] == "0-1,6-7"
    ssh(NODE, f"kill {pid}")
    bound = ssh(NODE, "pgrep -x migration/4").strip()
    assert "is bound to CPU 4 by the kernel" in ssh(NODE, f"rtpart move {bound} housekeeping 2>&1; true")
    ssh(NODE, "echo member > /sys/fs/cgroup/realtime-kvm.dataplane/cpuset.cpus.partition")
    assert "cpuset:dataplane" in ssh(NODE, "rtpart status; test $? = 1")
    assert run(**RUNTIME)["changed"]
    assert ssh(NODE, "rtpart status") == "the machine is as its document says\n"


def test_undo_leaves_nothing_behind_also_after_kills() -> None:
    run(state="absent")
    before = look()
    run(**RUNTIME)
    ssh(NODE, "rtpart undo")
    assert different(before, look()) == {}
    chance = random.Random(1)
    for attempt in range(10):
        process = subprocess.Popen(  # the module alone; it works for some seconds on an emulated node
            ["ansible", "-i", str(INVENTORY), NODE, "-m", PARTITION, "-a", json.dumps(RUNTIME)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        ssh(NODE, "timeout 60 sh -c 'until pgrep -f [A]nsiballZ_cpu_partition >/dev/null; do :; done'", ok=False)
        time.sleep(chance.uniform(0.5, 5))
        ssh(NODE, "pkill -9 -f '[A]nsiballZ_cpu_partition'; true")
        process.wait(60)
        run(state="absent")
        assert different(before, look()) == {}, attempt
