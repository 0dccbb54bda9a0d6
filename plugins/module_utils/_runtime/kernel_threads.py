# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of the machine: reads /proc, plans priorities and affinities of kernel threads. Edge."""

from __future__ import annotations

from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.threads import Thread, describe_policy, is_stray, read_threads, restore_threads, set_affinity, set_priority
from .cpu_settings import ThreadRule, thread_rule


def plan_threads(host: Host, partition: Partition, priority_limit: int = 1) -> None:
    """Plan the priorities of per-CPU kernel threads and the affinity of those that may run anywhere.

    Where nothing is isolated, threads have again what they had before.
    """
    if not partition.isolated:
        restore_threads(host)
        return
    for thread in read_threads(host, user=False):
        rule = thread_rule(thread.name, priority_limit)
        if rule is not None and (thread.policy, thread.priority) != (rule.policy, rule.priority):
            _plan_priority(host, thread, rule)
        if is_stray(thread, partition):
            change = Change(
                f"{thread.resource}:affinity",
                format_cpulist(thread.allowed),
                format_cpulist(thread.allowed & partition.unisolated or partition.unisolated),
                reason="kernel threads that may run anywhere stay off isolated CPUs",
            )
            host.change(change, partial(set_affinity, thread.pid, change.after or ""), kind="thread")


def _plan_priority(host: Host, thread: Thread, rule: ThreadRule) -> None:
    before, after = describe_policy(thread.policy, thread.priority), describe_policy(rule.policy, rule.priority)
    change = Change(f"{thread.resource}:priority", before, after, reason=rule.reason)
    host.change(change, partial(set_priority, thread.pid, after), kind="thread")
