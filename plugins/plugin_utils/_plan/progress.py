# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is that works on nodes a batch at a time. Pure: what time it is comes from the caller."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import BEFORE_TEXT, few


def batch_sizes(serial: Sequence[str], total: int) -> list[int]:
    """Return the sizes of the batches into which Ansible divides so many nodes.

    ``serial``: numbers of nodes, or shares such as ``25%``, of which the last one is repeated, as the keyword of a play. A share is rounded down and is one
    node at least; worked out as Ansible does (``pct_to_int``), whose 58% of 50 nodes are 28.

    Raises:
        ValueError: one of them is neither a number from 1 on nor a share from 1% on.
    """
    sizes: list[int] = []
    left = total
    while left > 0:
        text = serial[min(len(sizes), len(serial) - 1)]
        size = max(int(int(text[:-1]) / 100.0 * total), 1) if text.endswith("%") else int(text)
        if size < 1 or text in ("0%", "00%"):
            raise ValueError(f"{text!r} is neither a number of nodes from 1 on nor a share from 1% on")
        sizes.append(min(size, left))
        left -= sizes[-1]
    return sizes


def progress_lines(nodes: Sequence[str], batch: Sequence[str], serial: Sequence[str], forks: int, elapsed: float) -> list[str]:
    """Return what is said before a batch.

    ``nodes`` are all nodes of the play in its order, ``batch`` those of the batch that are left, ``elapsed`` the seconds since the first batch began. How
    long the rest takes is worked out from the batches that are done: a batch takes as many rounds as ``forks`` need for its nodes.
    """
    sizes = batch_sizes(serial, len(nodes))
    place = nodes.index(batch[0])
    number, before = 0, 0
    while before + sizes[number] <= place:
        before += sizes[number]
        number += 1
    after = nodes[before + sizes[number] :]
    count = counted(len(batch), "node")
    lines = [f"== Batch {number + 1} of {len(sizes)}, {count}: {few(batch, BEFORE_TEXT)} =="]
    if number:
        rounds = [math.ceil(size / max(forks, 1)) for size in sizes]
        left = elapsed / sum(rounds[:number]) * sum(rounds[number:])
        lines.append(f"done: {before} of {counted(len(nodes), 'node')} in {_minutes(elapsed)}; about {_minutes(left)} left")
    if after:
        lines.append(f"not begun, and as they were: {few(after, BEFORE_TEXT)}; they stay so unless this batch ends well")
    return lines


def _minutes(seconds: float) -> str:
    minutes = max(math.ceil(seconds / 60), 1)
    return counted(minutes, "minute")
