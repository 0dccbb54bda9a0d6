# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual functions: how many a physical function has, made and removed. Edge.

The kernel accepts a number only while there are none (Documentation/PCI/pci-iov-howto.rst), so a new number first removes them all.
They are made without a driver of the node (``sriov_drivers_autoprobe``): no interface appears that a network manager would configure.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from .._cpus.answers import printable
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host
from .binding import awaits_driver
from .choice import DeviceError
from .functions import Function, is_address, parse_address
from .group import described
from .marks import PCI
from .pci import address_of, driver_of, interfaces_of, is_up, read_function
from .use import Use, network_fault, open_fault, storage_fault

_VARIABLE = "kvm_host_virtual_functions"
_REASON = "virtual functions for guests"
#: How long the boot service waits for the drivers of physical functions, in all.
WAIT_S = 30.0
_STEP_S = 0.5
#: Drivers that make virtual functions only while their interface is up (bnxt_sriov_configure: "Reject SRIOV config request since if is down").
_WHILE_UP = ("bnxt_en",)


def number_file(address: str) -> str:
    """Return the kernel file that holds how many virtual functions a physical one has."""
    return f"{PCI}/{address}/sriov_numvfs"


def _autoprobe_file(address: str) -> str:
    return f"{PCI}/{address}/sriov_drivers_autoprobe"


def is_number_file(path: str) -> bool:
    """Whether a kernel file holds how many virtual functions a physical one has."""
    return path.startswith(f"{PCI}/") and path.endswith("/sriov_numvfs")


def resolve_functions(host: Host, wanted: Mapping[str, Any]) -> dict[str, int]:
    """Return the variable's numbers by address; a function that is not there, or cannot have so many, is refused."""
    found: dict[str, int] = {}
    for key, count in wanted.items():
        where = f"{_VARIABLE}: {key}"
        address = parse_address(str(key)) or address_of(host, str(key))
        function = read_function(host, address) if address else None
        if function is None:
            raise DeviceError(printable(f"{where} is not on this node; functions that can have virtual ones are: {_known(host)}"))
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise DeviceError(
                f"{where}: {count!r} is not a number of virtual functions; give 1 to {function.total}, or 0 for none"
            )
        if not function.total:
            raise DeviceError(printable(f"{where} can have no virtual functions; functions that can are: {_known(host)}"))
        if count > function.total:
            raise DeviceError(
                f"{where}: {count} virtual functions are asked for, and it can have at most {function.total} (sriov_totalvfs)"
            )
        if not function.driver:
            raise DeviceError(
                f"{where}: {function.address} is bound to no driver, and only its network driver sets virtual functions up; load that first"
            )
        if "vfio" in function.driver:
            raise DeviceError(
                f"{where}: {function.address} is bound to {function.driver}, and only its network driver sets virtual functions up; give it back "
                f"(driverctl unset-override {function.address})"
            )
        if found.setdefault(function.address, count) != count:
            raise DeviceError(f"{where}: {function.address} is named twice, with different numbers")
    return found


def _known(host: Host) -> str:
    functions = [read_function(host, address) for address in host.listdir(PCI) if is_address(address)]
    return ", ".join(described(function) for function in functions if function and function.total) or "none"


def check_functions(host: Host, use: Use, counts: Mapping[str, int]) -> None:
    """Refuse another number of virtual functions while one of them is in use; ``use``: what the node's own network uses."""
    for address, count in counts.items():
        function = read_function(host, address)
        if function is None or len(function.virtual) in (0, count):
            continue
        used = _used(host, use, function)
        if used:
            raise DeviceError(
                printable(
                    f"{_VARIABLE}: {address} has {len(function.virtual)} virtual functions, and the kernel changes that number to {count} only by "
                    f"removing all of them first; in use are {', '.join(used)}. Take them from their guests first (and release their drivers), or keep "
                    f"{len(function.virtual)}"
                )
            )


def _used(host: Host, use: Use, function: Function) -> list[str]:
    """Return the virtual functions in use: bound for a guest, a switch or a program, or part of the node's network or file systems."""
    members = [found for address in function.virtual for found in [read_function(host, address)] if found]
    return [described(item) for item in members if _is_used(host, use, item)]


def _is_used(host: Host, use: Use, function: Function) -> bool:
    address = function.address
    return (
        any(word in function.driver for word in ("vfio", "uio"))
        or (network_fault(host, use, address) or storage_fault(host, address) or open_fault(host, address)) is not None
    )


def plan_functions(host: Host, counts: Mapping[str, int]) -> None:
    """Plan the numbers of virtual functions by address; what cannot be planned is noted, since other values must not wait for it."""
    for address, count in counts.items():
        path = number_file(address)
        current = host.value(path)
        if current is None:
            host.notes.append(f"{address} is not there, or can have no virtual functions, so none are made ({_VARIABLE})")
            continue
        if count and (current != str(count) or path in host.entries("value")):  # what others have made keeps its drivers
            host.set_value(_autoprobe_file(address), "0", reason="virtual functions for guests get no driver of the node")
        if current != str(count):
            change = Change(path, current, str(count), "stall" if current == "0" else "guest", _REASON)
            host.change(change, partial(_set, host, path, str(count)), kind="value")


def _set(host: Host, path: str, count: str) -> None:
    try:
        if host.value(path) not in ("0", count):
            host.write_value(path, "0")
        if host.value(path) != count:
            host.write_value(path, count)
    except HostError as error:
        raise HostError(
            f"{error}; the kernel's log has the driver's reason (journalctl -k): mostly too little address space or too few interrupt vectors "
            "(firmware: SR-IOV, Above 4G Decoding), or a driver that makes no virtual functions by /sys"
        ) from None
    if host.value(path) != count:
        down = [name for name in interfaces_of(host, path.split("/")[-2]) if not is_up(host, name)]
        why = f"; {down[0]} is down, and some drivers (bnxt_en) make them only while it is up: bring it up in the node's network configuration"
        raise HostError(f"{path}: {count} was written, but the kernel shows {host.value(path)}{why if down else ''}")


def restore_functions(host: Host, use: Use, keep: Iterable[str] = (), *, guests_first: bool = False) -> None:
    """Plan to restore the numbers that this collection has changed, but for the functions in ``keep``; refused while one is in use.

    ``guests_first``: the guests lose their devices before the real run comes here, as in undo.
    """
    kept = {number_file(address) for address in keep}
    for path, original in host.entries("value").items():
        if not is_number_file(path) or path in kept:
            continue
        address, current = path.split("/")[-2], host.value(path)
        if current is None or current == original:
            host.restore_values(only=[_autoprobe_file(address)])
            host.restore(None, path, lambda: None)
            continue
        function = read_function(host, address)
        used = _used(host, use, function) if function else []
        if used:
            text = printable(f"{address} keeps its {current} virtual functions while they are in use: {', '.join(used)}")
            if not guests_first:
                raise DeviceError(
                    f"{text}; take them from their guests in a run of its own first, then leave {address} out of {_VARIABLE}"
                )
            if not host.dry:
                raise HostError(f"{text}; take them from their guests first (undo of the rt_guest role)")
            host.notes.append(f"{text}; the real run removes them after the guests' devices")
        host.restore_values(only=[_autoprobe_file(address)])  # before: those that are made again have drivers of the node again
        change = Change(path, current, original, "stall", "restored")
        host.restore(change, path, partial(_set, host, path, str(original)))


def await_drivers(host: Host, counts: Mapping[str, Any]) -> None:
    """Wait until the drivers of physical functions are there, and their interfaces up where the driver needs that.

    The boot service starts before udev has loaded all of them, and before the network.
    """
    for _attempt in range(int(WAIT_S / _STEP_S)):
        if all(_is_ready(host, address) or not host.exists(f"{PCI}/{address}") for address in counts):
            return
        time.sleep(_STEP_S)


def _is_ready(host: Host, address: str) -> bool:
    driver = driver_of(host, address)
    names = interfaces_of(host, address)
    return bool(driver) and (driver not in _WHILE_UP or any(is_up(host, name) for name in names))


def await_overrides(host: Host, counts: Mapping[str, Any]) -> None:
    """Wait until vfio has the virtual functions that driverctl hands over: udev does that later, and libvirt starts guests after this service."""
    for _attempt in range(int(WAIT_S / _STEP_S)):
        functions = [function for address in counts for function in [read_function(host, address)] if function]
        if not any(awaits_driver(host, address) for function in functions for address in function.virtual):
            return
        time.sleep(_STEP_S)
