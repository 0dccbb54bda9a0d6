# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot service of a node: the modules' code, packed into one file that Python runs.

A reboot loses run-time values; the service makes them again before guests and switch start. It needs neither tuned nor
Ansible on the node.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Collection, Mapping
from typing import Any

from .._cpus.errors import UNEXPECTED, HostError, RefusalError
from .._cpus.partition import Partition
from .._devices.virtual import await_drivers, await_overrides
from .._host.current import require_current_partition
from .._host.host import Host
from .._host.journal_events import BOOT_NOTE, FEATURE_FAILED, NOT_KEPT, VALUE_MADE, Line
from .._host.journald import tell
from .._host.paths import ARCHIVE
from .._runtime.feature import why_waiting
from .._runtime.features import FEATURES, configured_features
from .._runtime.gate import read_boot_state, unfinished, write_boot_state
from . import watcher
from .hook import run_hook, run_switch, run_worker
from .pack import PACKAGE, pack, sources
from .rtpart import rtpart
from .rtpart_files import tool_files

UNIT = "/etc/systemd/system/realtime-kvm.service"
INTERRUPTS_UNIT = "/etc/systemd/system/realtime-kvm-interrupts.service"
WANTS = "/etc/systemd/system/multi-user.target.wants"
#: Its main() and the watcher's, as names below module_utils. The watcher stays in memory, so it loads only what it uses.
_ENTRY, _WATCHER = "_node.archive", "_node.watcher"
_MAIN = (
    f"import sys\n\nif sys.argv[1:] == ['watch']:\n    from {PACKAGE}.{_WATCHER} import main\n"
    f"else:\n    from {PACKAGE}.{_ENTRY} import main\n\nmain()\n"
)

_UNIT_TEXT = """\
# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.
[Unit]
Description={description}
Documentation=https://github.com/realtime-kvm/realtime.kvm
{order}
ConditionPathExists=/etc/ansible/facts.d/realtime_partition.fact

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 -I {archive}{arguments}

[Install]
WantedBy=multi-user.target
"""
#: The units. Open vSwitch starts before ``network.target`` and needs its huge pages, so the first unit cannot wait for the
#: network. Interrupts of network interfaces exist only once these are up, so the second unit waits.
UNIT_TEXTS = {
    UNIT: _UNIT_TEXT.format(
        description="Real-time CPU partition: run-time settings of realtime.kvm",
        order="After=systemd-modules-load.service systemd-sysctl.service\n"
        "Before=libvirtd.service virtqemud.service openvswitch.service openvswitch-switch.service ovs-vswitchd.service",
        archive=ARCHIVE,
        arguments="",
    ),
    INTERRUPTS_UNIT: _UNIT_TEXT.format(
        description="Real-time CPU partition: interrupts of network interfaces, once these are up",
        order="After=realtime-kvm.service network.target irqbalance.service",
        archive=ARCHIVE,
        arguments=" irq_affinity",
    ),
}


def parts() -> dict[str, str]:
    """Return the service's sources, by name below module_utils: the entry and all that it imports, directly or not."""
    return sources(_ENTRY, _WATCHER)


def build_archive() -> bytes:
    """Return the service's archive; equal sources give equal bytes."""
    return pack(_ENTRY, _WATCHER, main=_MAIN)


def plan_service(host: Host) -> None:
    """Plan the archive, the units and their start at boot, and the operator's tool."""
    host.set_file(ARCHIVE, build_archive(), reason="boot service")
    for path, (text, mode) in tool_files(ARCHIVE).items():
        host.set_file(path, text.encode(), mode=mode, reason="rtpart, the operator's tool")
    for unit, text in UNIT_TEXTS.items():
        host.set_file(unit, text.encode(), reason="boot service")
        host.set_link(f"{WANTS}/{posixpath.basename(unit)}", unit, reason="boot service is enabled")


def apply_all(only: Collection[str] = ()) -> int:
    """Make the values of all configured features or of some; print the changes; return the number of failures.

    As in the modules, values wait for a boot whose kernel isolates the partition's CPUs. What was made is kept for the gate
    of real-time guests and for verify.
    """
    host = Host()
    features, damaged = configured_features(host)
    wanted = [name for name in FEATURES if (name in features or name in damaged) and (not only or name in only)]
    state = {**read_boot_state(host), **unfinished(wanted)}
    if wanted:
        _keep(host, state)
    refusal, partition = "", None
    try:
        partition, _topology = require_current_partition(host, None)
        refusal = why_waiting(host, partition)
    except RefusalError as error:
        refusal = str(error)
    for name in wanted:
        if name in damaged or refusal or partition is None:
            state[name], unjournalled = damaged.get(name) or refusal, ""
        else:
            state[name], unjournalled = _make(name, partition, features[name])
        if unjournalled:
            state["journal"] = unjournalled
        _keep(host, state)
    failed = {name: state[name] for name in wanted if state[name]}
    reasons = {reason: [name for name in failed if failed[name] == reason] for reason in failed.values()}
    for reason, names in reasons.items():
        tell(Line.of(FEATURE_FAILED, f"{', '.join(names)}: {reason}", feature=tuple(names)))
    for note in host.notes:
        tell(Line.of(BOOT_NOTE, note))
    if not wanted and refusal:
        tell(Line.of(FEATURE_FAILED, refusal))
    return len(failed) or bool(refusal)


def _make(name: str, partition: Partition, options: Mapping[str, Any]) -> tuple[str, str]:
    """Make one feature's values; return why that failed, and why their originals are not in the journal, or empty texts."""
    host, failure = Host(owner=name, needs_journal=False), ""
    await_drivers(host, options.get("virtual_functions", {}))
    try:
        with host.locked():
            FEATURES[name].plan(host, partition, options)
            host.commit()
    except RefusalError as error:
        failure = str(error)
    except UNEXPECTED as error:
        failure = f"unexpected {type(error).__name__}: {error}"
    await_overrides(host, options.get("virtual_functions", {}))
    for change in host.changes if host.committed else []:
        before, after = str(change.before), str(change.after)
        text = f"{name}: {change.resource}: {before} -> {after}"
        tell(Line.of(VALUE_MADE, text, feature=name, resource=change.resource, before=before, after=after))
    for note in host.notes:
        tell(Line.of(BOOT_NOTE, f"{name}: {note}", feature=name))
    if host.unjournalled:
        text = f"{name}: only a reboot restores the values of this boot, since {host.unjournalled}"
        tell(Line.of(NOT_KEPT, text, feature=name))
    return failure, host.unjournalled


def _keep(host: Host, state: Mapping[str, str]) -> None:
    try:
        write_boot_state(host, state)
    except HostError as error:
        tell(Line.of(NOT_KEPT, str(error)))


def main() -> None:
    """Entry point of the archive; its arguments are names of features (none: all), or ``hook`` and libvirt's own."""
    if sys.argv[1:2] == ["rtpart"]:
        raise SystemExit(rtpart(sys.argv[2:]))
    if sys.argv[1:2] == ["watch"]:  # __main__ starts it without this file; the import brings it into the archive and to the node
        watcher.main()
        raise SystemExit(0)
    if sys.argv[1:2] == ["switch"]:
        run_switch(sys.argv[2])
        raise SystemExit(0)
    if sys.argv[1:2] == ["worker"]:
        run_worker(int(sys.argv[2]))
        raise SystemExit(0)
    if sys.argv[1:2] == ["hook"]:
        refusal = run_hook(sys.argv[2:], sys.stdin.read())
        sys.stderr.write(f"{refusal}\n" if refusal else "")
        raise SystemExit(1 if refusal else 0)
    raise SystemExit(1 if apply_all(sys.argv[1:]) else 0)
