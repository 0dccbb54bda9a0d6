# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a machine: its CPUs, its kernel, and what kernel arguments depend on."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.kernel import (
    LOCKDOWN,
    SECURE_BOOT,
    read_kernel,
    read_lockdown,
    read_machine,
    read_online,
    read_secure_boot,
)
from unit.trees import fill

CPUINFO = """processor\t: 0
vendor_id\t: {vendor}
model name\t: vendor_id : none
flags\t\t: fpu tsc constant_tsc

processor\t: 1
vendor_id\t: other
flags\t\t: else
"""


def host_of(root, files):
    return Host(str(fill(root, files)))


@pytest.mark.parametrize(
    ("version", "realtime"),
    [
        ("#1 SMP PREEMPT_RT Debian 6.1.170-3 (2026-01-01)", True),
        ("#1 SMP PREEMPT RT Mon Jan 1 2026", True),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-3", False),
        ("#1 SMP", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/proc/sys/kernel/version", "/proc/version"])
def test_a_realtime_kernel_says_so_in_its_version(tmp_path, path, version, realtime):
    assert read_kernel(host_of(tmp_path, {path: f"{version}\n"})).realtime is realtime


def test_what_runs_now(tmp_path):
    files = {
        "/proc/sys/kernel/osrelease": "6.1.0-50-rt-amd64\n",
        "/proc/cmdline": 'BOOT_IMAGE=/x quiet dyndbg="file a +p" isolcpus=1-3\n',
        "/sys/devices/system/cpu/isolated": "1-3\n",
        "/sys/devices/system/cpu/nohz_full": "2-3\n",
    }
    kernel = read_kernel(host_of(tmp_path, files))
    assert kernel.release == "6.1.0-50-rt-amd64"
    assert kernel.cmdline == ("BOOT_IMAGE=/x", "quiet", 'dyndbg="file a +p"', "isolcpus=1-3")
    assert (kernel.isolated, kernel.nohz_full) == ({1, 2, 3}, {2, 3})


@pytest.mark.parametrize(("text", "cpus"), [("0-2,5\n", {0, 1, 2, 5}), ("\n", set()), ("(null)\n", set()), (None, set())])
def test_cpus_that_are_online(tmp_path, text, cpus):
    files = {} if text is None else {"/sys/devices/system/cpu/online": text}
    assert read_online(host_of(tmp_path, files)) == cpus


@pytest.mark.parametrize("vendor", ["GenuineIntel", "AuthenticAMD"])
def test_vendor_and_flags_are_those_of_the_first_processor(tmp_path, vendor):
    machine = read_machine(host_of(tmp_path, {"/proc/cpuinfo": CPUINFO.format(vendor=vendor)}))
    assert (machine.vendor, machine.cpu_flags) == (vendor, {"fpu", "tsc", "constant_tsc"})


@pytest.mark.parametrize(
    ("cpuinfo", "release", "architecture"),
    [
        ("processor: 0\nvendor_id\t: GenuineIntel\n", "6.1.0", "x86_64"),
        ("processor: 0\nCPU implementer\t: 0x41\n", "6.1.0", "aarch64"),
        ("", "6.12.48+deb13-rt-arm64", "aarch64"),
        ("", "5.14.0-600.el9.aarch64+rt", "aarch64"),
        ("", "5.14.0-600.el9.x86_64+rt", "x86_64"),
        ("processor: 0\nisa: rv64\n", "6.12.48+deb13-rt-riscv64", "other"),
        ("", "6.1.0", ""),
    ],
)
def test_the_architecture(tmp_path, cpuinfo, release, architecture):
    fill(tmp_path, {"/proc/cpuinfo": cpuinfo, "/proc/sys/kernel/osrelease": f"{release}\n"})
    assert read_machine(Host(str(tmp_path))).architecture == architecture


def test_a_machine_that_shows_nothing_of_itself(tmp_path):
    machine = read_machine(Host(str(tmp_path)))
    assert (machine.kernel_release, machine.vendor, machine.cpu_flags, machine.realtime_kernel) == ("", "", frozenset(), False)
    kernel = read_kernel(Host(str(tmp_path)))
    assert (kernel.release, kernel.cmdline, kernel.isolated, kernel.nohz_full) == ("", (), frozenset(), frozenset())


@pytest.mark.parametrize(
    ("content", "on"),
    [(b"\6\0\0\0\1", True), (b"\6\0\0\0\0", False), (b"", None), (b"\6\0\0\0\1x", None), (None, None)],
)
def test_whether_secure_boot_is_on(tmp_path, content, on):
    assert read_secure_boot(host_of(tmp_path, {} if content is None else {SECURE_BOOT: content})) is on


@pytest.mark.parametrize(
    ("text", "level"), [("none [integrity] confidentiality\n", "integrity"), ("[none] integrity\n", "none"), ("", "")]
)
def test_the_level_of_lockdown(tmp_path, text, level):
    assert read_lockdown(host_of(tmp_path, {LOCKDOWN: text})) == level
