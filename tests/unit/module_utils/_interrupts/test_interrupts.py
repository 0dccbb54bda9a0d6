# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupts of a tree: read, moved, refused, put back."""

from __future__ import annotations

import builtins
import errno
import json
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts import interrupts as _interrupts
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.interrupts import (
    plan_interrupts,
    read_interrupts,
    stuck_interrupts,
)
from unit.devices import running_guest
from unit.irqs import DEFAULT, LIST, PARTITION, irq, run, text
from unit.trees import fill, plan, refuse_writes, snapshot, task, writable


def apply(root, check_mode=False, partition=PARTITION):
    return run(root, lambda host: plan_interrupts(host, partition), check_mode)


def test_what_is_read(root):
    found = {interrupt.number: interrupt for interrupt in read_interrupts(writable(root))}
    assert list(found) == [9, 24, 100, 101]
    assert found[24].actions == ("eth0-rx", "eth0-tx")
    assert (found[24].node, found[9].node) == (None, 0)
    assert (found[9].affinity, found[9].effective) == (frozenset(range(4)), frozenset({2}))
    assert [number for number in found if not found[number].movable] == [100]


def test_all_movable_ones_are_moved(root):
    check = apply(root, check_mode=True)
    host = apply(root)
    assert host.changes == check.changes
    assert [(change.resource, change.before, change.after, change.reason) for change in host.changes] == [
        (DEFAULT, "f", "00000001", "new interrupts start on housekeeping and shared CPUs"),
        (f"/proc/irq/9/{LIST}", "0-3", "0", "IRQ 9 (acpi)"),
        (f"/proc/irq/24/{LIST}", "1-3", "0", "IRQ 24 (eth0-rx, eth0-tx)"),
    ]
    assert {change.disruption for change in host.changes} == {"none"}
    assert text(root, f"/proc/irq/24/{LIST}") == "0"
    assert text(root, f"/proc/irq/100/{LIST}") == "2"
    assert text(root, f"/proc/irq/0/{LIST}") == "0-3"
    assert apply(root).changes == []


def test_undo_puts_them_back(root):
    before = {path: text(root, path) for path in snapshot(root) if path.endswith(LIST) or path == DEFAULT}
    apply(root)
    run(root, lambda host: host.restore_values())
    assert {path: text(root, path) for path in before} == before
    assert not Path(f"{root}/var/lib/realtime-kvm").exists()


def test_nothing_is_moved_without_isolated_cpus(root):
    assert apply(root, partition=plan(Intent(smt="together", realtime="0"))).changes == []


def test_what_the_kernel_manages_is_reported(root):
    assert stuck_interrupts(writable(root), PARTITION) == [{"irq": 100, "actions": ["nvme0q1"], "cpus": "2"}]


@pytest.fixture(name="_refusing")
def _refusing_fixture(root, monkeypatch):
    """Kernels before 6.14: interrupt 24 is managed, which only the failing write shows."""
    real = builtins.open

    def refuse(name, mode="r", *rest, **options):
        if name == f"{root}/proc/irq/24/{LIST}" and "w" in mode:
            raise OSError(5, "Input/output error")
        return real(name, mode, *rest, **options)

    monkeypatch.setattr(builtins, "open", refuse)


@pytest.mark.usefixtures("_refusing")
def test_a_refused_move_is_no_change_and_remembered(root):
    host = apply(root)
    assert [change.resource for change in host.changes] == [DEFAULT, f"/proc/irq/9/{LIST}"]
    assert host.notes == ["IRQ 24 (eth0-rx, eth0-tx) is managed by the kernel, which refused to move it off CPUs 1-3"]
    assert json.loads(text(root, "/run/realtime-kvm/managed-irqs.json")) == ["IRQ 24 (eth0-rx, eth0-tx)"]
    assert f"/proc/irq/24/{LIST}" not in host.journal.entries
    again = apply(root)
    assert (again.changes, again.notes) == ([], [])
    assert apply(root, check_mode=True).changes == []
    assert [found["irq"] for found in stuck_interrupts(writable(root), PARTITION)] == [24, 100]


def test_one_that_ends_while_it_is_moved_is_not_taken_for_the_kernel_s(root, monkeypatch):
    """VFIO gives vectors back and asks for new ones: the kernel answers EIO for one that has ended, and its number comes again."""
    real = builtins.open

    def end(name, mode="r", *rest, **options):
        if name == f"{root}/proc/irq/24/{LIST}" and "w" in mode:
            for folder in ("eth0-rx", "eth0-tx"):
                (root / "proc/irq/24" / folder).rmdir()
            raise OSError(errno.EIO, "Input/output error")
        return real(name, mode, *rest, **options)

    monkeypatch.setattr(builtins, "open", end)
    host = apply(root)
    assert host.notes == ["IRQ 24 (eth0-rx, eth0-tx) could not be moved off CPUs 1-3: Input/output error"]
    assert not (root / "run/realtime-kvm/managed-irqs.json").exists()


def test_a_move_that_fails_for_lack_of_vectors_is_tried_again(root, monkeypatch):
    real = builtins.open

    def refuse(name, mode="r", *rest, **options):
        if name == f"{root}/proc/irq/24/{LIST}" and "w" in mode:
            raise OSError(28, "No space left on device")
        return real(name, mode, *rest, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    host = apply(root)
    assert host.notes == ["IRQ 24 (eth0-rx, eth0-tx) could not be moved off CPUs 1-3: No space left on device"]
    assert [interrupt.number for interrupt in read_interrupts(writable(root)) if not interrupt.movable] == [100]
    monkeypatch.undo()
    assert [change.resource for change in apply(root).changes] == [f"/proc/irq/24/{LIST}"]


def test_a_name_of_control_characters_is_shown_without_them(root):
    fill(root, irq(30, "1", "1", "eth\x1b[2J\u202e-rx"))
    found = {interrupt.number: interrupt.label for interrupt in read_interrupts(writable(root))}
    assert found[30] == "IRQ 30 (eth?[2J?-rx)"


def test_a_captured_arm_machine_has_interrupts_without_folders_of_handlers(tmp_path):
    table = """           CPU0       CPU1
 11:       7155       8882     GICv3  30 Level     arch_timer
134:        166          0  ITS-PCI-MSI-0000:01:00.0   0 Edge      nvme0q0
"""
    fill(tmp_path, {"/proc/interrupts": table, **irq(11, "0-1", "0"), **irq(134, "0-1", "1"), **irq(135, "0", "0")})
    found = read_interrupts(Host(str(tmp_path), captured=True))
    assert [(interrupt.number, interrupt.actions) for interrupt in found] == [(11, ("arch_timer",)), (134, ("nvme0q0",))]


@pytest.mark.usefixtures("_refusing")
def test_when_all_is_refused_nothing_has_changed(root):
    fill(root, {DEFAULT: "1", f"/proc/irq/9/{LIST}": "0"})
    host = apply(root)
    assert host.results()["changed"] is False
    assert not Path(f"{root}/var/lib/realtime-kvm").exists()


@pytest.mark.parametrize("memory", ["", "{", "{}", "7", "null"])
def test_a_damaged_memory_of_refusals_is_passed_over(root, memory):
    fill(root, {"/run/realtime-kvm/managed-irqs.json": memory})
    assert len(read_interrupts(writable(root))) == 4


def test_an_unreadable_affinity_is_none(root):
    fill(root, {f"/proc/irq/9/{LIST}": "what"})
    assert read_interrupts(writable(root))[0].affinity == frozenset()


def test_refusals_are_kept_where_a_reboot_forgets_them():
    assert _interrupts._REFUSED.startswith("/run/")


# -- of guests' devices ----------------------------------------------------------------------------

CARD = "0000:41:00.0"
VECTOR = f"vfio-msix[0]({CARD})"


def test_interrupts_of_a_guest_s_device_go_to_its_vcpu_follow_it_and_come_back(tmp_path):
    fill(
        tmp_path, {BOOT_ID: "b", "/var/lib/": None, DEFAULT: "00000001", **irq(30, "0", "0", VECTOR), **irq(24, "0", "0", "eth0")}
    )
    running_guest(tmp_path, "plc1", CARD, vcpus=("2", "3"), vectors=(30,))
    file = f"/proc/irq/30/{LIST}"

    def moves():
        return [(item.resource, item.before, item.after, item.reason) for item in run(tmp_path, partial_plan).changes]

    def partial_plan(host):
        plan_interrupts(host, PARTITION)

    assert moves() == [(file, "0", "2", f"IRQ 30 ({VECTOR}), to vCPU 0 of plc1")]
    assert moves() == []
    fill(tmp_path, task("/proc/500/task/501", "CPU 0/KVM", allowed="1"))  # it was re-pinned
    assert moves() == [(file, "2", "1", f"IRQ 30 ({VECTOR}), to vCPU 0 of plc1")]
    (tmp_path / "run/libvirt/qemu/plc1.xml").unlink()  # it has ended, and its device has a driver of the node again
    assert moves() == [(file, "1", "0", f"IRQ 30 ({VECTOR})")]


def test_a_move_to_a_vcpu_that_is_refused_is_noted(tmp_path, monkeypatch):
    fill(tmp_path, {BOOT_ID: "b", "/var/lib/": None, DEFAULT: "00000001", **irq(30, "0", "0", VECTOR)})
    running_guest(tmp_path, "plc1", CARD, vcpus=("2",), vectors=(30,))
    refuse_writes(monkeypatch, [f"{tmp_path}/proc/irq/30/{LIST}"], errno.ENOSPC)
    host = run(tmp_path, lambda host: plan_interrupts(host, PARTITION))
    assert host.notes == [f"IRQ 30 ({VECTOR}) could not be moved off CPUs 0 to CPUs 2: No space left on device"]
