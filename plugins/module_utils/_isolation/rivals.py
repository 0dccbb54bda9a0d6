# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cgroups keep CPUs from becoming an isolated cpuset partition below the root. Pure.

Source: "Cpuset Interface Files" in the kernel's Documentation/admin-guide/cgroup-v2.rst. The tests compare it with a model
of kernel/cgroup/cpuset.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._cpus.cpulist import parse_cpulist

CPUS, EXCLUSIVE, PARTITION = "cpuset.cpus", "cpuset.cpus.exclusive", "cpuset.cpus.partition"
GRANTED = "cpuset.cpus.exclusive.effective"

#: From this release on a partition leaves out the CPUs of its siblings; before, one shared CPU makes both invalid.
YIELDS = (7, 0)


def rivals(
    cpus: frozenset[int], siblings: Mapping[str, Mapping[str, str]], release: tuple[int, int]
) -> dict[str, frozenset[int]]:
    """Return the siblings that keep a cgroup below the root from owning these CPUs, each with the CPUs.

    ``siblings`` is what their files show, by name. Raises ``CpuListError`` for a file that holds no CPU list.
    """
    found = {}
    for name, files in siblings.items():
        taken = _taken(files)
        own = parse_cpulist(files.get(CPUS, "").strip())
        if release < YIELDS or (own and own <= cpus):
            taken |= own
        if taken & cpus:
            found[name] = taken & cpus
    return found


def _taken(files: Mapping[str, str]) -> frozenset[int]:
    """Return the CPUs that a cgroup has marked as exclusive, or was granted as a valid partition."""
    marked = parse_cpulist(files.get(EXCLUSIVE, "").strip())
    state = files.get(PARTITION, "member").strip()
    if state not in ("root", "isolated"):  # a member, or an invalid partition
        return marked
    # kernels before 6.7 have neither file: there a valid partition has all CPUs that it lists
    return marked | parse_cpulist(files.get(GRANTED, files.get(CPUS, "")).strip())
