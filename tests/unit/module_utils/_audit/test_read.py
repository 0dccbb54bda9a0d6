# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit reads of a tree: threads and guests, platform, idle states, services, Nova."""

from __future__ import annotations

import gzip

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.kernel import IdleState
from ansible_collections.realtime.kvm.plugins.module_utils._audit.read import (
    IdleWatch,
    daemon_findings,
    irqbalance_findings,
    kernel_priorities,
    read_actors,
    read_guests,
    read_platform,
    read_pmds,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import SWITCH_PID
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT
from unit.trees import fill, machine_files, plan, task, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
CPU = "/sys/devices/system/cpu"
RELEASE = "6.1.0-50-rt-amd64"


def program(pid, name, *threads, **options):
    """A process with its first thread and others: (number, name, CPUs)."""
    files = task(f"/proc/{pid}/task/{pid}", name, **options)
    for number, thread, allowed in threads:
        files.update(task(f"/proc/{pid}/task/{number}", thread, allowed=allowed))
    return files


@pytest.fixture(name="host")
def _host(tmp_path):
    fill(tmp_path, machine_files(isolated="1-3"))
    return writable(tmp_path)


def plant(host, *files):
    for more in files:
        fill(host.root, more)
    return host


# -- programs and guests ---------------------------------------------------------------------------

QEMU = program(50, "qemu-system-x86", (61, "CPU 0/KVM", "2"), (62, "IO iothread1", "0"), (63, "worker", "0"), allowed="0")


def test_threads_of_guests_have_roles_and_others_have_none(host):
    actors = read_actors(plant(host, QEMU, program(70, "sshd", (71, "IO iothread1", "0-3"))))
    assert {actor.tid: actor.role for actor in actors} == {
        50: "emulator", 61: "vcpu0", 62: "iothread1", 63: "other", 70: "", 71: ""
    }  # fmt: skip
    assert [(actor.process, actor.cpus) for actor in actors if actor.tid == 61] == [(50, {2})]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"/run/libvirt/qemu/plc1.pid": "50\n"}, "plc1"),
        ({"/proc/50/cmdline": "qemu\0-name\0guest=plc2,debug-threads=on\0"}, "plc2"),
        ({}, "process 50"),
    ],
)
def test_a_guest_is_named_by_libvirt_else_by_its_command_line(host, files, name):
    plant(host, QEMU, files, {"/proc/50/status": "VmLck:\t2048 kB\n"})
    (guest,) = read_guests(host, read_actors(host), {}, PARTITION, frozenset({"plc1"}))
    assert (guest.name, guest.process, guest.locked_kib, guest.listed) == (name, 50, 2048, name == "plc1")
    assert list(guest.vcpus) == [0]
    assert guest.defined is None


def test_poll_mode_threads_are_those_of_the_switch(host):
    plant(host, program(90, "ovs-vswitchd", (91, "pmd-c01/id:9", "1")), program(95, "other", (96, "pmd-c02/id:9", "2")))
    assert read_pmds(host, read_actors(host)) == []
    plant(host, {SWITCH_PID: "90\n"})
    assert [actor.tid for actor in read_pmds(host, read_actors(host))] == [91]


def test_the_least_priority_of_a_cpu_counts(host):
    kernel = 0x00200000
    plant(
        host,
        task("/proc/20", "ksoftirqd/1", flags=kernel, policy=1, priority=2),
        task("/proc/21", "rcuc/1", flags=kernel, policy=1, priority=4),
        task("/proc/22", "ksoftirqd/2", flags=kernel, policy=0, priority=0),
        task("/proc/23", "kcompactd0", flags=kernel),
    )
    assert kernel_priorities(host) == {1: 2, 2: 0}


# -- platform --------------------------------------------------------------------------------------

ON = "CONFIG_RT_GROUP_SCHED=y\n"


@pytest.mark.parametrize(
    ("files", "rations"),
    [
        ({}, None),
        ({f"/boot/config-{RELEASE}": ON}, True),
        ({f"/boot/config-{RELEASE}": "# CONFIG_RT_GROUP_SCHED is not set\n"}, False),
        ({f"/boot/config-{RELEASE}": f"{ON}CONFIG_RT_GROUP_SCHED_DEFAULT_DISABLED=y\n"}, False),
        ({"/proc/config.gz": gzip.compress(ON.encode())}, True),
        ({"/proc/config.gz": b"damaged", f"/boot/config-{RELEASE}": ON}, None),
    ],
)
def test_whether_the_kernel_rations_real_time(host, files, rations):
    assert read_platform(plant(host, files), PARTITION, ()).rt_group_sched is rations


def test_the_platform_in_numbers(host):
    plant(
        host,
        {
            "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
            "/sys/kernel/debug/sched/fair_server/cpu2/runtime": "50000000\n",
            f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave\n",
            f"{CPU}/cpu1/power/pm_qos_resume_latency_us": "0\n",
            "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
        },
    )
    platform = read_platform(host, PARTITION, ())
    assert (platform.kernel_version, platform.lockdown, platform.isolated_at_boot) == ((6, 1), "integrity", {1, 2, 3})
    assert (platform.fair_servers, platform.governors) == ({2: "50000000"}, {1: "powersave"})
    assert (platform.latency_limits, platform.rt_runtime_us) == ({1: "0"}, "950000")


def test_cpuset_partitions_of_others_are_read_and_ours_are_not(host):
    def partition(path, state):
        return {f"{path}/cpuset.cpus.partition": f"{state}\n", f"{path}/cpuset.cpus": "3\n"}

    plant(host, partition(f"{ROOT}/theirs.slice/x", "isolated"), partition(f"{ROOT}/plain.slice", "member"))
    plant(host, partition(HOLDERS["realtime"], "isolated"))
    assert read_platform(host, PARTITION, ()).cpusets == {f"{ROOT}/theirs.slice/x": ("isolated", "3")}


def test_idle_states_are_counted_from_the_first_look_on(host):
    state = f"{CPU}/cpu1/cpuidle/state2"
    plant(host, {f"{state}/usage": "10", f"{state}/latency": "133", f"{state}/name": "C6", f"{state}/disable": "0"})
    plant(host, {f"{CPU}/cpu0/cpuidle/state2/usage": "7"})  # keeps house
    watch = IdleWatch(host, PARTITION, 0.1)
    plant(host, {f"{state}/usage": "14"})
    assert watch.states() == [IdleState(1, "C6", 133, 4, False)]


# -- services --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "actual"),
    [
        ("IRQBALANCE_BANNED_CPULIST=1-3\0", None),
        ("A=1\0IRQBALANCE_BANNED_CPULIST=0-3\0", None),
        ("IRQBALANCE_BANNED_CPULIST=1-2\0", "IRQBALANCE_BANNED_CPULIST=1-2"),
        ("", "no banned CPUs"),
    ],
)
def test_irqbalance_was_told_of_all_isolated_cpus(host, environment, actual):
    plant(host, program(77, "irqbalance", (78, "gmain", "0")), {"/proc/77/environ": environment})
    findings = irqbalance_findings(host, read_actors(host), PARTITION)
    assert [finding.actual for finding in findings] == ([] if actual is None else [actual])
    assert {finding.resource for finding in findings} <= {"irqbalance (pid 77)"}


def test_other_tuning_daemons_are_named_while_enabled_or_running(host):
    assert daemon_findings(host, read_actors(host), PARTITION, documented=True) == []
    plant(host, program(80, "numad"), {"/etc/systemd/system/multi-user.target.wants/tlp.service": ""})
    found = daemon_findings(host, read_actors(host), PARTITION, documented=True)
    assert {(finding.rule, finding.resource, finding.actual.split(";")[0]) for finding in found} == {
        ("tuning-daemon", "numad.service", "active"),
        ("tuning-daemon", "tlp.service", "enabled"),
    }


@pytest.mark.parametrize(
    ("cores", "documented", "found"),
    [("1-3", False, []), ("1-2", False, ["isolated_cores=1-2"]), ("1-2", True, []), ("${f}", False, [])],
)
def test_tuned_isolates_what_the_kernel_does(host, cores, documented, found):
    plant(
        host,
        {
            "/run/tuned/tuned.pid": "66\n",
            "/proc/66/comm": "tuned\n",
            "/etc/tuned/active_profile": "realtime-virtual-host\n",
            "/etc/tuned/realtime-virtual-host-variables.conf": f"# isolated_cores=9\nisolated_cores = {cores}\n",
            "/etc/tuned/cpu-partitioning-variables.conf": "isolated_cores=0\n",  # not the active profile
        },
    )
    assert [finding.actual for finding in daemon_findings(host, [], PARTITION, documented=documented)] == found
