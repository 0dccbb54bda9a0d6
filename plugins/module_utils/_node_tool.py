# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot service of a node: the same code as the modules', packed into one file that Python runs.

Run-time values are lost at a reboot; the service makes them again before guests and switch start. It
needs neither tuned nor Ansible on the node.
"""

from __future__ import annotations

import inspect
import io
import sys
import zipfile
from importlib import import_module

from ._host import Host, HostError
from ._partition import PartitionError
from ._runtime import FEATURES, configured_features, require_partition

ARCHIVE = "/usr/local/lib/realtime-kvm/realtime-kvm.pyz"
UNIT = "/etc/systemd/system/realtime-kvm.service"
WANTS = "/etc/systemd/system/multi-user.target.wants/realtime-kvm.service"
PACKAGE = "realtime_kvm"
#: What the service needs of this directory; a test checks that it is complete.
PARTS = (
    "_boot_arguments",
    "_change",
    "_cpuset",
    "_guest",
    "_host",
    "_interrupts",
    "_irq",
    "_kernel_arguments",
    "_kthreads",
    "_memory",
    "_network",
    "_node_tool",
    "_partition",
    "_runtime",
    "_services",
    "_settings",
    "_sysfs",
    "_topology",
)
_MAIN = f"from {PACKAGE}._node_tool import main\n\nmain()\n"

UNIT_TEXT = f"""\
# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.
[Unit]
Description=Real-time CPU partition: run-time settings of realtime.kvm
Documentation=https://github.com/realtime-kvm/realtime.kvm
After=systemd-modules-load.service systemd-sysctl.service network.target irqbalance.service
Before=libvirtd.service virtqemud.service openvswitch-switch.service ovs-vswitchd.service
ConditionPathExists=/etc/ansible/facts.d/realtime_partition.fact

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 {ARCHIVE}

[Install]
WantedBy=multi-user.target
"""


def build_archive() -> bytes:
    """Return the service's archive; equal sources give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        contents = {f"{PACKAGE}/__init__.py": b"", "__main__.py": _MAIN.encode()}
        for part in PARTS:
            contents[f"{PACKAGE}/{part}.py"] = inspect.getsource(import_module(f"{__package__}.{part}")).encode()
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents[name])
    return buffer.getvalue()


def plan_service(host: Host) -> None:
    """Plan the archive, the unit and its start at boot."""
    host.set_file(ARCHIVE, build_archive(), reason="boot service")
    host.set_file(UNIT, UNIT_TEXT.encode(), reason="boot service")
    host.set_link(WANTS, UNIT, reason="boot service is enabled")


def apply_all() -> int:
    """Make every configured feature's values; report what changed; return the number of failures."""
    failures = 0
    try:
        features = configured_features(Host())
        partition = require_partition(Host(), None)
    except (HostError, PartitionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for feature, options in features.items():
        host = Host(owner=feature)
        try:
            with host.locked():
                FEATURES[feature](host, partition, options)
                host.commit()
        except HostError as error:
            failures += 1
            sys.stderr.write(f"{feature}: {error}\n")
        lines = [f"{change.resource}: {change.before} -> {change.after}" for change in host.changes]
        sys.stdout.writelines(f"{feature}: {line}\n" for line in [*lines, *host.notes])
    return failures


def main() -> None:
    """Entry point of the archive."""
    raise SystemExit(1 if apply_all() else 0)
