# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node: makes each change the boot service makes, while a real-time thread wakes up again and again on an isolated CPU.

``watch CPU FILE`` is that thread; ``measure CPU OTHER`` makes the changes, with OTHER as the CPU that changes hands, and prints for each
kind of change its class, how often it was made and the longest time by which the thread was late; ``gap FILE SINCE`` prints the longest since then.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import replace

ARCHIVE = "/usr/local/lib/realtime-kvm/realtime-kvm.pyz"
INTERVAL_S = 0.001
#: Shorter ones are not written down.
SHORTEST_S = 0.0005
#: What a change sets going may come a little later.
AFTER_S = 0.005
ROUNDS = 5


def watch(cpu: int, path: str) -> None:
    """Wake up every millisecond, for ever; write down when that was late.

    It must not spin: above the kernel's own threads of that CPU it would keep RCU from ever finishing, and so a CPU from being switched off.
    """
    os.sched_setaffinity(0, {cpu})
    with open(path, "w", buffering=1) as stream:
        while True:
            due = time.monotonic() + INTERVAL_S
            time.sleep(INTERVAL_S)
            now = time.monotonic()
            if now - due > SHORTEST_S:
                stream.write(f"{due:.6f} {now:.6f}\n")


def measure(cpu: int, other: int) -> None:
    """Make the changes and print what they disturbed."""
    sys.path.insert(0, ARCHIVE)
    from realtime_kvm._host import threads
    from realtime_kvm._host.document import require_partition
    from realtime_kvm._host.host import Host, HostError
    from realtime_kvm._host.sysfs import read_online
    from realtime_kvm._isolation import cgroups, hotplug
    from realtime_kvm._runtime import features

    made: list[tuple[str, str, float, float]] = []

    class Timed(Host):
        """Remembers when each change was made."""

        def commit(self) -> None:
            classes = {change.resource: change.disruption for change in self.changes}

            def timed(item):
                def make():
                    start = time.monotonic()
                    # a thread's first CPU may be one that belongs to a partition now
                    with suppress(HostError) if item.forget else nullcontext():
                        item.make()
                    if item.resource in classes:
                        made.append((item.resource, classes[item.resource], start, time.monotonic()))
                        time.sleep(2 * AFTER_S)

                return replace(item, make=make)

            self._pending = [timed(item) for item in self._pending]
            super().commit()

    def shell(resource: str, disruption: str, command: str) -> None:
        start = time.monotonic()
        subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL, timeout=120)
        made.append((resource, disruption, start, time.monotonic()))
        time.sleep(2 * AFTER_S)

    partition = require_partition(Host(), None)
    lent = replace(
        partition,
        sets={
            **partition.sets,
            "realtime": partition.sets["realtime"] - {other},
            "shared": partition.sets["shared"] | {other},
        },
    )
    features, _damaged = features.configured_features(Host())
    path = "/run/watched"
    watcher = subprocess.Popen(
        ["rtpart", "run", "realtime", "--cpu", str(cpu), "-f", "10", "--", sys.executable, __file__, "watch", str(cpu), path]
    )
    time.sleep(3)
    start = time.monotonic()
    time.sleep(20)
    made.append(("nothing", "", start, time.monotonic()))
    try:
        for _round in range(ROUNDS):
            for feature, options in features.items():
                host = Timed(owner=feature)
                with host.locked():
                    threads.restore_threads(host)
                    host.restore_values()
                    host.commit()
                    made_before = len(made)
                    planned = Timed(owner=feature)
                    features.FEATURES[feature].plan(planned, partition, options)
                    planned.commit()
                    assert len(made) > made_before or feature != "cpu_partition"
            for which in (lent, partition):
                host = Timed(owner="cpu_partition")
                with host.locked():
                    cgroups.plan_slice_values(host, which, first=True)
                    cgroups.plan_partitions(host, which, read_online(host))
                    cgroups.plan_slice_values(host, which, first=False)
                    host.commit()
                if which is lent:
                    host = Timed(owner="cpu_partition")
                    with host.locked():
                        hotplug.plan_cycles(host, partition)
                        host.commit()
            shell("systemctl daemon-reload", "none", "systemctl daemon-reload")
    finally:
        watcher.kill()
    gaps = read_gaps(path)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for resource, disruption, begin, end in made:
        kind = re.sub(r"^thread:.*:affinity$", "a kernel thread's CPUs", resource)
        kind = re.sub(r"^thread:(.*?)/.*:priority$", r"priority of \1/N", kind)
        kind = re.sub(r"(?<=[a-z/])\d+", "N", kind)
        found[kind, disruption].append(longest_gap(gaps, begin, end + AFTER_S))
    print(json.dumps([[*kind, len(longest), round(max(longest) * 1000, 1)] for kind, longest in sorted(found.items())]))


def read_gaps(path: str) -> list[tuple[float, float]]:
    """Return when the thread should have run and when it did."""
    with open(path) as stream:
        return [(float(first), float(last)) for first, last in (line.split() for line in stream if line.endswith("\n"))]


def longest_gap(gaps: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return the longest gap that lies at least in part in a time."""
    return max((last - first for first, last in gaps if last > begin and first < end), default=0.0)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1] == "gap":
        print(round(longest_gap(read_gaps(sys.argv[2]), float(sys.argv[3]), time.monotonic()) * 1000, 1))
    else:
        measure(int(sys.argv[2]), int(sys.argv[3]))
