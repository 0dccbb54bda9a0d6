# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface that a clock follows: whether it can, and who stamps its packets. Edge, read-only.

ethtool's ETHTOOL_GET_TS_INFO (include/uapi/linux/ethtool.h, net_tstamp.h) says what a driver stamps, and the number of the NIC's clock (/dev/ptpN).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from .._host.host import Host
from .._host.resolve import resolve
from .wanted import CHRONY, TimeSyncError, Wanted

_NET, _PCI = "/sys/class/net", "/sys/bus/pci/devices"
_ADDRESS = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
#: Drivers that take a NIC from the kernel.
_USERSPACE = ("vfio-pci", "uio_pci_generic", "igb_uio")
_SIOCETHTOOL, _GET_TS_INFO = 0x8946, 0x41
#: SOF_TIMESTAMPING_*: TX, RX and reporting, by the NIC and by the kernel.
_HARDWARE, _SOFTWARE = 0x1 | 0x4 | 0x40, 0x2 | 0x8 | 0x10
_NAMED = 12


@dataclass(frozen=True)
class Nic:
    """An interface: who can stamp its packets, and the number of its clock (-1: it has none)."""

    name: str
    hardware: bool = False
    software: bool = False
    clock: int = -1


def find_nic(host: Host, wanted: Wanted, used: Mapping[str, str]) -> Nic:
    """Return the interface that is asked for; ``TimeSyncError`` for one that cannot carry the clock.

    ``used``: the switch's devices, by name or PCI address, each with its network.
    """
    name = _name_of(host, wanted.interface, used)
    _check_used(host, wanted.interface, name, used)
    _check_kind(host, name, ptp=wanted.source != CHRONY, layer2=wanted.transport == "L2")
    nic = read_nic(host, name)
    stamps = [word for word, has in (("hardware", nic.hardware), ("software", nic.software)) if has]
    asked = "hardware" if wanted.source == CHRONY and wanted.stamping == "auto" else wanted.stamping
    if asked in ("hardware", "software") and asked not in stamps:
        wayout = (
            "leave time_sync_interface out"
            if wanted.source == CHRONY
            else "choose time_sync_stamping: auto"
            if stamps
            else "choose another NIC"
        )
        raise TimeSyncError(
            f"time_sync_interface: {name} stamps no packets in {asked} (it has: {', '.join(stamps) or 'neither'}); {wayout}"
        )
    if not stamps:
        raise TimeSyncError(
            f"time_sync_interface: {name} stamps packets neither in hardware nor in software, so PTP cannot work on it; choose another NIC"
        )
    return nic


def stamped(wanted: Wanted, nic: Nic) -> str:
    """Return who stamps the packets: the NIC where it can and may."""
    return "hardware" if nic.hardware and wanted.stamping != "software" else "software"


# -- which -----------------------------------------------------------------------------------------


def _name_of(host: Host, given: str, used: Mapping[str, str]) -> str:
    """Return the interface's name; a PCI address may stand for it."""
    if not _ADDRESS.fullmatch(given):
        if not host.exists(f"{_NET}/{given}/address"):
            raise _no_interface(host, given, used)
        return given
    if not host.exists(f"{_PCI}/{given}"):
        raise TimeSyncError(f"time_sync_interface: the node has no PCI device {given}; lspci lists them")
    driver = os.path.basename(resolve(host, f"{_PCI}/{given}/driver")) if host.exists(f"{_PCI}/{given}/driver") else ""
    if driver in _USERSPACE:
        raise _taken(given, f"bound to {driver}")
    names = host.listdir(f"{_PCI}/{given}/net")
    if len(names) != 1:
        raise TimeSyncError(
            f"time_sync_interface: PCI device {given} has {len(names)} network interfaces ({', '.join(names[:_NAMED]) or 'driver ' + (driver or 'none')}); "
            "give the interface's name"
        )
    return names[0]


def _no_interface(host: Host, given: str, used: Mapping[str, str]) -> TimeSyncError:
    if given in used:
        return _taken(given, f"the switch's, for network {used[given]}")
    for entry in host.journal.entries.values():
        if entry["kind"] == "driver" and entry["before"].get("name") == given:
            return _taken(given, "bound to the switch (DPDK)" if entry["owner"] == "ovs_dpdk" else "given to a guest (devices)")
    names = [name for name in host.listdir(_NET) if host.exists(f"{_NET}/{name}/device")]
    return TimeSyncError(
        f"time_sync_interface: the node has no interface {given}; it has {', '.join(names[:_NAMED]) or 'no NIC'}"
    )


def _taken(given: str, why: str) -> TimeSyncError:
    return TimeSyncError(
        f"time_sync_interface: {given} is {why}, so the kernel's network does not have it, and PTP cannot use it; give the clock a NIC of its own"
    )


def _check_used(host: Host, given: str, name: str, used: Mapping[str, str]) -> None:
    """Refuse a NIC that the switch has, or will have."""
    address = os.path.basename(resolve(host, f"{_NET}/{name}/device")) if host.exists(f"{_NET}/{name}/device") else ""
    for one in dict.fromkeys((given, name, address, address.lower())):
        if one in used:
            raise _taken(given, f"the switch's, for network {used[one]}")


def _check_kind(host: Host, name: str, *, ptp: bool, layer2: bool) -> None:
    base = f"{_NET}/{name}"
    kinds = {
        "bridge": "a bridge; name the NIC below it, if it is no port of it, or one beside it",
        "bonding": "a bond, whose ports have clocks of their own; name one of its ports, with time_sync_transport: L2",
        "wireless": "wireless, where packets wait for the air and stamps mean nothing; name a wired NIC",
        "phy80211": "wireless, where packets wait for the air and stamps mean nothing; name a wired NIC",
        "tun_flags": "a tunnel's or a guest's end; name a NIC",
    }
    for file, why in kinds.items():
        if host.exists(f"{base}/{file}"):
            raise TimeSyncError(f"time_sync_interface: {name} is {why}")
    if name == "lo":
        raise TimeSyncError("time_sync_interface: lo leads nowhere; name a NIC")
    master = os.path.basename(resolve(host, f"{base}/master")) if host.exists(f"{base}/master") else ""
    if master and ptp and not (layer2 and host.exists(f"{base}/bonding_slave")):
        below = "a bond" if host.exists(f"{base}/bonding_slave") else "a bridge or switch"
        raise TimeSyncError(
            f"time_sync_interface: {name} is a port of {master}, {below}, which takes its packets before PTP sees them; name a NIC of its own"
            + (", or set time_sync_transport: L2" if below == "a bond" else "")
        )


# -- what it can -----------------------------------------------------------------------------------


def read_nic(host: Host, name: str) -> Nic:
    """Return what an interface can; a copy of a machine's files only shows whether there is a clock."""
    if host.root:
        clocks = [found for found in host.listdir(f"{_NET}/{name}/device/ptp") if re.fullmatch(r"ptp\d+", found)]
        return Nic(name, bool(clocks), True, int(clocks[0][3:]) if clocks else -1)
    try:
        flags, clock = _ask(name)
    except OSError:
        return Nic(name)
    hardware = flags & _HARDWARE == _HARDWARE and clock >= 0
    return Nic(name, hardware, flags & _SOFTWARE == _SOFTWARE, clock)


def _ask(name: str) -> tuple[int, int]:
    """Return the flags of SOF_TIMESTAMPING and the number of the clock."""
    info = ctypes.create_string_buffer(struct.pack("=I", _GET_TS_INFO), 44)
    request = struct.pack("16sP", name.encode(), ctypes.addressof(info)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
    _command, flags, clock = struct.unpack_from("=IIi", info.raw)
    return flags, clock
