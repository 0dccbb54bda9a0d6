# SPDX-License-Identifier: GPL-3.0-or-later
"""One rule of the audit: what must hold, the severity if it does not, and the source. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: Worst first. An error breaks a promise of the node; a warning may do so, or will after the next reboot or restart; an
#: information never makes a run fail.
SEVERITIES = ("error", "warning", "info")

#: Sources of rules in several files.
CGROUP = "Documentation/admin-guide/cgroup-v2.rst"
KVM_RT = "https://libvirt.org/kbase/kvm-realtime.html"
NOVA_CPUS = "Nova, Documentation admin/cpu-topologies"

#: Who repairs it, where a playbook does.
SITE, REBOOT = "site", "site, with a reboot"


@dataclass(frozen=True)
class Rule:
    """One rule; ``meaning`` is what must hold, ``repair`` the playbook or person that restores it."""

    id: str
    severity: str
    meaning: str
    source: str
    repair: str = "by hand"


def rank(severity: str) -> int:
    """Return a severity's place in the order, the worst first."""
    return SEVERITIES.index(severity)
