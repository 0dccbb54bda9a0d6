# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's CPU sets, from the partition's document. Pure.

Nova has two: ``[compute] cpu_dedicated_set`` for pinned vCPUs (placement's PCPU), ``cpu_shared_set`` for all others and for the emulator
threads of ``hw:emulator_threads_policy=share`` (placement's VCPU). They must not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._cpus.cpulist import format_cpulist, parse_cpulist


def nova_sets(document: Mapping[str, Any], taken: Iterable[int] = ()) -> dict[str, str]:
    """Return ``dedicated`` and ``shared``, as cpulists.

    ``taken``: realtime CPUs that other guests have, which are not offered to Nova. Where the node has no shared CPUs, its housekeeping
    CPUs are Nova's shared ones. Neither holds CPUs of the switch.
    """
    sets = {name: parse_cpulist(described["cpus"]) for name, described in document["sets"].items()}
    dataplane = sets.get("dataplane", frozenset())
    shared = sets.get("shared") or sets["housekeeping"]
    dedicated = sets["realtime"] - frozenset(taken) - dataplane
    return {"dedicated": format_cpulist(dedicated), "shared": format_cpulist(shared - dataplane)}
