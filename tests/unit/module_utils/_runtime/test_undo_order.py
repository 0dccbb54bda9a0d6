# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which values are taken back, where one bounds another: against models of what the kernel refuses."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import undo_feature
from unit.features import KNOBS, apply, run, text
from unit.trees import fill, machine_files

RT = "/proc/sys/kernel/sched_rt_runtime_us"
SERVER = "/sys/kernel/debug/sched/fair_server/cpu{}/{}"
CPUS = range(4)
VALUES = [RT, *(SERVER.format(cpu, name) for cpu in CPUS for name in ("runtime", "period"))]
POLICY = "/sys/devices/system/cpu/cpufreq/policy{}"
PREFERENCE, GOVERNOR = "energy_performance_preference", "scaling_governor"


def share(period: int, runtime: int) -> int:
    return 1 << 20 if runtime < 0 else (runtime << 20) // period


class Scheduler:
    """What kernel/sched/{deadline,rt,debug}.c of 6.12 checks: no limit below what is reserved, no server above the limit.

    What is reserved is an unsigned number, and starts at 0 again when a scheduling domain is made again (``forgets``).
    """

    def __init__(self, *, forgets: bool) -> None:
        self.limit, self.refused = 950_000, []
        self.servers = {cpu: {"runtime": 50_000_000, "period": 1_000_000_000} for cpu in CPUS}
        self.reserved = 0 if forgets else len(CPUS) * share(1_000_000_000, 50_000_000)

    def write(self, path: str, value: int) -> int:
        number = self._limit(value) if path == RT else self._server(path, value) if "fair_server" in path else 0
        if number:
            self.refused.append(path)
        return number

    def _limit(self, value: int) -> int:
        if share(1_000_000, value) * len(CPUS) < self.reserved:
            return errno.EBUSY
        self.limit = value
        return 0

    def _server(self, path: str, value: int) -> int:
        cpu, name = re.search(r"cpu(\d+)/(\w+)", path).groups()
        old = self.servers[int(cpu)]
        new = {**old, name: value}
        if new["runtime"] > new["period"]:
            return errno.EINVAL
        after = (self.reserved - share(**old) + share(**new)) & (1 << 64) - 1
        if self.limit >= 0 and share(1_000_000, self.limit) * len(CPUS) < after:
            return errno.EBUSY
        self.servers[int(cpu)], self.reserved = new, after
        return 0


@pytest.fixture(name="kernel", params=[False, True], ids=["remembers", "forgets"])
def _kernel(request, monkeypatch):
    kernel, write = Scheduler(forgets=request.param), Host.write_value

    def checked(host, path, value):
        number = kernel.write(path, int(value)) if path in VALUES else 0
        if number:
            raise HostError(f"{path}: the kernel refused {value!r}: {os.strerror(number)}")
        write(host, path, value)

    monkeypatch.setattr(Host, "write_value", checked)
    return kernel


@pytest.fixture(name="root")
def _root(tmp_path):
    servers = {
        SERVER.format(cpu, name): f"{value}\n"
        for cpu in CPUS
        for name, value in (("runtime", 50_000_000), ("period", 1_000_000_000))
    }
    return fill(tmp_path, {**machine_files(isolated="1-3"), **KNOBS, **servers, RT: "950000\n", "/var/lib/": None})


def values(root):
    return {path: text(root, path) for path in VALUES}


@pytest.mark.parametrize("domain_made_again", [False, True])
@pytest.mark.parametrize("end", ["undo", "kernel"])
@pytest.mark.parametrize("policies", [["budget"], ["unlimited"], ["unlimited", "budget"], ["budget", "unlimited", "budget"]])
def test_limit_and_servers_are_as_they_were(root, kernel, policies, end, domain_made_again):
    before = values(root)
    for policy in policies:
        apply(root, "cpu_partition", rt_throttling=policy)
    assert kernel.refused == []
    if domain_made_again:  # undo of cpusets does that
        kernel.reserved = 0
    host = run(root, undo_feature) if end == "undo" else apply(root, "cpu_partition", rt_throttling="kernel")
    assert values(root) == before
    assert host.notes == []


def test_the_governor_before_the_preference_which_it_forbids(root, monkeypatch):
    """intel_pstate and amd_pstate refuse each preference but performance while the governor is performance."""
    write = Host.write_value

    def checked(host, path, value):
        governor = Path(f"{host.root}{os.path.dirname(path)}/{GOVERNOR}")
        if path.endswith(PREFERENCE) and value != "performance" and governor.read_text().strip() == "performance":
            raise HostError(f"{path}: the kernel refused {value!r}: {os.strerror(errno.EBUSY)}")
        write(host, path, value)

    monkeypatch.setattr(Host, "write_value", checked)
    files = {PREFERENCE: "balance_performance\n", GOVERNOR: "powersave\n"}
    fill(root, {f"{POLICY.format(cpu)}/{name}": value for cpu in CPUS for name, value in files.items()})
    apply(root, "cpu_power")
    assert text(root, f"{POLICY.format(1)}/{PREFERENCE}") == "performance"
    host = run(root, undo_feature, "cpu_power")
    assert {text(root, f"{POLICY.format(cpu)}/{PREFERENCE}") for cpu in CPUS} == {"balance_performance"}
    assert host.notes == []


def test_what_stays_refused_is_told_once_and_not_reported(root, monkeypatch):
    apply(root, "cpu_partition")
    tries = []

    def refused(_host, path, value):
        tries.append(path)
        raise HostError(f"{path}: the kernel refused {value!r}: Operation not permitted")

    monkeypatch.setattr(Host, "write_value", refused)
    host = run(root, undo_feature)
    assert [change.resource for change in host.changes] == [config_path("cpu_partition")], (
        "the file of options is no kernel value"
    )
    assert len(host.notes) == len(set(tries)) > 0
    assert all(note.endswith("it stays as it is until the next reboot") for note in host.notes)
