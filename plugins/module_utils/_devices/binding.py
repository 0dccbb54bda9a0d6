# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers of PCI functions: handed over to vfio by driverctl, and given back. Edge.

driverctl keeps the hand-over over reboots in /etc/driverctl.d; udev makes it again for each device that appears, virtual functions too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host, Runner
from .marks import PCI
from .pci import VFIO, driver_of, override_file

DRIVERCTL = "/usr/sbin/driverctl"
#: What driverctl keeps for a function that no driver shall have.
_NO_DRIVER = "none"
#: Modules that driverctl does not load itself.
MODULES = (VFIO, "vfio_iommu_type1")


def resource_of(address: str) -> str:
    """Return the name of a function's driver in plans and in the journal."""
    return f"pci:{address}:driver"


def address_in(resource: str) -> str:
    """Return the function of such a name."""
    return resource.split(":", 1)[1].rsplit(":", 1)[0]


def former_names(host: Host) -> dict[str, str]:
    """Return what the interfaces of the functions were called that ovs_dpdk has bound, by address: at vfio they have none.

    A guest's function is not among them, so it is no device of a network.
    """
    found = {address_in(resource): original.get("name") for resource, original in host.journal.of("ovs_dpdk", "driver").items()}
    return {address: name for address, name in found.items() if isinstance(name, str) and name}


def _override(host: Host, address: str) -> str:
    return (host.value(override_file(address)) or "").strip()


def awaits_driver(host: Host, address: str) -> bool:
    """Whether driverctl will bind a function that has no driver yet."""
    return _override(host, address) not in ("", _NO_DRIVER) and not driver_of(host, address)


def is_kept(host: Host, address: str) -> bool:
    """Whether vfio, or a driver of its kind, has a function now and after a boot."""
    driver = driver_of(host, address)
    return "vfio" in driver and _override(host, address) == driver


def kernel_arguments(vendor: str) -> list[str]:
    """Return the kernel arguments by which devices can be given to vfio."""
    return {"GenuineIntel": ["intel_iommu=on", "iommu=pt"], "AuthenticAMD": ["iommu=pt"]}.get(vendor, ["iommu.passthrough=1"])


def plan_modules(host: Host, path: str, module: str, *, due: bool, reason: str) -> None:
    """Plan the file by which vfio is loaded at boot, or its removal."""
    if due:
        text = f"# Written by realtime.kvm (module {module})\n{''.join(f'{name}{chr(10)}' for name in MODULES)}"
        host.set_file(path, text.encode(), reason=reason)
    elif host.exists(path):
        host.restore_files(only=(path,))


def plan_hand_over(host: Host, runner: Runner, address: str, *, name: str, reason: str) -> None:
    """Plan to bind a function to vfio-pci; ``name`` is kept with its original, since the interface goes with the driver.

    One that vfio has already is only kept over boots: driverctl would take it from a guest that runs with it.
    """
    current = driver_of(host, address)
    original = {"driver": current, "override": _override(host, address), "name": name}
    change = Change(resource_of(address), current or None, VFIO, "stall", reason)
    make = partial(_bind, host, runner, address)
    if "vfio" in current:
        change = Change(resource_of(address), f"{current} until a boot", f"{current}, kept over boots", reason=reason)
        make = partial(_keep_override, host, address, current)
    host.change(change, make, kind="driver", original=original)


def _keep_override(host: Host, address: str, driver: str) -> None:
    """Write what driverctl keeps, or remove it; the device keeps the driver that it has."""
    host.write_file(override_file(address), f"{driver}\n".encode() if driver else None)


def _bind(host: Host, runner: Runner, address: str) -> None:
    for module in MODULES:
        runner(["modprobe", module])  # it may be built in; if it is missing, the next step reports it
    driverctl(runner, "set-override", address, VFIO)
    if driver_of(host, address) != VFIO:
        raise HostError(
            f"{address}: driverctl reported no error, but the device is bound to {driver_of(host, address) or 'no driver'}, "
            f"not {VFIO}"
        )


def driverctl(runner: Runner, *arguments: str) -> None:
    """Run driverctl; ``HostError`` when it fails."""
    code, out, err = runner(["driverctl", *arguments])
    if code != 0:
        raise HostError(f"driverctl {' '.join(arguments)} failed: {(err or out).strip()[-300:]}")


def release_unused(
    host: Host, runner: Runner, used: Collection[str], before: Callable[[str], object] = lambda _address: None
) -> None:
    """Plan to return the functions that this owner has bound and that nothing uses any more; ``before`` comes before each."""
    for resource, original in host.entries("driver").items():
        address = address_in(resource)
        if address in used:
            continue
        current, override = driver_of(host, address), _override(host, address)
        gone = not host.exists(f"{PCI}/{address}")
        same = (gone or current == original["driver"]) and override == original["override"]
        was, then = (override, original["override"]) if gone else (current, original["driver"])
        change = None if same else Change(resource, was or None, then or None, "stall", "restored")
        host.restore(change, resource, partial(_release, host, runner, address, original, before))


def _release(host: Host, runner: Runner, address: str, original: dict[str, Any], before: Callable[[str], object]) -> None:
    driver, override = original["driver"], original["override"]
    if not host.exists(f"{PCI}/{address}") or driver_of(host, address) == driver:
        _keep_override(
            host, address, override
        )  # driverctl refuses a device that has gone, and takes the driver from one that is there
        return
    before(address)
    if override and override == (driver or _NO_DRIVER):
        driverctl(runner, "set-override", address, override)
        return
    if driver:
        _unset_override(host, runner, address)
    else:  # no driver is asked whether it takes the function
        driverctl(runner, "--noprobe", "unset-override", address)
    if override:  # of a driver that did not have it: bound by hand meanwhile, or its module is missing
        _keep_override(host, address, override)
    if driver_of(host, address) != driver:
        _give_back(host, runner, address, driver)


def _unset_override(host: Host, runner: Runner, address: str) -> None:
    """Let driverctl take its override back; where no driver takes the function then, that is an error of its, before it removes its file."""
    try:
        driverctl(runner, "unset-override", address)
    except HostError:
        if driver_of(host, address):
            raise
        _keep_override(host, address, "")


def _give_back(host: Host, runner: Runner, address: str, driver: str) -> None:
    """Bind a function to its former driver, or to none, itself.

    driverctl (0.115) tells vfio-pci the id of a device that it hands over (``new_id``), so vfio-pci may take the device again
    when it is probed without an override. Without one, the kernel probes no virtual function whose ``sriov_drivers_autoprobe`` is 0.
    """
    folder = f"{PCI}/{address}"
    if driver:
        runner(["modprobe", driver])  # it may have been unloaded meanwhile, or be built in
    if driver:
        host.write_value(f"{folder}/driver_override", f"{driver}\n")
    if driver_of(host, address):
        host.write_value(f"{folder}/driver/unbind", address)
    if driver:
        host.write_value("/sys/bus/pci/drivers_probe", address)
        host.write_value(f"{folder}/driver_override", "\n")
    if driver_of(host, address) != driver:
        raise HostError(
            f"{address}: it is bound to {driver_of(host, address) or 'no driver'} and not to its former one, {driver or 'none'}; load that driver (modprobe), "
            f"then write {address} to /sys/bus/pci/drivers_probe"
        )
