# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's instances on the node, and the CPUs that they would lose. Pure.

Nova itself only logs ``CPUPinningUnknown`` once a minute when a pinned CPU is no longer in its set, and stays ``up``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import RefusalError
from .._guests.nova import NodeInstance

#: The most instances that a message names.
_NAMED = 10


class InstanceError(RefusalError):
    """Instances would lose CPUs; the message names both."""


@dataclass(frozen=True)
class Sets:
    """Nova's sets."""

    dedicated: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()


def _is_dedicated(cpus: frozenset[int], before: Sets) -> bool:
    """Whether a thread has dedicated CPUs: by the sets of before, else Nova pins a dedicated vCPU to one CPU and floats the others."""
    if cpus <= before.dedicated:
        return True
    return not cpus <= before.shared and len(cpus) == 1


def check_instances(instances: Iterable[NodeInstance], before: Sets, after: Sets, remedy: str = "") -> None:
    """Refuse sets that take a CPU from an instance, whether it runs or is shut off, or that give it to the other kind."""
    wrong = [text for instance in instances for text in _losses(instance, before, after)]
    if not wrong:
        return
    more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    raise InstanceError(
        f"Nova's instances have CPUs that they would lose: {'; '.join(wrong[:_NAMED])}{more}. Nothing was changed. "
        + (remedy or "Migrate, shelve or delete these instances first, or keep their CPUs in the partition")
    )


def astray(instances: Iterable[NodeInstance], before: Sets, after: Sets) -> list[str]:
    """Return the instances with CPUs that neither the sets of before nor those of after give them: no set takes these away.

    A live migration leaves such pins (Nova's bug 2152697), and so do sets that were changed under an instance.
    """
    return [
        f"{instance.instance}: {_some(sorted(threads))}"
        for instance in instances
        for threads in [
            {thread for thread, name, cpus in _outside(instance, before, after) if cpus - _leaving(cpus, name, before, after)}
        ]
        if threads
    ]


def _outside(instance: NodeInstance, before: Sets, after: Sets) -> Iterable[tuple[str, str, frozenset[int]]]:
    """Yield threads with CPUs that their new set does not have, with the set's name and these CPUs."""
    for thread, cpus in instance.cpus.pins.items():
        dedicated = _is_dedicated(cpus, before)
        if thread == "emulator" and cpus <= frozenset().union(*(c for name, c in instance.cpus.pins.items() if name != thread)):
            continue  # it floats over the vCPUs' CPUs
        if left := cpus - (after.dedicated if dedicated else after.shared):
            yield thread, "cpu_dedicated_set" if dedicated else "cpu_shared_set", left


def _leaving(cpus: frozenset[int], name: str, before: Sets, after: Sets) -> frozenset[int]:
    """Return the CPUs that the change takes away: those of the old set, where there was one, and those that the other kind gets now."""
    dedicated = name == "cpu_dedicated_set"
    old = before.dedicated if dedicated else before.shared
    given = after.shared - before.shared if dedicated else after.dedicated - before.dedicated
    return cpus & (old | given) if old else cpus


def _losses(instance: NodeInstance, before: Sets, after: Sets) -> Iterable[str]:
    lost: dict[tuple[str, str], list[str]] = {}
    for thread, name, cpus in _outside(instance, before, after):
        if left := _leaving(cpus, name, before, after):
            lost.setdefault((format_cpulist(left), name), []).append(thread)
    for (cpus_text, name), threads in lost.items():
        state = "runs" if instance.running else "is shut off"  # Nova keeps its CPUs either way
        new = after.dedicated if name == "cpu_dedicated_set" else after.shared
        yield f"{instance.instance} {state} with {_some(threads)} on CPU {cpus_text}, which {name} ({format_cpulist(new) or 'empty'}) would not have"


def _some(threads: Sequence[str]) -> str:
    return ", ".join(threads[:4]) + (" and others" if len(threads) > 4 else "")
