# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's clock in a guest: the module ptp_kvm and its PTP device, which a time service in the guest can follow. Edge."""

from __future__ import annotations

from functools import partial

from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host, Runner

NAME = "ptp_kvm"
#: systemd loads what is named here at each boot.
FILE = "/etc/modules-load.d/realtime-kvm-guest.conf"
TEXT = f"# Written by realtime.kvm (module guest_os)\n{NAME}\n"
#: What the driver calls its clock (drivers/ptp/ptp_kvm_common.c).
CLOCK = "KVM virtual PTP"
RESOURCE = f"kernel module {NAME}"


def find_clock(host: Host) -> str:
    """Return the device of the node's clock, such as /dev/ptp0; empty where there is none."""
    for path in host.glob("/sys/class/ptp/ptp[0-9]*/clock_name"):
        if host.value(path) == CLOCK:
            return f"/dev/{path.split('/')[4]}"
    return ""


def plan_clock(host: Host, runner: Runner) -> None:
    """Plan that the guest has the node's clock, now and after each boot."""
    host.set_file(FILE, TEXT.encode(), reason="the node's clock as a PTP device, after each boot")
    if not find_clock(host):
        change = Change(RESOURCE, "absent", "loaded", reason="the node's clock as a PTP device (/dev/ptp_kvm)")
        host.change(change, partial(_load, host, runner), kind="module")


def _load(host: Host, runner: Runner) -> None:
    _code, out, err = runner(["modprobe", NAME])  # it may be built in
    if not find_clock(host):
        said = (err or out).strip()[-200:]
        raise HostError(
            f"{RESOURCE} gave no clock{f' ({said})' if said else ''}: the node must have the clock source tsc "
            "(/sys/devices/system/clocksource/clocksource0/current_clocksource there), and the guest's kernel the module. Mend that, or set "
            "guest_os_ptp_kvm: false"
        )


def undo_clock(host: Host, runner: Runner) -> None:
    """Plan to unload the module, where this collection has loaded it, and to restore its file."""
    for resource in host.entries("module"):
        loaded = host.exists(f"/sys/module/{NAME}")
        change = Change(resource, "loaded", "absent", reason="restored") if loaded else None
        host.restore(change, resource, partial(_unload, host, runner))
    host.restore_files(only=[FILE])


def _unload(host: Host, runner: Runner) -> None:
    code, out, err = runner(["modprobe", "-r", NAME])
    if code != 0:
        raise HostError(
            f"{RESOURCE} cannot be unloaded ({(err or out).strip()[-200:]}); stop the program that uses {find_clock(host) or 'its device'} "
            "(chrony, phc2sys), then run undo again"
        )
