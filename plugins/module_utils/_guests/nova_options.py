# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a node's nova-compute that say what it does with CPUs, from its files. Edge, read-only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._host.host import Host

#: In the order in which oslo.config reads them; of the same option the last counts. The last one is the nova_compute role's own, where the
#: service is told to read it; elsewhere that is in one of the folders.
_FILES = (
    "/etc/nova/nova.conf",
    "/etc/nova/nova-compute.conf",
    "/etc/nova/nova.conf.d/*.conf",
    "/etc/nova/nova-compute.conf.d/*.conf",
    "/etc/nova/realtime-kvm.conf",
)
_KEYS = {
    ("compute", "cpu_dedicated_set"): "dedicated",
    ("compute", "cpu_shared_set"): "shared",
    ("libvirt", "cpu_power_management"): "power",
    ("libvirt", "cpu_power_management_strategy"): "strategy",
    ("libvirt", "realtime_scheduler_priority"): "priority",
}


@dataclass(frozen=True)
class NovaOptions:
    """Options as text; empty where no file has them."""

    dedicated: str = ""
    shared: str = ""
    power: str = ""
    strategy: str = ""
    priority: str = ""
    power_file: str = ""  # the file that sets ``power``

    @property
    def offlines(self) -> bool:
        """Whether nova-compute switches dedicated CPUs off that no instance uses (strategy cpu_state is the default)."""
        on = self.power.lower() in ("true", "1", "yes", "on")
        return on and self.strategy in ("", "cpu_state")


def read_nova(host: Host) -> NovaOptions:
    """Return Nova's options; the last of several files wins."""
    found: dict[str, str] = {}
    for path in [path for pattern in _FILES for path in sorted(host.glob(pattern))]:
        section = ""
        for line in (host.read(path) or "").splitlines():
            heading = re.match(r"\s*\[(.*?)\]", line)
            setting = re.match(r"\s*(\w+)\s*[=:]\s*(.*?)\s*$", line)
            section = heading[1] if heading else section
            key = _KEYS.get((section, setting[1])) if setting else None
            if key and setting:
                found[key] = setting[2]
                found.update({"power_file": path} if key == "power" else {})
    return NovaOptions(**found)
