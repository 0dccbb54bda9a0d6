# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's interrupts: reads /proc/irq, plans and makes their moves. Edge."""

from __future__ import annotations

import json
import os
import stat
from functools import partial

from ._change import Change
from ._cpuset import CpuListError, format_cpulist, format_mask, parse_cpulist, parse_mask
from ._host import Host
from ._interrupt_counts import parse_names
from ._irq import Interrupt, stuck, wanted_affinity
from ._partition import Partition
from ._services import Runner, reload_systemd

#: Interrupts whose move the kernel refused in this boot; older ones (6.1) do not tell otherwise which they manage.
_REFUSED = "/run/realtime-kvm/managed-irqs.json"
_IRQBALANCE_ENVIRONMENT = "/etc/realtime-kvm/irqbalance.env"
IRQBALANCE_DROP_IN = "/etc/systemd/system/irqbalance.service.d/realtime-kvm.conf"


def _cpus(host: Host, path: str) -> frozenset[int]:
    try:
        return parse_cpulist(host.value(path) or "")
    except CpuListError:
        return frozenset()


def _known_refused(host: Host) -> list[str]:
    try:
        names = json.loads(host.read(_REFUSED) or "[]")
    except ValueError:
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def read_interrupts(host: Host) -> list[Interrupt]:
    """Return the interrupts that have a handler."""
    refused = _known_refused(host)
    named = parse_names(host.read("/proc/interrupts") or "") if host.root else {}  # a capture may lack the folders of handlers
    interrupts = []
    for base in host.glob("/proc/irq/[0-9]*"):
        actions = tuple(name for name in host.listdir(base) if os.path.isdir(host.path(f"{base}/{name}")))
        actions = actions or named.get(int(base.rsplit("/", 1)[1]), ())
        if not actions:
            continue
        node = host.value(f"{base}/node") or ""
        interrupt = Interrupt(
            number=int(base.rsplit("/", 1)[1]),
            actions=actions,
            affinity=_cpus(host, f"{base}/smp_affinity_list"),
            effective=_cpus(host, f"{base}/effective_affinity_list"),
            node=int(node) if node.isdecimal() else None,
            movable=_writable(host, f"{base}/smp_affinity_list"),
        )
        interrupts.append(interrupt if interrupt.label not in refused else _managed(interrupt))
    return interrupts


def _managed(interrupt: Interrupt) -> Interrupt:
    return Interrupt(interrupt.number, interrupt.actions, interrupt.affinity, interrupt.effective, interrupt.node, movable=False)


def _writable(host: Host, path: str) -> bool:
    try:
        return bool(os.stat(host.path(path)).st_mode & stat.S_IWUSR)
    except OSError:
        return False


def plan_interrupts(host: Host, partition: Partition) -> None:
    """Plan the default affinity and the move of every movable interrupt that may fire on an isolated CPU."""
    if not partition.isolated:
        return
    wanted = format_mask(partition.unisolated)
    path = "/proc/irq/default_smp_affinity"
    current = host.value(path)
    if current is not None and parse_mask(current) != partition.unisolated:
        host.set_value(path, wanted, reason="new interrupts start on housekeeping and shared CPUs")
    for interrupt in read_interrupts(host):
        target = wanted_affinity(interrupt, partition, partition.nodes)
        if interrupt.movable and target != interrupt.affinity:
            file = f"/proc/irq/{interrupt.number}/smp_affinity_list"
            change = Change(file, format_cpulist(interrupt.affinity), format_cpulist(target), reason=interrupt.label)
            host.change(change, partial(_move, host, interrupt, file, change), kind="value")


def _move(host: Host, interrupt: Interrupt, path: str, change: Change) -> None:
    """Move one interrupt; where the kernel refuses (EIO, EPERM: it manages this one) take the change back and note it."""
    try:
        with open(host.path(path), "w") as stream:
            stream.write(change.after or "")
    except OSError:
        host.take_back(change)
        names = sorted({*_known_refused(host), interrupt.label})
        host.write_file(_REFUSED, json.dumps(names).encode())
        host.notes.append(f"{interrupt.label} is managed by the kernel, which refused to move it off CPUs {change.before}")


def plan_irqbalance(host: Host, runner: Runner, partition: Partition) -> None:
    """Plan irqbalance's list of banned CPUs, and its restart where it runs with another one."""
    if not partition.isolated:
        return
    banned = f"IRQBALANCE_BANNED_CPULIST={format_cpulist(partition.isolated)}"
    # a second EnvironmentFile wins over the distribution's and over Environment=
    host.set_file(_IRQBALANCE_ENVIRONMENT, f"{banned}\n".encode(), reason="irqbalance keeps off isolated CPUs")
    drop_in = f"[Service]\nEnvironmentFile=-{_IRQBALANCE_ENVIRONMENT}\n"
    host.set_file(IRQBALANCE_DROP_IN, drop_in.encode(), reason="irqbalance keeps off isolated CPUs")
    running = _irqbalance_environment(host)
    if running is not None and banned not in running:
        before = next((line for line in running if line.startswith("IRQBALANCE_BANNED")), "no banned CPUs")
        change = Change(
            "service:irqbalance", f"running with {before}", f"running with {banned}", reason="restarted to read its list"
        )
        host.follow_up(change, partial(reload_systemd, host, runner, "irqbalance.service"))


def undo_irqbalance(host: Host, runner: Runner) -> None:
    """Plan to take our list away, and the restart of an irqbalance that runs with it."""
    touched = IRQBALANCE_DROP_IN in host.entries("file")
    ours = host.value(_IRQBALANCE_ENVIRONMENT)
    host.restore_files(only=(_IRQBALANCE_ENVIRONMENT, IRQBALANCE_DROP_IN))
    if touched and ours in (_irqbalance_environment(host) or []):
        change = Change("service:irqbalance", f"running with {ours}", "running without it", reason="restored")
        host.follow_up(change, partial(reload_systemd, host, runner, "irqbalance.service"))


def _irqbalance_environment(host: Host) -> list[str] | None:
    """Return the environment that a running irqbalance was started with, None where it does not run."""
    for pid in (host.read("/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs") or "").split():
        return (host.read(f"/proc/{pid}/environ") or "").split("\0")
    return None


def stuck_interrupts(host: Host, partition: Partition) -> list[dict[str, object]]:
    """Return what cannot be moved off isolated CPUs, for the report."""
    return [
        {
            "irq": irq.number,
            "actions": list(irq.actions),
            "cpus": format_cpulist((irq.effective or irq.affinity) & partition.isolated),
        }
        for irq in stuck(read_interrupts(host), partition)
    ]
