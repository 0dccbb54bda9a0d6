# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/kernel-arguments.md lists the arguments of the code, and when each is given."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.planned_arguments import (
    NOHZ_FULL_CHOICES,
    TSC_CHOICES,
    ArgumentPolicy,
    partition_arguments,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import Machine
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import IDLE_MODES, GuestProfile
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from unit.documents import NO_DATAPLANE, PARTITION, code_of, lab_node, table

ARGUMENTS = table("docs/kernel-arguments.md", ["Argument", "When", "Reason", "Cost", "Source"])
GUESTS = tuple(replace(NO_DATAPLANE, guest=GuestProfile("plc1", idle)) for idle in IDLE_MODES)
INVARIANT = frozenset({"constant_tsc", "nonstop_tsc"})

#: The words of the column "When", each as a question to a case.
WHEN = {
    "always": lambda partition, machine, policy: True,
    "dataplane CPUs": lambda partition, machine, policy: bool(partition.sets["dataplane"]),
    "nohz_full CPUs": lambda partition, machine, policy: (
        policy.nohz_full == "all" or (policy.nohz_full == "dataplane" and bool(partition.sets["dataplane"]))
    ),
    "kernel 6.12 or newer": lambda partition, machine, policy: machine.kernel_version >= (6, 12),
    "kernel older than 6.13": lambda partition, machine, policy: machine.kernel_version < (6, 13),
    "invariant TSC": lambda partition, machine, policy: machine.tsc_invariant,
    "Intel": lambda partition, machine, policy: machine.vendor == "GenuineIntel",
    "AMD": lambda partition, machine, policy: machine.vendor == "AuthenticAMD",
    "`nohz_full: all`": lambda partition, machine, policy: policy.nohz_full == "all",
    "`nohz_full: dataplane`": lambda partition, machine, policy: policy.nohz_full == "dataplane",
    "`tsc: nowatchdog`": lambda partition, machine, policy: policy.tsc == "nowatchdog",
    "`tsc: reliable`": lambda partition, machine, policy: policy.tsc == "reliable",
    "nodes": lambda partition, machine, policy: partition.guest is None,
    "guests with `idle: poll`": lambda partition, machine, policy: partition.guest is not None and partition.guest.idle == "poll",
    "`cstates: boot`": lambda partition, machine, policy: policy.cstates == "boot",
}


def argument_cases():
    """Every combination that an argument may depend on."""
    machines = [
        Machine(kernel_release=release, vendor=vendor, cpu_flags=flags)
        for release, vendor, flags in itertools.product(
            ("6.1.0-1-amd64", "6.12.1+deb13-amd64", "6.13.0", "7.2.0"),
            ("GenuineIntel", "AuthenticAMD", ""),
            (INVARIANT, frozenset()),
        )
    ]
    policies = [
        ArgumentPolicy(nohz_full=nohz_full, tsc=tsc, cstates=cstates)
        for nohz_full, tsc, cstates in itertools.product(NOHZ_FULL_CHOICES, TSC_CHOICES, ("boot", "keep"))
    ]
    return itertools.product((PARTITION, NO_DATAPLANE, *GUESTS), machines, policies)


def in_words(token, partition):
    """A token with the names of the sets in place of their CPUs."""
    for name, cpus in (
        ("<isolated>", partition.isolated),
        ("<ordinary>", partition.unisolated),
        ("<dataplane>", partition.sets["dataplane"]),
    ):
        token = re.sub(rf"(?<=[=,]){re.escape(format_cpulist(cpus) or 'none')}$", name, token)
    return token


def test_documented_arguments_are_those_of_the_code():
    emitted = {
        (in_words(argument.token, partition), argument.reason, argument.disturbs, argument.source)
        for partition, machine, policy in argument_cases()
        for argument in partition_arguments(partition, machine, policy)
    }
    documented = [(code_of(token), reason, cost, source) for token, _when, reason, cost, source in ARGUMENTS]
    assert sorted(documented) == sorted(emitted)


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda row: code_of(row[0]))
def test_arguments_are_emitted_when_the_page_says(row):
    token, when = code_of(row[0]), row[1].split(", ")
    assert [word for word in when if word not in WHEN] == []
    seen = set()
    for partition, machine, policy in argument_cases():
        emitted = token in [in_words(argument.token, partition) for argument in partition_arguments(partition, machine, policy)]
        promised = all(WHEN[word](partition, machine, policy) for word in when)
        assert emitted == promised, (machine, policy)
        seen.add(emitted)
    assert True in seen


def test_no_isolated_cpus_no_arguments():
    everything_ordinary = plan_partition(lab_node(), Intent(smt="together", realtime="0"))
    assert partition_arguments(everything_ordinary, Machine(), ArgumentPolicy()) == []
