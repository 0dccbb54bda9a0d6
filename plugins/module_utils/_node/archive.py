# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot service of a node: the modules' code, packed into one file that Python runs.

A reboot loses run-time values; the service makes them again before guests and switch start. It needs neither tuned nor
Ansible on the node.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Collection

from .._cpus.errors import HostError
from .._cpus.partition import PartitionError
from .._host.document import require_partition
from .._host.host import Host
from .._host.paths import ARCHIVE
from .._isolation.holders import IsolationError
from .._runtime.features import FEATURES, configured_features
from .hook import run_hook, run_switch
from .pack import pack, sources
from .rtpart import rtpart
from .rtpart_files import tool_files

UNIT = "/etc/systemd/system/realtime-kvm.service"
INTERRUPTS_UNIT = "/etc/systemd/system/realtime-kvm-interrupts.service"
WANTS = "/etc/systemd/system/multi-user.target.wants"
#: Its main(), as a name below module_utils.
_ENTRY = "_node.archive"

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
ExecStart=/usr/bin/python3 {archive}{arguments}

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
    return sources(_ENTRY)


def build_archive() -> bytes:
    """Return the service's archive; equal sources give equal bytes."""
    return pack(_ENTRY)


def plan_service(host: Host) -> None:
    """Plan the archive, the units and their start at boot, and the operator's tool."""
    host.set_file(ARCHIVE, build_archive(), reason="boot service")
    for path, (text, mode) in tool_files(ARCHIVE).items():
        host.set_file(path, text.encode(), mode=mode, reason="rtpart, the operator's tool")
    for unit, text in UNIT_TEXTS.items():
        host.set_file(unit, text.encode(), reason="boot service")
        host.set_link(f"{WANTS}/{posixpath.basename(unit)}", unit, reason="boot service is enabled")


def apply_all(only: Collection[str] = ()) -> int:
    """Make the values of all configured features or of some; print the changes; return the number of failures."""
    failures = 0
    try:
        features = configured_features(Host())
        partition = require_partition(Host(), None)
    except (HostError, PartitionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for feature, options in features.items():
        if only and feature not in only:
            continue
        host = Host(owner=feature)
        try:
            with host.locked():
                FEATURES[feature].plan(host, partition, options)
                host.commit()
        except (HostError, IsolationError) as error:
            failures += 1
            sys.stderr.write(f"{feature}: {error}\n")
        lines = [f"{change.resource}: {change.before} -> {change.after}" for change in host.changes]
        sys.stdout.writelines(f"{feature}: {line}\n" for line in [*lines, *host.notes])
    return failures


def main() -> None:
    """Entry point of the archive; its arguments are names of features (none: all), or ``hook`` and libvirt's own."""
    if sys.argv[1:2] == ["rtpart"]:
        raise SystemExit(rtpart(sys.argv[2:]))
    if sys.argv[1:2] == ["switch"]:
        run_switch(sys.argv[2])
        raise SystemExit(0)
    if sys.argv[1:2] == ["hook"]:
        refusal = run_hook(sys.argv[2:], sys.stdin.read())
        sys.stderr.write(f"{refusal}\n" if refusal else "")
        raise SystemExit(1 if refusal else 0)
    raise SystemExit(1 if apply_all(sys.argv[1:]) else 0)
