# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guests need beside memory: KVM, a slice that reaches their CPUs, mounts of huge pages."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import Machine
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests import kvm as _kvm
from ansible_collections.realtime.kvm.plugins.module_utils._guests.kvm import (
    KVM,
    MODPROBE,
    SliceError,
    check_device,
    check_processor,
    check_slice,
    check_slices,
    plan_libvirt_restart,
    plan_mounts,
    plan_parameters,
    plan_unmount,
    slice_of,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.trees import fill, plan, snapshot, writable

INTEL = Machine(vendor="GenuineIntel", cpu_flags=frozenset({"vmx", "constant_tsc"}))
AMD = Machine(vendor="AuthenticAMD", cpu_flags=frozenset({"svm", "constant_tsc"}))
ARM = Machine()
PARTITION = plan(Intent(smt="together", cpus={"realtime": "2-3", "dataplane": "1"}))  # housekeeping 0: guests need 0 and 2-3
UNITS = "/etc/systemd/system"


# -- KVM -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [INTEL, AMD, ARM])
def test_good_processors(machine):
    check_processor(machine)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"constant_tsc"},
            r"no hardware virtualization \(neither vmx nor svm in /proc/cpuinfo\); switch it on in the firmware's setup \(BIOS: Intel VT-x",
        ),
        ({"vmx"}, r"not constant \(no constant_tsc in /proc/cpuinfo\), and KVM does not load on a PREEMPT_RT kernel without it"),
    ],
)
def test_bad_processors(flags, said):
    with pytest.raises(HostError, match=said):
        check_processor(Machine(vendor="GenuineIntel", cpu_flags=frozenset(flags)))


@pytest.mark.parametrize(
    ("machine", "files", "said"),
    [
        (
            INTEL,
            {},
            r"^/dev/kvm is missing: the module kvm_intel is not loaded\. Load it \(modprobe kvm_intel\); if that fails, .* switched off in the firmware",
        ),
        (AMD, {}, r"modprobe kvm_amd"),
        (ARM, {}, r"the module kvm is not loaded"),
        (AMD, {"/sys/module/kvm_amd/": None}, r"^/dev/kvm is missing although the module kvm_amd is loaded; load it again"),
        (AMD, {KVM: "a file"}, r"^/dev/kvm cannot be used: Inappropriate ioctl"),
        (AMD, {"/dev/kvm/": None}, r"^/dev/kvm cannot be used: Is a directory"),
    ],
)
def test_a_node_without_kvm(tmp_path, machine, files, said):
    with pytest.raises(HostError, match=said):
        check_device(Host(str(fill(tmp_path, files))), machine)


@pytest.mark.parametrize(("version", "good"), [(12, True), (11, False)])
def test_the_interface_of_kvm(tmp_path, monkeypatch, version, good):
    fill(tmp_path, {KVM: ""})
    monkeypatch.setattr(_kvm.fcntl, "ioctl", lambda _handle, _request: version)
    if good:
        check_device(Host(str(tmp_path)), AMD)
    else:
        with pytest.raises(HostError, match="has version 11 of its interface, QEMU needs 12"):
            check_device(Host(str(tmp_path)), AMD)


# -- the slice -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{UNITS}/machine.slice.d/a.conf": "[Slice]\nCPUWeight=100\n#AllowedCPUs=2\n"},
        {f"{UNITS}/machine.slice.d/a.conf": "[Slice]\nAllowedCPUs=0,2-3\n"},
        {f"{UNITS}/machine.slice.d/a.conf": "[Slice]\nAllowedCPUs=0 2\nAllowedCPUs = 3-9\n"},
        {f"{UNITS}/machine.slice.d/a.conf": "[Slice]\nAllowedCPUs=2\nAllowedCPUs=\n"},
        {
            "/usr/lib/systemd/system/machine.slice.d/a.conf": "[Slice]\nAllowedCPUs=2\n",
            f"{UNITS}/machine.slice.d/a.conf": "[Slice]\n",
        },
        {"/usr/lib/systemd/system/machine.slice": "[Slice]\nAllowedCPUs=2\n", f"{UNITS}/machine.slice": "[Slice]\n"},
        {f"{UNITS}/machine.slice.d/a.conf": "[Slice]\nAllowedCPUs=nonsense\n"},
        {f"{UNITS}/other.slice.d/a.conf": "[Slice]\nAllowedCPUs=2\n"},
        {"/sys/fs/cgroup/machine.slice/cpuset.cpus": "\n"},
        {"/sys/fs/cgroup/machine.slice/cpuset.cpus": "0-3\n"},
    ],
)
def test_slices_that_reach_the_guests_cpus(tmp_path, files):
    check_slice(Host(str(fill(tmp_path, files))), PARTITION)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {f"{UNITS}/machine.slice.d/rt.conf": "[Slice]\nAllowedCPUs=2-3\n"},
            (
                f"{UNITS}/machine.slice.d/rt.conf (AllowedCPUs=2-3) limits guests to CPUs 2-3, but they need 0,2-3: housekeeping CPUs (0) for "
                "emulator threads, realtime CPUs (2-3) for vCPUs; add 0, or remove the limit (systemctl revert machine.slice"
            ),
        ),
        (
            {"/etc/systemd/system.control/machine.slice.d/50-AllowedCPUs.conf": "[Slice]\nAllowedCPUs=0 1\n"},
            "/etc/systemd/system.control/machine.slice.d/50-AllowedCPUs.conf (AllowedCPUs=0 1) limits guests to CPUs 0-1",
        ),
        (
            {
                "/usr/lib/systemd/system/machine.slice": "[Slice]\nStartupAllowedCPUs=0\n",
                f"{UNITS}/slice.d/all.conf": "[Slice]\nStartupAllowedCPUs=2\n",
            },
            f"/usr/lib/systemd/system/machine.slice and {UNITS}/slice.d/all.conf (StartupAllowedCPUs=0 2) limits guests to CPUs 0,2",
        ),
        (
            {"/sys/fs/cgroup/machine.slice/cpuset.cpus": "1-3\n"},
            "/sys/fs/cgroup/machine.slice/cpuset.cpus limits guests to CPUs 1-3",
        ),
        ({"/sys/fs/cgroup/cpuset/machine.slice/cpuset.cpus": "0\n"}, "add 2-3, or remove"),
    ],
)
def test_slices_that_keep_guests_off_their_cpus(tmp_path, files, said):
    with pytest.raises(HostError, match=re.escape(said)):
        check_slice(Host(str(fill(tmp_path, files))), PARTITION)


RT = ET.fromstring("<domain><resource><partition>/machine/rt</partition></resource></domain>")
DEEP = ET.fromstring("<domain><resource><partition>/machine/a-b/c</partition></resource></domain>")
PLAIN = ET.fromstring("<domain/>")


@pytest.mark.parametrize(
    ("tree", "unit"), [(RT, "machine-rt.slice"), (DEEP, "machine-a\\x2db-c.slice"), (PLAIN, "machine.slice")]
)
def test_the_slice_of_a_domain(tree, unit):
    assert slice_of(tree) == unit


@pytest.mark.parametrize(
    ("files", "tree", "said"),
    [
        (
            {"/sys/fs/cgroup/machine.slice/machine-rt.slice/cpuset.cpus": "2-9\n"},
            RT,
            "/sys/fs/cgroup/machine.slice/machine-rt.slice/cpuset.cpus limits guests to CPUs 2-9, but they need 0,2-3",
        ),
        (
            {f"{UNITS}/machine-rt.slice.d/rt.conf": "[Slice]\nAllowedCPUs=2-3\n"},
            RT,
            "add 0, or remove the limit (systemctl revert machine-rt.slice",
        ),
        ({f"{UNITS}/machine-.slice.d/all.conf": "[Slice]\nAllowedCPUs=2-3\n"}, RT, "machine-.slice.d/all.conf (AllowedCPUs=2-3)"),
        ({"/sys/fs/cgroup/machine.slice/cpuset.cpus": "2-3\n"}, RT, "systemctl revert machine.slice"),
        (
            {"/sys/fs/cgroup/machine.slice/machine-a\\x2db.slice/cpuset.cpus": "3\n"},
            DEEP,
            "limits guests to CPUs 3, but they need 0,2-3",
        ),
    ],
)
def test_a_slice_below_machine_slice_that_keeps_its_guest_off_its_cpus(tmp_path, files, tree, said):
    host = Host(str(fill(tmp_path, files)))
    with pytest.raises(SliceError, match=re.escape(said)):
        check_slices(host, PARTITION, [PLAIN, tree] if "machine-" in said else [tree])
    if "machine.slice/cpuset" not in said and "revert machine.slice" not in said:
        check_slices(host, PARTITION, [PLAIN])  # no other guest is held back by it


# -- libvirt and its hook --------------------------------------------------------------------------


class Systemd:
    def __init__(self, root, *codes):
        self.hook = Path(f"{root}{HOOK}")
        self.codes, self.commands = list(codes), []

    def __call__(self, command):
        self.commands.append(" ".join(command))
        assert self.hook.exists(), "libvirt would not see it"
        return (self.codes.pop(0) if self.codes else 0), "", "no"


HOOK = "/etc/libvirt/hooks/qemu.d/x"
RUNS = {"/run/libvirtd.pid": "70\n", "/proc/70/stat": "70 (libvirtd) S\n", "/var/lib/": None}
RESTART = "systemctl try-restart libvirtd.service"


def hooked(root, systemd):
    def planner(host):
        host.set_file(HOOK, b"#!/bin/sh\n", mode=0o755)
        plan_libvirt_restart(host, systemd, HOOK)

    return use(root, planner)


def test_libvirt_is_restarted_once_for_a_new_hook_whatever_the_clock_says(tmp_path):
    systemd = Systemd(tmp_path)
    fill(tmp_path, RUNS)
    assert [change.resource for change in hooked(tmp_path, systemd).changes] == [HOOK, "service:libvirtd"]
    assert systemd.commands == [RESTART]
    os.utime(f"{tmp_path}{HOOK}", (4e9, 4e9))  # written while the clock was ahead
    assert hooked(tmp_path, systemd).changes == []
    assert systemd.commands == [RESTART]


def test_a_failed_restart_of_libvirt_is_repeated(tmp_path):
    systemd = Systemd(tmp_path, 1)
    fill(tmp_path, RUNS)
    with pytest.raises(HostError, match="try-restart"):
        hooked(tmp_path, systemd)
    host = hooked(tmp_path, systemd)
    assert (host.changes[0].resource, host.changes[0].before) == ("service:libvirtd", "left undone by an earlier run")
    assert systemd.commands == [RESTART] * 2
    assert hooked(tmp_path, systemd).changes == []


def test_a_libvirt_that_does_not_run_is_left_alone(tmp_path):
    systemd = Systemd(tmp_path)
    fill(tmp_path, {"/var/lib/": None})
    assert [change.resource for change in hooked(tmp_path, systemd).changes] == [HOOK]
    assert systemd.commands == []


# -- parameters ------------------------------------------------------------------------------------


def use(root, planner):
    host = writable(root, "kvm_host")
    with host.locked():
        planner(host)
        host.commit()
    return host


@pytest.mark.parametrize(
    ("nx", "poll", "line"),
    [
        ("off", -1, "nx_huge_pages=off"),
        ("never", -1, "nx_huge_pages=never"),
        ("keep", 0, "halt_poll_ns=0"),
        ("off", 5, "nx_huge_pages=off halt_poll_ns=5"),
    ],
)
def test_parameters_last_and_go(tmp_path, nx, poll, line):
    fill(tmp_path, {"/etc/modprobe.d/": None, "/var/lib/": None})
    before = snapshot(tmp_path)
    use(tmp_path, lambda host: plan_parameters(host, nx, poll))
    assert (tmp_path / MODPROBE[1:]).read_text().splitlines()[1:] == [f"options kvm {line}"]
    assert use(tmp_path, lambda host: plan_parameters(host, nx, poll)).changes == []
    use(tmp_path, lambda host: plan_parameters(host, "keep", -1))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("release", "affected", "now", "words"),
    [
        ("6.12.107-rt", "Not affected", "never", []),
        ("6.12.107-rt", "Not affected", "N", ["takes effect when KVM is loaded again"]),
        ("6.12.107-rt", "KVM: Mitigation: VMX disabled", "never", ["a guest that is not trusted can stop the host"]),
        ("6.1.0-50-rt-amd64", "Not affected", "N", None),  # its KVM might not load with that value
    ],
)
def test_no_recovery_thread_is_a_choice_with_its_reasons(tmp_path, release, affected, now, words):
    files = {
        "/proc/sys/kernel/osrelease": f"{release}\n",
        "/sys/devices/system/cpu/vulnerabilities/itlb_multihit": f"{affected}\n",
        "/sys/module/kvm/parameters/nx_huge_pages": f"{now}\n",
    }
    host = writable(fill(tmp_path, files), "kvm_host", check_mode=True)
    if words is None:
        with pytest.raises(HostError, match=r"^kvm_host_nx_huge_pages: never needs Linux 6\.5 or newer; 6\.1 would not load KVM"):
            plan_parameters(host, "never", -1)
        return
    plan_parameters(host, "never", -1)
    assert len(host.notes) == len(words)
    assert all(word in note for word, note in zip(words, host.notes))


def test_without_parameters_there_is_no_file(tmp_path):
    fill(tmp_path, {MODPROBE: "options kvm halt_poll_ns=7\n"})
    assert use(tmp_path, lambda host: plan_parameters(host, "keep", -1)).changes == []


# -- mounts ----------------------------------------------------------------------------------------

DEFAULT = "hugetlbfs /dev/hugepages hugetlbfs rw,nosuid,nodev,relatime,pagesize=2M 0 0\n"
LARGE = "hugetlbfs /dev/hugepages1G hugetlbfs rw,nosuid,nodev,relatime,pagesize=1024M 0 0\n"
UNIT, WANTS = f"{UNITS}/dev-hugepages1G.mount", f"{UNITS}/sysinit.target.wants/dev-hugepages1G.mount"


class Systemctl:
    """Mounts and unmounts in the tree's /proc/mounts."""

    def __init__(self, root, code=0):
        self.root, self.code, self.calls = root, code, []

    def __call__(self, command):
        self.calls.append(" ".join(command[1:]))
        if command[1:] == ["start", "dev-hugepages1G.mount"] and not self.code:
            fill(self.root, {"/proc/mounts": DEFAULT + LARGE})
        if command[1] == "stop" and not self.code:
            fill(self.root, {"/proc/mounts": DEFAULT})
        return self.code, "", "it is busy"


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {"/proc/mounts": DEFAULT, f"{UNITS}/": None, "/var/lib/": None, "/run/systemd/system/": None})


def test_pages_without_a_mount_get_one(root):
    before, systemctl = snapshot(root), Systemctl(root)
    host = use(root, lambda host: plan_mounts(host, systemctl, {"2M", "1G"}))
    assert [change.resource for change in host.changes] == [UNIT, WANTS, "mount:/dev/hugepages1G"]
    assert systemctl.calls == [
        "daemon-reload",
        "start dev-hugepages1G.mount",
        "try-restart libvirtd.service",
        "try-restart virtqemud.service",
    ]
    text = (root / UNIT[1:]).read_text()
    assert "Where=/dev/hugepages1G\n" in text
    assert "Options=nosuid,nodev,pagesize=1G\n" in text
    assert use(root, lambda host: plan_mounts(host, systemctl, {"2M", "1G"})).changes == []

    def undo(host):
        plan_unmount(host, systemctl)
        host.restore_links()
        host.restore_files()

    host = use(root, undo)
    assert [change.resource for change in host.changes] == ["mount:/dev/hugepages1G", WANTS, UNIT]
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("mounts", "sizes", "resources"),
    [
        (DEFAULT, {"2M"}, []),
        (DEFAULT + LARGE, {"1G"}, []),
        (
            LARGE,
            {"2M"},
            [f"{UNITS}/dev-hugepages2M.mount", f"{UNITS}/sysinit.target.wants/dev-hugepages2M.mount", "mount:/dev/hugepages2M"],
        ),
        ("", set(), []),
    ],
)
def test_what_is_mounted_stays(root, mounts, sizes, resources):
    fill(root, {"/proc/mounts": mounts})
    host = writable(root, "kvm_host", check_mode=True)
    plan_mounts(host, Systemctl(root), sizes)
    assert [change.resource for change in host.changes] == resources


def test_a_snapshot_without_mounts_has_them_all(tmp_path):
    host = writable(tmp_path, "kvm_host", check_mode=True)
    plan_mounts(host, Systemctl(tmp_path), {"1G", "2M"})
    assert host.changes == []


def test_a_mount_in_use_is_told(root):
    use(root, lambda host: plan_mounts(host, Systemctl(root), {"1G"}))
    with pytest.raises(HostError, match=r"^systemctl stop dev-hugepages1G\.mount failed with exit code 1: it is busy"):
        use(root, lambda host: plan_unmount(host, Systemctl(root, code=1)))
