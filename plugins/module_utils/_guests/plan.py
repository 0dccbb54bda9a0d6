# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one guest: its definition, what its running domain lacks, and its threads. Edge, read-only."""

from __future__ import annotations

import platform
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._host.host import Host
from .domain_merge import merge
from .domain_new import new_domain
from .domain_xml import Difference, differences
from .guest import Guest
from .libvirt import Domain
from .pinning import Placement
from .roles import WORKER
from .threads import ThreadDifference, read_guest_threads, thread_differences


@dataclass
class GuestPlan:
    """The plan of one guest."""

    guest: Guest
    placement: Placement
    domain: Domain | None
    tree: ET.Element  # as it must be defined
    definition: list[Difference]
    restart_for: list[str] = field(default_factory=list)  # elements that the running guest lacks
    threads: list[ThreadDifference] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.domain is not None and self.domain.running


def plan_guest(host: Host, guest: Guest, placement: Placement, domains: Mapping[str, Domain], site: str) -> GuestPlan:
    """Compare a guest's definition and, where it runs, its threads with the wanted ones."""
    domain = domains.get(guest.name)
    tree = merge(domain.tree if domain else new_domain(guest, site, platform.machine()), guest, placement)
    plan = GuestPlan(guest, placement, domain, tree, differences(domain.tree if domain else None, tree))
    if domain is not None and domain.running:
        live = domain.live_tree()
        found = differences(live, merge(live, guest, placement, live=True))
        plan.restart_for = [difference.element for difference in found if not difference.live]
        plan.threads = list(thread_differences(read_guest_threads(host, guest.name), guest, placement))
    return plan


def lets_go(other: GuestPlan, taker: GuestPlan, restarting: Sequence[GuestPlan]) -> bool:
    """Whether a running guest loses what its definition no longer has before another starts: stops come first, then restarts in their order."""
    order = [plan.guest.name for plan in restarting]
    before = order[: order.index(taker.guest.name)] if taker.guest.name in order else order
    return other.guest.state == "stopped" or other.guest.name in before


def unfinished(host: Host, plan: GuestPlan, domain: Domain | None) -> str:
    """Return how the machine differs from the plan after the changes; empty: it agrees."""
    if domain is None:
        return "libvirt does not know it"
    left = [item.element for item in differences(domain.tree, merge(domain.tree, plan.guest, plan.placement))]
    if left:
        return f"libvirt keeps {', '.join(left)} otherwise"
    if plan.guest.state == "running" and not domain.running:
        return "it does not run"
    if plan.guest.state == "stopped" and domain.running:
        return "it still runs"
    if not domain.running:
        return ""
    threads = thread_differences(read_guest_threads(host, plan.guest.name), plan.guest, plan.placement)
    # KVM's worker may appear only now; the next run moves it
    threads = (item for item in threads if item.role != WORKER)
    return "; ".join(f"{item.role} has {item.aspect} {item.before} instead of {item.after}" for item in threads)
