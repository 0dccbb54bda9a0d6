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
from dataclasses import dataclass

import pytest
from integration.conftest import NODES
from integration.lab import INVENTORY, ROOT, STATE, lab, module, playbook, reboot, ssh
from integration.machine import cpus


@dataclass(frozen=True)
class Expected:
    """A node's sets, worked out by hand from its hardware."""

    options: dict
    dataplane: str
    realtime: str
    ordinary: str
    smaller: dict  # explicit lists in which the realtime set is smaller
    lent: str  # what is lent to the ordinary CPUs then
    probe: int  # a realtime CPU to measure on


EXPECTED = {
    "node1": Expected(  # 2 sockets, 3 cores, 2 threads; Linux 6.12
        {"dataplane_devices": ["ens1"]},
        "2-3",
        "4-5,8-11",
        "0-1,6-7",
        {"housekeeping": "0-1,6-7", "shared": "10-11", "dataplane": "2-3", "realtime": "4-5,8-9"},
        "10-11",
        9,
    ),
    "node2": Expected(  # 2 sockets, 4 cores; Linux 6.1, without partitions below ordinary cgroups
        {"dataplane_cores_per_node": 1},
        "1,5",
        "2-3,6-7",
        "0,4",
        {"housekeeping": "0,4", "shared": "7", "dataplane": "1,5", "realtime": "2-3,6"},
        "7",
        6,
    ),
}
NODE = NODES[0]
pytestmark = pytest.mark.skipif(NODE not in EXPECTED, reason="worked out for node1 and node2 of the lab (LAB_NODES)")
WANT = EXPECTED.get(NODE, EXPECTED["node1"])
PARTITION = "realtime.kvm.cpu_partition"
RUNTIME = {"isolation": "runtime", "smt": "together", **WANT.options}
SETS = {"dataplane": cpus(WANT.dataplane), "realtime": cpus(WANT.realtime)}
ORDINARY = cpus(WANT.ordinary)
ISOLATED = SETS["dataplane"] | SETS["realtime"]
FIRST = min(SETS["dataplane"])

#: Spins on a CPU with the policy of a vCPU, so below the kernel's own threads there; prints what interrupted it.
SPIN = r"""
import collections, json, os, re, sys, time
cpu, seconds = int(sys.argv[1]), float(sys.argv[2])
def timer():
    for line in open("/proc/interrupts"):
        if line.split()[0] == "LOC:":
            return int(line.split()[1 + sorted(os.sched_getaffinity(1) | set(range(os.cpu_count()))).index(cpu)])
def traced(name, text=None):  # who takes the CPU from this thread
    with open("/sys/kernel/tracing/" + name, "w" if text else "r") as file:
        return file.write(text) if text else file.read()
traced("events/sched/sched_switch/filter", f"prev_pid == {os.getpid()}")
traced("events/sched/sched_switch/enable", "1")
os.sched_setaffinity(0, {cpu})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
interrupts, start, longest = timer(), time.monotonic(), 0.0
traced("trace_marker", "begin")
last = start
while last - start < seconds:
    now = time.monotonic()
    longest = max(longest, now - last)
    last = now
interrupts = timer() - interrupts
traced("events/sched/sched_switch/enable", "0")
switched = traced(f"per_cpu/cpu{cpu}/trace").rpartition("tracing_mark_write: begin")[2]
who = collections.Counter(re.findall(r" ==> next_comm=(.+?) next_pid=", switched))
programs = sum(count for name, count in who.items() if not re.search(rf"/{cpu}\b", name))
# ksoftirqd, where no interrupt comes to: the scheduler's load balancing, which isolated CPUs have no part in
print(json.dumps({"timer": interrupts, "switches": programs + who[f"ksoftirqd/{cpu}"], "who": who, "longest_ms": round(longest * 1000, 1)}))
"""

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
    assert reboot(NODE, "uname -v | grep -q PREEMPT_RT")
    lab("snapshot", NODE, lab_snapshot="realtime")


def interrupted(command: str = "") -> dict:
    """What interrupts a spinning real-time thread in a minute, while every CPU that may has ordinary work until it ends."""
    script = f"""cat > /run/spin.py
load=
for i in $(seq 24); do timeout 230 sh -c 'while :; do :; done' & load="$load $!"; done
sleep 5
nice -n -20 timeout 200 {command} python3 /run/spin.py {WANT.probe} 60 || {{ kill $load; exit 1; }}
kill $load"""  # fails if any has ended before
    return json.loads(ssh(NODE, script, stdin=SPIN, timeout=240))


@pytest.fixture(scope="module")
def loose() -> dict:
    """The same on the node as it was before."""
    return interrupted()


def test_both_sets_are_isolated_without_a_reboot_as_check_mode_said(loose: dict) -> None:
    assert min(loose["timer"], loose["switches"]) >= 20, loose  # else nothing can drop
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
    later = [item["argument"].split("=") for item in made["not_at_runtime"]]
    assert [cpus(item[1]) for item in later if item[0] == "nohz_full"] == [ISOLATED]


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
        isolated = allowed & ISOLATED
        if isolated and not (int(rest.split()[6]) & 0x200000 and (len(allowed) == 1 or int(rest.split()[6]) & 0x04000000)):
            print(pid, name, sorted(allowed))
"""
    assert ssh(NODE, "python3 -", stdin=script.replace("ISOLATED", str(set(ISOLATED)))) == ""


def test_a_spinning_thread_is_interrupted_less_than_before(loose: dict) -> None:
    quiet = interrupted("rtpart run realtime --cpu " + str(WANT.probe) + " -f 1 --")
    print(f"before {loose}, isolated {quiet}")  # the scheduler's tick ends only with nohz_full: the last test
    assert quiet["switches"] * 10 <= loose["switches"], (loose, quiet)


def test_a_cpu_moves_from_shared_to_realtime_and_back_alone() -> None:
    run(**RUNTIME, cpus=WANT.smaller)
    assert holders()["realtime"] == (cpus(WANT.smaller["realtime"]), "isolated")
    assert cpus(ssh(NODE, "cat /sys/fs/cgroup/system.slice/cpuset.cpus")) == ORDINARY | cpus(WANT.lent)
    run(**RUNTIME)
    assert holders()["realtime"] == (SETS["realtime"], "isolated")
    assert cpus(ssh(NODE, "cat /sys/fs/cgroup/system.slice/cpuset.cpus")) == ORDINARY


def test_rtpart_does_what_its_manual_says() -> None:
    probe, free = WANT.probe, WANT.ordinary
    rows = json.loads(ssh(NODE, "rtpart list --json"))["cpus"]
    assert {row["cpu"] for row in rows if row["owner"] == "held (isolated)"} == ISOLATED
    assert ssh(NODE, "rtpart status") == "the machine agrees with its partition file\n"
    ran = ssh(
        NODE,
        f"rtpart run realtime --cpu {probe} -f 10 -- "
        "sh -c 'grep Cpus_allowed_list /proc/self/status; chrt -p $$; cat /proc/self/cgroup'",
    )
    pid = ran.split()[3].removesuffix("'s")
    assert ran.split() == [
        *f"Cpus_allowed_list: {probe} pid {pid}'s current scheduling policy: SCHED_FIFO".split(),
        *f"pid {pid}'s current scheduling priority: 10 0::/realtime-kvm.realtime".split(),
    ]
    pid = ssh(NODE, "sleep 600 >/dev/null 2>&1 & echo $!").strip()
    moved = json.loads(ssh(NODE, f"rtpart move {pid} dataplane --json"))
    assert (moved["before"], moved["after"]) == (free, str(FIRST))
    refused = ssh(NODE, f"rtpart run dataplane --cpu {FIRST} -- true 2>&1; true")
    assert refused == f"rtpart: CPU {FIRST}: in use: CPU {FIRST} by sleep (pid {pid}); stop or move it first\n"
    assert json.loads(ssh(NODE, f"rtpart move {pid} housekeeping --json"))["after"] == free
    ssh(NODE, f"kill {pid}")
    assert f"there is no process {pid}" in ssh(NODE, f"rtpart move {pid} housekeeping 2>&1; true")
    bound = ssh(NODE, f"pgrep -x migration/{probe}").strip()
    assert f"is bound to CPU {probe} by the kernel" in ssh(NODE, f"rtpart move {bound} housekeeping 2>&1; true")
    ssh(NODE, "echo member > /sys/fs/cgroup/realtime-kvm.dataplane/cpuset.cpus.partition")
    assert "cpuset:dataplane" in ssh(NODE, "rtpart status; test $? = 1")
    assert run(**RUNTIME)["changed"]
    assert ssh(NODE, "rtpart status") == "the machine agrees with its partition file\n"


def test_undo_leaves_nothing_behind_also_after_kills() -> None:
    run(state="absent")
    before = look()
    run(**RUNTIME)
    ssh(NODE, "rtpart undo")
    assert different(before, look()) == {}
    chance = random.Random(1)
    for attempt in range(10):
        cycle = attempt % 2 == 1  # every second time with CPUs that are switched off for a moment
        process = subprocess.Popen(  # the module alone; it works for some seconds on an emulated node
            ["ansible", "-i", str(INVENTORY), NODE, "-m", PARTITION, "-a", json.dumps({**RUNTIME, "cycle_cpus": cycle})],
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


def test_timers_of_before_leave_with_a_cycle_alone() -> None:
    # a sleeping task's timer stays on the CPU where it was started, wherever the task may go later
    ssh(NODE, f"taskset -c {WANT.probe} sleep 900 >/dev/null 2>&1 & sleep 2; taskset -apc {WANT.ordinary} $! >/dev/null")
    # the CPUs that hold timers of tasks that wait for minutes
    owner = "awk '/^cpu: /{cpu=$2} {wakes=wakes && !/^ *#[0-9]/ || /hrtimer_wakeup/} /expires at/ && wakes && $(NF-3)+0 > 6e11 {print cpu}' /proc/timer_list"
    assert str(WANT.probe) in ssh(NODE, owner).split()
    made = run(**RUNTIME, cycle_cpus=True)
    assert len([change for change in made["changes"] if change["after"] == "0, then 1"]) == len(ISOLATED)
    assert str(WANT.probe) not in ssh(NODE, owner).split()
    assert cpus(ssh(NODE, "cat /sys/devices/system/cpu/online")) == ORDINARY | ISOLATED
    assert run(**RUNTIME, cycle_cpus=True)["changes"] == []
    run(**RUNTIME)
    ssh(NODE, "pkill sleep; true")


#: What a run leaves that is killed between a CPU's off and on.
KILLED = """
import sys
from functools import partial
sys.path.insert(0, "/usr/local/lib/realtime-kvm/realtime-kvm.pyz")
from realtime_kvm._host.change import Change
from realtime_kvm._host.host import Host
host, path = Host(owner="cpu_partition"), "/sys/devices/system/cpu/cpu{}/online"
with host.locked():
    host.change(Change(path, "1", "0", "stall", "killed"), partial(host.write_value, path, "0"), kind="value")
    host.commit()
"""


def test_a_run_killed_while_a_cpu_was_off_is_run_again_to_the_end() -> None:
    wish = {f"cpu_partition_{name}": value for name, value in RUNTIME.items()}
    ssh(NODE, "python3 -", stdin=KILLED.format(WANT.probe))
    assert cpus(ssh(NODE, "cat /sys/devices/system/cpu/online")) == ORDINARY | ISOLATED - {WANT.probe}
    refused = playbook("partition.yml", "--check", nodes=NODE, ok=False, extra=wish)
    assert f"CPUs {WANT.probe} are off" in " ".join(refused.output.split())
    done = playbook("partition.yml", nodes=NODE, extra=wish)
    first = json.loads(done.changes(NODE)[0][2])
    assert [(change["resource"], change["after"]) for change in first] == [
        (f"/sys/devices/system/cpu/cpu{WANT.probe}/online", "1")
    ]
    assert cpus(ssh(NODE, "cat /sys/devices/system/cpu/online")) == ORDINARY | ISOLATED
    assert holders() == {name: (wanted, "isolated") for name, wanted in SETS.items()}
    assert playbook("partition.yml", nodes=NODE, extra=wish).changes(NODE) == []


def test_a_boot_makes_it_again_and_undo_knows_what_is_stale() -> None:
    assert reboot(NODE)
    assert holders() == {name: (wanted, "isolated") for name, wanted in SETS.items()}
    assert run(**RUNTIME)["changes"] == []
    assert ssh(NODE, "rtpart status") == "the machine agrees with its partition file\n"
    run(state="absent")
    assert holders() == {}
    left = "ls -d /etc/realtime-kvm /var/lib/realtime-kvm /etc/systemd/system/*/realtime-kvm* /usr/local/*/realtime-kvm* 2>/dev/null; true"
    assert ssh(NODE, left) == ""


def test_modes_convert_into_each_other() -> None:
    wish = {f"cpu_partition_{name}": value for name, value in WANT.options.items()}
    wish |= {"realtime_guests": [], "realtime_networks": []}

    def isolated_by_the_kernel() -> set[int]:
        return set(cpus(ssh(NODE, "tr ' ' '\\n' </proc/cmdline | sed -n 's/^isolcpus=.*domain,//p'").strip() or ""))

    for mode in ("boot", "runtime", "boot"):
        done = playbook("site.yml", nodes=NODE, timeout=1500, extra={**wish, "cpu_partition_isolation": mode})
        assert done.changes(NODE)
        if mode == "boot":
            assert (isolated_by_the_kernel(), holders()) == (ISOLATED, {})
            assert ssh(NODE, "systemctl show -p AllowedCPUs --value system.slice").strip() == ""
        else:
            assert (isolated_by_the_kernel(), holders()) == (set(), {name: (wanted, "isolated") for name, wanted in SETS.items()})
        again = playbook("site.yml", nodes=NODE, timeout=900, extra={**wish, "cpu_partition_isolation": mode})
        assert again.changes(NODE) == []


def test_where_the_boot_gave_nohz_full_the_timer_falls_silent_too() -> None:
    """The administrator adds this one of what is reported as missing. Alone it isolates nothing: any other work on a CPU keeps its tick."""
    lab("reset", NODE, lab_snapshot="realtime")
    missing = [item["argument"] for item in run("--check", **RUNTIME)["not_at_runtime"]]
    argument = next(item for item in missing if item.startswith("nohz_full="))
    text = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {argument}"'
    ssh(NODE, "cat > /etc/default/grub.d/50-site.cfg; update-grub 2>&1", stdin=text, timeout=200)
    assert reboot(NODE, f"grep -q {argument} /proc/cmdline")
    before = interrupted()
    made = run(**RUNTIME)
    assert [item["argument"] for item in made["not_at_runtime"]] == [item for item in missing if item != argument]
    after = interrupted(f"rtpart run realtime --cpu {WANT.probe} -f 1 --")
    print(f"with {argument}: before {before}, isolated {after}")
    for what in ("timer", "switches"):
        assert before[what] >= 20, before
        assert after[what] * 10 <= before[what], (before, after)
    assert run(**RUNTIME)["changes"] == []
