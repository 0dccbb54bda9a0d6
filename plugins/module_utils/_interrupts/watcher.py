# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that keeps interrupts off isolated CPUs for good: its unit, its start and its end. Edge.

Drivers set the affinity of their interrupts again at a reset, when an interface is opened, when its queues or its MTU
change; new devices bring new interrupts. The program is _node/watcher.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._host.afterwards import afterwards, reload_systemd
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.paths import ARCHIVE, DOCUMENT
from .._host.runner import systemctl
from .._host.threads import read_thread, service_pids, working_pids

WATCHER_UNIT = "/etc/systemd/system/realtime-kvm-watch.service"
WATCHER_LINK = "/etc/systemd/system/multi-user.target.wants/realtime-kvm-watch.service"
WATCHER = "service:realtime-kvm-watch"
#: Seconds after which systemd restarts a watcher that has not said that it is at work. It says so every five seconds, and while it waits for another
#: run; a look takes one.
HANGS_S = 120
_NAME = os.path.basename(WATCHER_UNIT)
_SYSTEMD = "/run/systemd/system"
_UNIT_TEXT = """\
# Written by realtime.kvm (module irq_affinity), which replaces this file as a whole.
[Unit]
Description=Real-time CPU partition: keeps interrupts off isolated CPUs
Documentation=https://github.com/realtime-kvm/realtime.kvm
After=realtime-kvm.service
ConditionPathExists={document}
ConditionPathExists={archive}
StartLimitIntervalSec=0

[Service]
Type=exec
# without site packages, which would take memory for as long as the node runs
ExecStart=/usr/bin/python3 -I -S {archive} watch
CPUAffinity=
CPUAffinity={cpus}
SyslogIdentifier=realtime-kvm-watch
Restart=always
RestartSec=5
# one that hangs is started again
WatchdogSec={hangs}
WatchdogSignal=SIGKILL

[Install]
WantedBy=multi-user.target
"""


def _unit_text(partition: Partition) -> str:
    return _UNIT_TEXT.format(document=DOCUMENT, archive=ARCHIVE, cpus=format_cpulist(partition.housekeeping), hangs=HANGS_S)


def watcher_cpus(host: Host) -> frozenset[int] | None:
    """Return the CPUs of the running watcher, None where it does not run, or was stopped by a signal."""
    for pid in working_pids(host, _NAME):
        thread = read_thread(host, pid)
        if thread is not None:
            return thread.allowed
    return None


def plan_watcher(host: Host, runner: Runner, partition: Partition, *, waits: bool) -> None:
    """Plan the unit, its start at boot and, unless the values wait for a reboot, its start now. A node without isolated CPUs gets no watcher."""
    if not partition.isolated:
        undo_watcher(host, runner)
        return
    text = _unit_text(partition)
    same = host.read(WATCHER_UNIT) == text
    host.set_file(WATCHER_UNIT, text.encode(), reason="interrupts are kept off isolated CPUs")
    host.set_link(WATCHER_LINK, WATCHER_UNIT, reason="the watcher starts at boot")
    if host.captured or not host.exists(_SYSTEMD):
        return
    if waits:
        if not same:
            host.perform(partial(reload_systemd, host, runner))
        return
    cpus = watcher_cpus(host)
    before = "stopped" if cpus is None else f"running on CPUs {format_cpulist(cpus)}" if same else "running with another unit"
    after = f"running on CPUs {format_cpulist(partition.housekeeping)}"
    afterwards(
        host,
        WATCHER,
        partial(_start, host, runner),
        due=not same or cpus is None or not cpus <= partition.housekeeping,
        change=Change(WATCHER, before, after, reason="kernel events are heard"),
    )


def _start(host: Host, runner: Runner) -> None:
    reload_systemd(host, runner)
    systemctl(runner, "restart", _NAME)


def undo_watcher(host: Host, runner: Runner, restore: Callable[[], None] | None = None) -> None:
    """Plan to stop the watcher and to remove its unit.

    ``restore`` plans that too, and what the watcher would move again while it runs.
    """
    ours = WATCHER_UNIT in host.entries("file")
    if ours and service_pids(host, _NAME):
        host.follow_up(Change(WATCHER, "running", "stopped", reason="restored"), partial(systemctl, runner, "stop", _NAME))
    if restore is not None:
        restore()
    else:
        host.restore_links()
        host.restore_files(only=[WATCHER_UNIT])
    if f"after:{WATCHER}" in host.entries("after"):  # of a run that was cut off
        host.restore(None, f"after:{WATCHER}", lambda: None)
    if ours:
        host.perform(partial(reload_systemd, host, runner))
