# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this collection keeps its files on a node. Pure."""

from __future__ import annotations

DOCUMENT = "/etc/ansible/facts.d/realtime_partition.fact"


CONFIG_DIR = "/etc/realtime-kvm"


def config_path(feature: str) -> str:
    """Return the file with a feature's options."""
    return f"{CONFIG_DIR}/{feature}.json"


ARCHIVE = "/usr/local/lib/realtime-kvm/realtime-kvm.pyz"


#: The programs that look at the node by themselves: its metrics and its audit.
WATCH_ARCHIVE = "/usr/local/lib/realtime-kvm/metrics.pyz"
#: What the node's own audit has found last; it ends with the boot.
AUDIT_STATE = "/run/realtime-kvm/audit.json"
#: When playbooks have last run on the node.
RUNS = "/var/lib/realtime-kvm/runs.json"
#: The verdict of the last latency measurement of each place.
KEPT_LATENCY = "/var/lib/realtime-kvm/latency.json"


#: Modules' own code, compiled by the node, so that it need not be sent each time; a cache.
KEPT = "/var/cache/realtime-kvm"


def kept_path(release: str) -> str:
    """Return the program that is kept of a release's look; the release is the digest of its code."""
    return f"{KEPT}/look-{release}.pyz"


def is_kept(name: str) -> bool:
    """Whether a file of that folder is such a program, or what a killed run has left of one."""
    return name.endswith(".pyz") and name.startswith(("look-", ".realtime-kvm-look-"))


#: The second archive: what writes metrics and audits by itself, where the role rt_metrics has set it up.
WATCH_ARCHIVE = "/usr/local/lib/realtime-kvm/metrics.pyz"
#: What the node's last audit of itself has found.
AUDIT_STATE = "/run/realtime-kvm/audit.json"
#: When the playbooks last reached their ends on the node.
RUNS = "/var/lib/realtime-kvm/runs.json"
#: The last verdicts of latency measurements.
KEPT_LATENCY = "/var/lib/realtime-kvm/latency.json"
