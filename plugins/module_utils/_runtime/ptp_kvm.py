# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's clock in a guest: the module ptp_kvm and its PTP device, which a time service in the guest can follow. Edge."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.kernel import lacks_module, read_machine

NAME = "ptp_kvm"
#: systemd loads what is named here at each boot.
FILE = "/etc/modules-load.d/realtime-kvm-guest.conf"
TEXT = f"# Written by realtime.kvm (module guest_os)\n{NAME}\n"
#: What the driver calls its clock (drivers/ptp/ptp_kvm_common.c).
CLOCK = "KVM virtual PTP"
RESOURCE = f"kernel module {NAME}"
#: The clock sources of a node with which KVM answers for its clock (gtod_is_based_on_tsc, arch/x86/kvm/x86.c; drivers/firmware/smccc).
NODE_SOURCES = ("tsc", "hyperv_clocksource_tsc_page", "arch_sys_counter")
_SOURCES = "/sys/devices/system/clocksource/clocksource0/available_clocksource"


def find_clock(host: Host) -> str:
    """Return the device of the node's clock, such as /dev/ptp0; empty where there is none."""
    for path in host.glob("/sys/class/ptp/ptp[0-9]*/clock_name"):
        if host.value(path) == CLOCK:
            return f"/dev/{path.split('/')[4]}"
    return ""


def find_obstacle(host: Host, node_source: str) -> str:
    """Return why a guest cannot have the clock; empty where nothing speaks against it. ``node_source``: the node's clock source, empty: not known."""
    if release := lacks_module(host, NAME):
        return f"the guest's kernel {release} has no module {NAME}"
    sources = (host.value(_SOURCES) or "").split()
    if sources and read_machine(host).x86 and "kvm-clock" not in sources:  # the driver reads it
        return f"the guest has no clock source kvm-clock, but {', '.join(sources)} (its definition, or no-kvmclock among its kernel's arguments)"
    if node_source and node_source not in NODE_SOURCES:
        return f"the clock source of its node is {node_source[:40]!r}, not tsc (dmesg there says why)"
    return ""


def plan_clock(host: Host, runner: Runner, *, required: bool = True) -> None:
    """Plan that the guest has the node's clock; unless it is ``required``, the kernel's refusal becomes a note."""
    there = bool(find_clock(host))
    if not there:
        change = Change(RESOURCE, "absent", "loaded", reason="the node's clock as a PTP device (/dev/ptp_kvm)")
        host.change(change, partial(_load, host, runner, None if required else change), kind="module")
    if there or host.dry:
        _name(host)


def keep_clock(host: Host) -> None:
    """Plan that the clock is there after each boot, once it is there: a module that gives none would fail then."""
    if find_clock(host):
        _name(host)


def _name(host: Host) -> None:
    host.set_file(FILE, TEXT.encode(), reason="the node's clock as a PTP device, after each boot")


def _load(host: Host, runner: Runner, optional: Change | None) -> None:
    _code, out, err = runner(["modprobe", NAME])  # it may be built in
    if find_clock(host):
        return
    said = (err or out).strip()[-200:]
    why = (
        f"{RESOURCE} gave no clock{f' ({said})' if said else ''}: the node must have the clock source tsc "
        "(/sys/devices/system/clocksource/clocksource0/current_clocksource there). Mend that, or set guest_os_ptp_kvm: false"
    )
    if optional is None:
        raise HostError(why)
    host.take_back(optional)
    host.notes.append(f"guest_os: the guest does without, and each run tries again: {why}")


def undo_clock(host: Host, runner: Runner) -> None:
    """Plan to unload the module, where this collection has loaded it, and to restore its file; programs that use the clock are named."""
    for resource in host.entries("module"):
        loaded = host.exists(f"/sys/module/{NAME}")
        if users := _users(host, find_clock(host)) if loaded else []:
            host.notes.append(
                f"{', '.join(users)} use the node's clock ({find_clock(host)}), which goes: take it out of their configuration (chrony: the line refclock PHC)"
            )
        change = Change(resource, "loaded", "absent", reason="restored") if loaded else None
        host.restore(change, resource, partial(_unload, host, runner))
    host.restore_files(only=[FILE])
    host.restore_links()


def _users(host: Host, device: str) -> list[str]:
    """Return the programs that hold the clock's device open: the kernel unloads its driver all the same."""
    found = set()
    for path in host.glob("/proc/[0-9]*/fd/*") if device else ():
        with suppress(OSError):
            if os.readlink(host.path(path)) == device:
                found.add(f"{host.value(path.rpartition('/fd/')[0] + '/comm') or '?'} (process {path.split('/')[2]})")
    return sorted(found)


def _unload(host: Host, runner: Runner) -> None:
    code, out, err = runner(["modprobe", "-r", NAME])
    if code != 0:
        raise HostError(
            f"{RESOURCE} cannot be unloaded ({(err or out).strip()[-200:]}); stop the program that uses {find_clock(host) or 'its device'} "
            "(chrony, phc2sys), then run undo again"
        )
