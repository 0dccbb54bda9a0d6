# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counts and shows of CPUs and memory. Edge, read-only.

All of it is what the kernel keeps anyway; none of these files makes it ask another CPU. The exceptions are left out:
scaling_cur_freq before Linux 5.18 (arch/x86/kernel/cpu/aperfmperf.c interrupted the CPU until commit f3eca381bd49 made its tick sample
the frequency), and registers of isolated CPUs (the msr driver runs on the CPU that it reads).
"""

from __future__ import annotations

import re

from .._cpus.errors import HostError
from .._cpus.machine import CPU_ROOT
from .._host.kernel import read_online
from .._interrupts.counts import parse_interrupt_counts
from .._latency.smi import read_counter
from .look import Look
from .node import NODES, sets_of
from .samples import Samples

RT_RUNTIME = "/proc/sys/kernel/sched_rt_runtime_us"
FAIR_SERVERS = "/sys/kernel/debug/sched/fair_server"
#: The first kernel that shows a frequency without interrupting the CPU.
_SAMPLES_SINCE = (5, 18)


def interrupt_samples(look: Look, out: Samples) -> None:
    """Interrupts on isolated CPUs."""
    counts = parse_interrupt_counts(look.host.read("/proc/interrupts") or "")
    if not counts.cpus:
        raise HostError("/proc/interrupts shows no counts")
    for cpu in sorted(look.isolated & frozenset(counts.cpus)):
        out.add("isolated_interrupts", counts.devices(cpu), cpu)
        out.add("timer_interrupts", counts.ticks(cpu), cpu)


def limit_samples(look: Look, out: Samples) -> None:
    """What takes time from real-time tasks: throttling, fair servers, firmware."""
    runtime = look.host.value(RT_RUNTIME)
    if runtime is not None:
        out.add("rt_throttling_enabled", runtime != "-1")
    servers = {cpu: look.host.value(f"{FAIR_SERVERS}/cpu{cpu}/runtime") for cpu in look.isolated}
    known = [runtime for runtime in servers.values() if runtime is not None]
    if known:  # only root sees debugfs, and only kernels from 6.12 on have them
        out.add("fair_server_cpus", sum(runtime != "0" for runtime in known))
    if look.partition is not None:
        try:
            out.add("smi", read_counter(look.host, look.partition.boot_cpu))
        except OSError:
            return  # no such register, no driver, or not root


def frequency_samples(look: Look, out: Samples) -> None:
    """The frequency of isolated CPUs."""
    version = re.match(r"(\d+)\.(\d+)", look.host.value("/proc/sys/kernel/osrelease") or "")
    if version is None or (int(version[1]), int(version[2])) < _SAMPLES_SINCE:
        return
    for cpu in sorted(look.isolated):
        khz = look.host.value(f"{CPU_ROOT}/cpu{cpu}/cpufreq/scaling_cur_freq") or ""
        if khz.isdecimal():
            out.add("cpu_frequency_hertz", int(khz) * 1000, cpu)


def idle_samples(look: Look, out: Samples) -> None:
    """Idle states that the CPUs of each set really entered (Documentation/admin-guide/pm/cpuidle.rst)."""
    if look.partition is None:
        return
    online = read_online(look.host)
    for name, cpus in sets_of(look.partition).items():
        sums: dict[str, list[int]] = {}
        for cpu in sorted(cpus & online):
            folder = f"{CPU_ROOT}/cpu{cpu}/cpuidle"
            for state in look.host.listdir(folder):
                shown = [look.host.value(f"{folder}/{state}/{file}") or "" for file in ("name", "usage", "time")]
                if shown[0] and shown[1].isdecimal() and shown[2].isdecimal():
                    entry = sums.setdefault(shown[0], [0, 0])
                    entry[0] += int(shown[1])
                    entry[1] += int(shown[2])
        for state, (usage, microseconds) in sums.items():
            out.add("idle_state_entries", usage, name, state)
            out.add("idle_state_seconds", microseconds / 1e6, name, state)


def page_samples(look: Look, out: Samples) -> None:
    """Huge pages, by node and size in bytes."""
    for node in look.host.listdir(NODES):
        if not re.fullmatch(r"node\d+", node):
            continue
        for pool in look.host.listdir(f"{NODES}/{node}/hugepages"):
            size = re.fullmatch(r"hugepages-(\d+)kB", pool)
            have, free, surplus = (
                _number(look, f"{NODES}/{node}/hugepages/{pool}/{name}_hugepages") for name in ("nr", "free", "surplus")
            )
            if not size:
                continue
            labels = node[len("node") :], int(size[1]) * 1024
            if have is not None:  # read one after the other, while guests end
                out.add("hugepages_configured", max(0, have - (surplus or 0)), *labels)
            if free is not None:
                out.add("hugepages_free", free, *labels)


def _number(look: Look, path: str) -> int | None:
    """Return the number in a file; None where it cannot be read."""
    text = look.host.value(path) or ""
    return int(text) if text.isascii() and text.isdecimal() else None
