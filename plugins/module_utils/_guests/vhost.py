# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a guest's vhost threads run: beside its emulator, or beside its first ordinary vCPU. Pure.

The kernel gives all vhost threads of a guest one name, so they have one place. The place is a thread's, not a CPU's: they
follow it. It is in the domain's metadata, where libvirt's hook finds it at the guest's start.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from .guest import Guest, GuestError, Scheduler

#: Attributes of our element in the metadata.
PLACE, POLICY = "vhost", "vhost_scheduler"

OTHER = "other"


def with_vhost(guest: Guest, place: str | None, scheduler: Scheduler | None) -> Guest:
    """Return a guest with the place and policy of its vhost threads, which a real-time network of the kernel decides unless they are given."""
    where = f"realtime_guests: {guest.name}"
    served = any(item.network.by_vhost for item in guest.networks)
    if place == "vcpu" and guest.ordinary_vcpu is None:
        what = (
            "all of its vCPUs are real-time"
            if guest.realtime
            else "no vCPU of a guest without realtime_vcpus has a CPU of its own"
        )
        raise GuestError(
            f"{where}: vhost: vcpu needs an ordinary vCPU, but {what}; give vhost: emulator, with emulator: own where it is real-time"
        )
    if place is None and served:
        place = "emulator" if guest.ordinary_vcpu is None else "vcpu"
    if scheduler and place is None:
        raise GuestError(f"{where}: vhost_scheduler needs vhost, the thread beside which vhost threads run: emulator or vcpu")
    own = place == "vcpu" or (place == "emulator" and guest.emulator == "own")
    if scheduler and not own:
        raise GuestError(
            f"{where}: vhost_scheduler needs vhost: vcpu or emulator: own; "
            "real-time vhost threads on housekeeping CPUs would starve the host's own services"
        )
    if scheduler is None and own and served:
        scheduler = Scheduler("fifo", 1)
    elif scheduler is None and place == "emulator":
        scheduler = guest.emulator_scheduler
    return replace(guest, vhost=place, vhost_scheduler=scheduler)


def vhost_marks(guest: Guest) -> dict[str, str]:
    """Return the attributes of the metadata that tell libvirt's hook the place of vhost threads; none where they are left alone."""
    beside = guest.vhost_beside
    return {PLACE: beside, POLICY: scheduler_text(guest.vhost_scheduler)} if beside else {}


def scheduler_text(scheduler: Scheduler | None) -> str:
    """Return a policy as the definition and /proc's readers have it: ``fifo 1``, ``other``."""
    return f"{scheduler.policy} {scheduler.priority}" if scheduler else OTHER


def read_vhost(mark: ET.Element | None) -> tuple[str, str] | None:
    """Return the role beside which a domain's vhost threads run, and their policy; None where its metadata does not tell."""
    beside = "" if mark is None else mark.get(PLACE, "")
    policy = "" if mark is None else mark.get(POLICY, "")
    if not re.fullmatch(r"emulator|vcpu[0-9]{1,3}", beside) or not re.fullmatch(r"other|(fifo|rr) [1-9][0-9]?", policy):
        return None
    return beside, policy
