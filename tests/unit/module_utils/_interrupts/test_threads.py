# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of interrupts: moved at once with their interrupt, put back by undo, reported where the kernel has bound them."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import threads as _host_threads
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import restore_threads
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts import threads as _threads
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.interrupts import plan_interrupts, read_interrupts
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.threads import bound_threads, read_interrupt_threads
from unit.irqs import PARTITION, irq, run
from unit.trees import fill, task, writable

KERNEL, BOUND = 0x00200000, 0x04000000


def thread(pid, name, allowed, *, flags=KERNEL):
    return task(f"/proc/{pid}", name, flags=flags, policy=1, priority=50, allowed=allowed)


@pytest.fixture(name="moves")
def _moves(root, monkeypatch):
    """The affinities that were set; each is then what /proc shows."""
    made = []

    def set_affinity(pid, cpus):
        made.append((pid, cpus))
        status = root / f"proc/{pid}/status"
        lines = [line for line in status.read_text().splitlines() if not line.startswith("Cpus_allowed_list")]
        status.write_text("\n".join([*lines, f"Cpus_allowed_list:\t{cpus}", ""]))

    monkeypatch.setattr(_threads, "set_affinity", set_affinity)
    monkeypatch.setattr(_host_threads, "set_affinity", set_affinity)
    return made


def apply(root, check_mode=False):
    return run(root, lambda host: plan_interrupts(host, PARTITION), check_mode)


def test_threads_move_with_their_interrupts_and_back(root, moves):
    threads = {
        **thread(300, "irq/24-eth0-rx", "1-3"),
        **thread(301, "irq/24-s-eth0-rx", "0-3"),
        **thread(302, "irq/101-ahci", "0"),  # off isolated CPUs
        **thread(303, "irq/100-nvme0q1", "2"),  # its interrupt is managed and stays there
        **thread(304, "irq/777-gone", "2"),  # no such interrupt
        **thread(305, "irq/24-eth0", "2", flags=0),  # a program with the name of one
        **thread(306, "ksoftirqd/2", "2"),
    }
    fill(root, threads)
    predicted = apply(root, check_mode=True)
    assert moves == []
    host = apply(root)
    assert host.changes == predicted.changes
    assert moves == [(300, "0"), (301, "0")]
    found = [(change.resource, change.before, change.after) for change in host.changes if change.resource.startswith("thread:")]
    assert found == [
        ("thread:irq/24-eth0-rx:300:100:affinity", "1-3", "0"),
        ("thread:irq/24-s-eth0-rx:301:100:affinity", "0-3", "0"),
    ]
    assert apply(root).changes == []
    run(root, restore_threads)
    assert moves[2:] == [(300, "1-3"), (301, "0-3")]


def test_the_kernels_own_list_of_its_threads_is_used_where_there_is_one(root):
    fill(root, {**thread(300, "irq/24-eth0", "1"), **thread(301, "irq/9-acpi", "1"), "/proc/2/task/2/children": "301 17 \n"})
    assert [(number, found.pid) for number, found in read_interrupt_threads(writable(root))] == [(9, 301)]


@pytest.mark.parametrize(
    ("affinity", "effective", "reported"),
    [
        ("0", "0", True),
        ("0", "", True),
        ("0", "2", False),  # the interrupt has not fired since it was moved: both follow then
        ("2", "2", False),  # the interrupt itself is the finding
    ],
)
def test_a_bound_thread_stays_and_is_reported(root, moves, affinity, effective, reported):
    fill(root, {**irq(167, affinity, effective, "pps@12"), **thread(300, "irq/167-pps@12", "2", flags=KERNEL | BOUND)})
    found = bound_threads(writable(root), PARTITION, read_interrupts(writable(root)))
    host = apply(root)
    assert moves == []
    assert not [change for change in host.changes if change.resource.startswith("thread:")]
    if not reported:
        assert found == []
        return
    assert [(interrupt.label, stray.pid, stray.allowed) for interrupt, stray in found] == [("IRQ 167 (pps@12)", 300, {2})]


@pytest.mark.parametrize(("allowed", "reported"), [("2", False), ("2-3", True), ("3", True), ("0", False)])
def test_a_thread_of_a_managed_interrupt_belongs_where_that_fires(root, allowed, reported):
    fill(root, {**irq(40, "2-3", "2", "nvme0q2"), **thread(300, "irq/40-nvme0q2", allowed, flags=KERNEL | BOUND)})
    os.chmod(root / "proc/irq/40/smp_affinity_list", 0o444)
    host = writable(root)
    assert [thread.pid for _interrupt, thread in bound_threads(host, PARTITION, read_interrupts(host))] == [300] * reported


def test_a_move_that_the_kernel_refuses_is_no_change(root, monkeypatch):
    def refuse(pid, cpus):
        raise HostError(f"thread {pid}: the kernel refused CPUs {cpus}: Invalid argument")

    monkeypatch.setattr(_threads, "set_affinity", refuse)
    fill(root, thread(300, "irq/24-eth0-rx", "1-3"))
    host = apply(root)
    assert "thread 300: the kernel refused CPUs 0: Invalid argument" in host.notes
    assert not [change for change in host.changes if change.resource.startswith("thread:")]
    assert not [resource for resource in host.journal.entries if resource.startswith("thread:")]
