# SPDX-License-Identifier: GPL-3.0-or-later
"""The units that write a node's metrics and audit it, as systemd reads them. Pure."""

from __future__ import annotations

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._host.paths import DOCUMENT, WATCH_ARCHIVE
from .options import WatchOptions

UNITS = "/etc/systemd/system"
WANTS = f"{UNITS}/timers.target.wants"
METRICS, AUDIT = "realtime-kvm-metrics", "realtime-kvm-audit"

_HEAD = """\
# Written by realtime.kvm (module rt_metrics), which replaces this file as a whole.
[Unit]
Description=Real-time CPU partition: {description}
Documentation=https://github.com/realtime-kvm/realtime.kvm
"""
_SERVICE = """\
After=realtime-kvm.service
ConditionPathExists={document}
ConditionPathExists={archive}

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {flags}{archive} {arguments}
# No option here may make a mount namespace (ProtectSystem=, PrivateTmp=, PrivateNetwork= and others do): the kernel ends one by
# synchronize_rcu_expedited() (namespace_unlock() of fs/namespace.c), which interrupts other CPUs, isolated ones too.
CPUAffinity=
CPUAffinity={cpus}
Nice={nice}
IOSchedulingClass={io}
TimeoutStartSec={seconds}
MemoryMax={memory}
NoNewPrivileges=yes
SyslogIdentifier={name}
# systemd (249 and newer) leaves out "Starting" and "Finished" of each pass; what the program says has a higher level
SyslogLevel=warning
LogLevelMax=notice
"""
_TIMER = """\

[Timer]
OnBootSec={boot}
{again}={interval}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def names_of(unit: str) -> tuple[str, str]:
    """Return a timer and its service."""
    return f"{unit}.timer", f"{unit}.service"


def unit_texts(partition: Partition, options: WatchOptions) -> dict[str, str]:
    """Return the files of the units, by path: service and timer of the metrics, and of the audit where it is wanted."""
    cpus = format_cpulist(partition.housekeeping)
    common = {"document": DOCUMENT, "archive": WATCH_ARCHIVE, "cpus": cpus}
    # metrics need no library but Python's own (-S), which saves a sixth of each start; the audit needs libvirt's
    metrics = _SERVICE.format(
        **common, flags="-S ", arguments="metrics --write", nice=5, io="best-effort", seconds=20, memory="128M", name=METRICS
    )
    timer = _TIMER.format(boot=30, again="OnUnitActiveSec", interval=options.interval_s)
    texts = {
        f"{METRICS}.service": _HEAD.format(description="metrics of the node, for node_exporter") + metrics,
        f"{METRICS}.timer": _HEAD.format(description=f"metrics of the node, every {options.interval_s} s") + timer,
    }
    if options.audit:
        audit = _SERVICE.format(**common, flags="", arguments="audit", nice=19, io="idle", seconds=300, memory="256M", name=AUDIT)
        after = _TIMER.format(boot=60, again="OnUnitInactiveSec", interval=options.audit_interval_s)
        texts[f"{AUDIT}.service"] = _HEAD.format(description="audit of the node by itself, read-only") + audit
        texts[f"{AUDIT}.timer"] = (
            _HEAD.format(description=f"audit of the node, {options.audit_interval_s} s after the last has ended") + after
        )
    return {f"{UNITS}/{name}": text for name, text in texts.items()}


def described(timer: str, options: WatchOptions) -> str:
    """Return how a timer runs, for people."""
    if timer.startswith(METRICS):
        return f"running, every {options.interval_s} s"
    return f"running, {options.audit_interval_s} s after the last audit has ended"
