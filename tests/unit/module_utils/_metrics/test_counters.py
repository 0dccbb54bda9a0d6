# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counts of CPUs and memory, also where its files are damaged or absent."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import files as host_files
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.counters import (
    FAIR_SERVERS,
    RT_RUNTIME,
    frequency_samples,
    idle_samples,
    interrupt_samples,
    limit_samples,
    page_samples,
)
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.node import partition_samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from ansible_collections.realtime.kvm.plugins.module_utils._runtime import cpu_settings, settings
from unit.trees import memory_files
from unit.watched import node, samples_of

CPU = "/sys/devices/system/cpu"
INTERRUPTS = """\
            CPU0       CPU1       CPU2       CPU3
   0:         20          0          0          0   IO-APIC   2-edge      timer
  24:          5          7          0          0   PCI-MSI 512000-edge      nvme0q0
  25:          0          1          2          0   PCI-MSI 512001-edge      eth0
 LOC:       1000        100        200        300   Local timer interrupts
 RES:          9          9          9          9   Rescheduling interrupts
 ERR:          0
"""


def known(root, *more):
    look = node(root, *more)
    samples_of(partition_samples, look)
    return look


def test_interrupts_of_devices_and_timers_of_isolated_cpus(tmp_path):
    out = samples_of(interrupt_samples, known(tmp_path, {"/proc/interrupts": INTERRUPTS}))
    assert out["isolated_interrupts"] == {("1",): 8, ("2",): 2, ("3",): 0}
    assert out["timer_interrupts"] == {("1",): 100, ("2",): 200, ("3",): 300}


@pytest.mark.parametrize("text", ["", "rubbish\n", "\0\0\0", "  0: 1 2 3\n"])
def test_damaged_counts_are_named(tmp_path, text):
    with pytest.raises(HostError, match="/proc/interrupts shows no counts"):
        interrupt_samples(known(tmp_path, {"/proc/interrupts": text}), Samples())


def test_rows_that_lie_are_left_out(tmp_path):
    text = INTERRUPTS + "  26: 1 x 3 4 chip\n  27: 1\n  28: -5 1 1 1\n"
    assert samples_of(interrupt_samples, known(tmp_path, {"/proc/interrupts": text}))["isolated_interrupts"][("1",)] == 8


@pytest.mark.parametrize(("value", "enabled"), [("950000", 1), ("-1", 0), ("0", 1)])
def test_throttling(tmp_path, value, enabled):
    assert samples_of(limit_samples, known(tmp_path, {RT_RUNTIME: f"{value}\n"})) == {"rt_throttling_enabled": {(): enabled}}


def test_fair_servers_of_isolated_cpus(tmp_path):
    servers = {
        f"{FAIR_SERVERS}/cpu{cpu}/runtime": text for cpu, text in ((0, "50000000\n"), (1, "0\n"), (2, "10000\n"), (3, "10000\n"))
    }
    assert samples_of(limit_samples, known(tmp_path, servers)) == {"fair_server_cpus": {(): 2}}


def test_the_count_of_smis_is_read_on_the_boot_cpu_alone(tmp_path, monkeypatch):
    register = bytearray(0x40)
    register[0x34:0x3C] = struct.pack("<Q", 0xFFFF0000_00000007)
    files = {f"/dev/cpu/{cpu}/msr": bytes(register) if cpu == 0 else b"" for cpu in range(4)}
    opened = []
    real = host_files.os.open

    def watch(path, *rest, **options):
        opened.append(str(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(host_files.os, "open", watch)
    assert samples_of(limit_samples, known(tmp_path, files)) == {"smi": {(): 7}}
    assert [path for path in opened if path.endswith("msr")] == [f"{tmp_path}/dev/cpu/0/msr"]


def test_names_of_files_are_those_of_the_settings():
    assert f"{FAIR_SERVERS}/cpu[0-9]*/runtime" == cpu_settings.FAIR_SERVERS
    assert RT_RUNTIME == settings.RT_RUNTIME


FREQUENCIES = {f"{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq": "2400000\n" for cpu in range(3)}


@pytest.mark.parametrize(
    ("release", "shown"),
    [("5.17.9-rt", False), ("5.4.0", False), ("5.18.0", True), ("6.12.1+rt", True), ("", False), ("rubbish", False)],
)
def test_a_kernel_that_would_interrupt_the_cpu_is_not_asked_for_its_frequency(tmp_path, release, shown):
    look = known(tmp_path, FREQUENCIES, {"/proc/sys/kernel/osrelease": release})
    expected = {"cpu_frequency_hertz": {("1",): 2.4e9, ("2",): 2.4e9}} if shown else {}
    assert samples_of(frequency_samples, look) == expected


@pytest.mark.parametrize("text", ["<unknown>\n", "", "-5\n", "1.5\n"])
def test_a_frequency_that_is_no_number_is_left_out(tmp_path, text):
    files = {f"{CPU}/cpu1/cpufreq/scaling_cur_freq": text, "/proc/sys/kernel/osrelease": "6.1\n"}
    assert samples_of(frequency_samples, known(tmp_path, files)) == {}


def state(cpu, number, name, usage, microseconds):
    base = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
    return {f"{base}/name": f"{name}\n", f"{base}/usage": f"{usage}\n", f"{base}/time": f"{microseconds}\n"}


def test_idle_states_are_summed_by_set(tmp_path):
    look = known(
        tmp_path,
        state(0, 0, "POLL", 1, 10),
        state(1, 0, "POLL", 2, 500_000),
        state(2, 0, "POLL", 3, 1_500_000),
        state(2, 1, "C1", 9, 0),
    )
    out = samples_of(idle_samples, look)
    assert out["idle_state_entries"] == {("housekeeping", "POLL"): 1, ("realtime", "POLL"): 5, ("realtime", "C1"): 9}
    assert out["idle_state_seconds"] == {("housekeeping", "POLL"): 0.00001, ("realtime", "POLL"): 2.0, ("realtime", "C1"): 0}


def test_idle_states_that_lie_are_left_out(tmp_path):
    assert (
        samples_of(idle_samples, known(tmp_path, state(1, 0, "C1", "x", 1), state(2, 0, "", 1, 1), state(3, 0, "C1", -1, 1)))
        == {}
    )


def test_huge_pages(tmp_path):
    files = memory_files({0: 4096, 1: 4096}, pages={(0, "2M"): (100, 40), (1, "1G"): (2, 2)})
    out = samples_of(page_samples, node(tmp_path, files))
    assert out["hugepages_configured"][("0", "2097152")] == 100
    assert out["hugepages_free"] == {("0", "2097152"): 40, ("0", "1073741824"): 0, ("1", "2097152"): 0, ("1", "1073741824"): 2}


def test_huge_pages_that_go_with_their_user_are_not_counted(tmp_path):
    """As the audit and kvm_host count them: of a pool that was made smaller while guests had its pages."""
    pool = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB"
    files = {**memory_files({0: 4096}, pages={(0, "2M"): (96, 0)}), f"{pool}/surplus_hugepages": "21\n"}
    out = samples_of(page_samples, node(tmp_path, files))
    assert out["hugepages_configured"][("0", "2097152")] == 75


@pytest.mark.parametrize(
    ("files", "configured", "free"),
    [
        ({}, 96, 40),
        ({"nr": ""}, None, 40),
        ({"nr": "-1"}, None, 40),
        ({"free": "x"}, 96, None),
        ({"surplus": "x"}, 96, 40),
        ({"surplus": "97"}, 0, 40),
    ],
)
def test_a_number_of_pages_that_cannot_be_read_is_not_told_as_none(tmp_path, files, configured, free):
    """The files are read one after the other: a pool that changes meanwhile has no negative number of pages."""
    pool = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB"
    written = {f"{pool}/{name}_hugepages": text for name, text in files.items()}
    out = samples_of(page_samples, node(tmp_path, {**memory_files({0: 4096}, pages={(0, "2M"): (96, 40)}), **written}))
    key = ("0", "2097152")
    assert (out["hugepages_configured"].get(key), out["hugepages_free"].get(key)) == (configured, free)


def test_a_node_without_partition_has_no_isolated_cpus(tmp_path):
    look = node(tmp_path, FREQUENCIES, {"/proc/interrupts": INTERRUPTS}, state(1, 0, "C1", 1, 1))
    assert [samples_of(source, look) for source in (frequency_samples, idle_samples, interrupt_samples)] == [{}, {}, {}]
