# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the devices of a guest: PCI functions by address, and virtual functions of others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from .._cpus.cpulist import format_cpulist
from .._devices.functions import parse_address
from .guest import CONTROL, Device, GuestError
from .guest_reader import Reader, short
from .network import MAX_NAME, is_unicast

_KEYS: dict[str, tuple[type, ...]] = {
    "address": (str,),
    "physical_function": (str,),
    "mac": (str,),
    "vlan": (int,),
    "trust": (bool,),
    "rate": (int,),
    "spoof_check": (bool,),
    "interrupts": (int,),
}
_OF_A_VF = ("mac", "vlan", "trust", "rate", "spoof_check")
#: The kernel takes a signed number of Mbit/s (linux/if_link.h: ifla_vf_rate).
_MAX_RATE = 2**31 - 1


def read_devices(read: Reader, vcpus: int, realtime: frozenset[int], derive: Callable[[str], str]) -> tuple[Device, ...]:
    """Return a guest's devices; ``derive`` makes a MAC of the name of an interface."""
    found: list[Device] = []
    count: Counter[str] = Counter()  # virtual functions by the function whose they are
    for number, item in enumerate(read.get("devices", [])):
        where = f"{read.where}: devices[{number}]"
        if isinstance(item, str):
            item = {"address": item}
        if not isinstance(item, Mapping):
            raise GuestError(
                f"{where}: {short(item)} is neither a PCI address like '0000:41:00.0' (quoted in YAML) nor a mapping with "
                "address or physical_function"
            )
        given = Reader(item, where, _KEYS)
        device = _read(given, derive, count)
        if device.address and any(device.address == other.address for other in found):
            raise GuestError(f"{where}: {device.address} is listed twice")
        _check_vcpu(given, device, vcpus, realtime)
        found.append(device)
    return tuple(found)


def _read(given: Reader, derive: Callable[[str], str], count: Counter[str]) -> Device:
    if given.has("address") == given.has("physical_function"):
        raise GuestError(f"{given.where}: give either address, or physical_function for one of its virtual functions")
    interrupts = given.get("interrupts")
    if given.has("address"):
        if wrong := [key for key in _OF_A_VF if given.has(key)]:
            raise GuestError(
                f"{given.where}: {', '.join(wrong)} can be set of a virtual function only; name whose it is with physical_function"
            )
        return Device(_address(given, "address"), interrupts=interrupts)
    physical = _physical(given)
    count[physical] += 1
    mac = str(given.get("mac", derive(f"{physical}#{count[physical]}"))).lower()
    if not is_unicast(mac):
        raise GuestError(
            f"{given.where}: mac {given.get('mac')!r} is not a unicast address like '52:54:00:12:34:56' (quoted in YAML)"
        )
    return Device(
        "",
        physical,
        interrupts,
        mac,
        given.has("mac"),
        vlan=given.number("vlan", 0, 1, 4094) if given.has("vlan") else None,
        trust=given.get("trust"),
        rate=given.number("rate", 0, 0, _MAX_RATE) if given.has("rate") else None,
        spoof_check=given.get("spoof_check"),
    )


def _address(given: Reader, key: str) -> str:
    found = parse_address(given.get(key))
    if not found:
        raise GuestError(f"{given.where}: {key} {short(given.get(key))} is no PCI address like '0000:41:00.0' (quoted in YAML)")
    return found


def _physical(given: Reader) -> str:
    """Return the address of a physical function, or the name of its interface."""
    name: str = given.get("physical_function")
    found = parse_address(name)
    if not found and (
        not name or len(name) > MAX_NAME or "/" in name or ":" in name or name.strip() != name or CONTROL.search(name)
    ):
        raise GuestError(
            f"{given.where}: physical_function {short(name)} is neither the name of an interface nor a PCI address like '0000:41:00.0'"
        )
    return found or name


def _check_vcpu(given: Reader, device: Device, vcpus: int, realtime: frozenset[int]) -> None:
    """Refuse interrupts that no vCPU serves, and those of which it is not said which real-time vCPU may be interrupted."""
    if device.interrupts is not None and not 0 <= device.interrupts < vcpus:
        raise GuestError(
            f"{given.where}: interrupts {short(device.interrupts)} is no vCPU of the guest, which has vCPUs {format_cpulist(range(vcpus))}"
        )
    if device.interrupts is None and len(realtime) == vcpus:
        raise GuestError(
            f"{given.where}: the guest has no ordinary vCPU for the device's interrupts; name with interrupts the vCPU that they may "
            "interrupt, such as interrupts: 0"
        )
