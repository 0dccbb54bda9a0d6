# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM's parameters, with their reasons. Pure."""

from __future__ import annotations

from .settings import Setting


def kvm_settings(nx_huge_pages: str, halt_poll_ns: int) -> list[Setting]:
    """Return the parameters of KVM that an operator chose; ``keep`` and -1 leave them alone."""
    settings = []
    if nx_huge_pages == "off":
        settings.append(
            Setting(
                "/sys/module/kvm/parameters/nx_huge_pages",
                "N",
                "huge pages of guests are not split when code in them runs, and no recovery thread runs on the CPU of vCPU 0",
                "guests are trusted not to use the iTLB multihit erratum of older Intel processors to stop the host",
                "stall",
                source="Documentation/admin-guide/hw-vuln/multihit.rst",
            )
        )
    if halt_poll_ns >= 0:
        settings.append(
            Setting(
                "/sys/module/kvm/parameters/halt_poll_ns",
                str(halt_poll_ns),
                "how long a CPU spins for an idle vCPU before it sleeps",
                "0 saves power and wakes later; more wakes sooner and keeps others off the CPU",
                source="Documentation/virt/kvm/halt-polling.rst",
            )
        )
    return settings
