# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node itself uses: its interfaces, and the devices of its file systems. Edge, read-only.

Such a device is given to no guest and to no switch, whichever driver takes it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .._cpus.answers import answering, decode, plain
from .._cpus.errors import HostError
from .._host.host import Host, Runner
from .._host.paths import config_path
from .._host.resolve import resolve
from .._host.session import ssh_session
from .pci import field_buses, interface_elsewhere, interfaces_of, pppoe_devices, stack_on

_NO_ROUTE = ("blackhole", "prohibit", "throw", "unreachable")
_BLOCK = "/sys/class/block"
#: What udev knows of a disk that belongs to something larger (blkid's names).
_MEMBERS = {
    "LVM2_member": "an LVM volume group", "linux_raid_member": "an md array", "zfs_member": "a ZFS pool", "mpath_member": "a multipath disk",
    "isw_raid_member": "a RAID of the firmware", "ddf_raid_member": "a RAID of the firmware", "bcache": "a bcache set", "drbd": "a DRBD resource",
    "ceph_bluestore": "a Ceph cluster", "stratis": "a Stratis pool",
}  # fmt: skip
_EXPORTS = "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path"
#: udev looks at each disk that appears or changes, and closes it again.
_LOOKS_ON = ("systemd-udevd", "(udev-worker)")
#: The path of a namespace below one controller, and the disk that stands for all its paths (nvme, multipath).
_PATH = re.compile(r"(nvme\d+)c\d+(n\d+)")


@dataclass(frozen=True)
class Use:
    """What the node's own network uses, by interface."""

    reached: Mapping[str, str] = field(default_factory=dict)  # how Ansible came by it
    routed: frozenset[str] = frozenset()  # default routes of every table and family
    addresses: Mapping[str, list[str]] = field(default_factory=dict)
    dialled: frozenset[str] = frozenset()  # below PPPoE, such as a default route by ppp0
    buses: Mapping[str, str] = field(default_factory=dict)  # on which a program of the node has a field bus, with its name
    clock: str = ""  # whose packets or stamps keep the node's clock, by name or PCI address


@dataclass(frozen=True)
class Fault:
    """Why a device is not given away: the interface or disk that shows it, what it is, and what to do where that is special."""

    name: str
    text: str
    remedy: str = ""


def read_use(host: Host, runner: Runner) -> Use:
    """Return the interfaces that the node itself uses; nothing on a captured machine."""
    if host.captured:
        return Use()
    with answering(lambda reason: HostError(f"ip -json printed what cannot be read: {reason}")):
        return _read_use(host, runner)


def _read_use(host: Host, runner: Runner) -> Use:
    shown = show(runner, "address", "show")
    routes = [route for family in ("-4", "-6") for route in show(runner, family, "route", "show", "table", "all", "default")]
    hops = [hop for route in routes if route.get("type") not in _NO_ROUTE for hop in (route, *route.get("nexthops", ()))]
    addresses: dict[str, list[str]] = {}
    local: dict[str, str] = {}  # address to interface, link-local ones too
    for entry in shown:
        infos = [info for info in entry.get("addr_info", ()) if info.get("local")]
        name = str(entry.get("ifname"))
        local.update({str(info["local"]): name for info in infos})
        addresses[name] = [f"{info['local']}/{info['prefixlen']}" for info in infos if info.get("scope") != "link"]
    routed = frozenset(str(hop["dev"]) for hop in hops if "dev" in hop)
    return Use(_reached(host, runner, local), routed, addresses, pppoe_devices(host), field_buses(host), _clock(host))


def _clock(host: Host) -> str:
    """Return the interface that the role time_sync has set up; PTP on Ethernet needs no address there."""
    kept = re.search(r'^  "interface": "([^"]+)"', host.read(config_path("time_sync")) or "", re.MULTILINE)
    return kept[1] if kept else ""


def show(runner: Runner, *arguments: str) -> list[dict[str, Any]]:
    """Return what ip shows."""
    command = ["ip", "-json", *arguments]
    code, out, err = runner(command)
    if code != 0:
        raise HostError(f"{' '.join(command)} failed: {(err or out).strip()[-300:]}")
    with answering(lambda reason: HostError(f"{' '.join(command)} printed what cannot be read: {reason}")):
        shown: list[dict[str, Any]] = decode(out or "[]", [dict])
    return shown


# -- the connection --------------------------------------------------------------------------------


def _reached(host: Host, runner: Runner, local: Mapping[str, str]) -> dict[str, str]:
    session = ssh_session(host)
    if session is None:
        return {}
    client, server = _plain(session.client), _plain(session.server)
    found = {zone: address for address, zone in (client, server) if zone}
    if server[0] in local:
        found[local[server[0]]] = server[0]
    if client[0] and not client[1]:  # answers may leave by another interface
        with suppress(HostError):  # no route: the session is older than a change of the network
            found.update({str(route["dev"]): client[0] for route in show(runner, "route", "get", client[0]) if "dev" in route})
    return {name: address for name, address in found.items() if name != "lo"}


def _plain(text: str) -> tuple[str, str]:
    """Return an address as the kernel writes it, and its interface if it is link-local; two empty texts for anything else."""
    address, _percent, zone = text.partition("%")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "", ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed), zone


# -- what uses a device ----------------------------------------------------------------------------


def network_fault(host: Host, use: Use, address: str) -> Fault | None:
    """Return how the node's own network uses a device: its interface, or one built on it, has a part in that."""
    if not host.captured and interface_elsewhere(host, address):
        text = "has its interface in another network namespace, where a container or a pod uses it"
        return Fault("", text, "give it back to the node first, or choose another device")
    for name in interfaces_of(host, address):
        stack = stack_on(host, name)
        for fault_of in (_reached_by, _routed_by, _addressed, _clocked, _dialled_by, _on_bus):
            for interface in stack:
                text, remedy = fault_of(use, interface, address)
                if text:
                    return Fault(name, f"{text}{_by(interface, name)}", remedy)
        if len(stack) > 1:
            return Fault(name, f"is part of {', '.join(stack[1:])}", "remove it there first")
    return None


def _reached_by(use: Use, interface: str, _address: str) -> tuple[str, str]:
    return (f"is how Ansible reached this node at {use.reached[interface]}" if interface in use.reached else ""), ""


def _routed_by(use: Use, interface: str, _address: str) -> tuple[str, str]:
    return ("carries the default route" if interface in use.routed else ""), ""


def _addressed(use: Use, interface: str, _address: str) -> tuple[str, str]:
    found = use.addresses.get(interface)
    return (f"has the address {found[0]}" if found else ""), ""


def _clocked(use: Use, interface: str, address: str) -> tuple[str, str]:
    text = "keeps the node's clock (time_sync_interface)" if use.clock and use.clock in (interface, address) else ""
    return text, "choose another device, or another interface for the clock"


def _dialled_by(use: Use, interface: str, _address: str) -> tuple[str, str]:
    return ("carries the node's PPPoE connection" if interface in use.dialled else ""), ""


def _on_bus(use: Use, interface: str, _address: str) -> tuple[str, str]:
    text = f"carries the frames of a program of the node ({use.buses[interface]})" if interface in use.buses else ""
    return text, "end that program first, or choose another device"


def _by(interface: str, name: str) -> str:
    return "" if interface == name else f" (through {interface})"


def storage_fault(host: Host, address: str) -> Fault | None:
    """Return how the node's file systems use a device: one of its disks is mounted, swap, or a member of something larger."""
    disks = sorted(_disks(host, address))
    mounted, swap = (_mounted(host), _swap(host)) if disks else ({}, frozenset())
    for name in disks:
        number = host.value(f"{_BLOCK}/{name}/dev") or ""
        where = mounted.get(number) or mounted.get(name)
        if where:
            return Fault(name, f"is mounted at {where}", "unmount it first")
        if name in swap:
            return Fault(name, "is swap space", "switch it off first (swapoff)")
        holders = host.listdir(f"{_BLOCK}/{name}/holders")
        if holders:
            return Fault(name, f"belongs to {', '.join(_holder(host, holder) for holder in holders)}", "remove it there first")
        kind = re.search(r"^E:ID_FS_TYPE=(\S+)$", host.read(f"/run/udev/data/b{number}") or "", re.MULTILINE)
        if kind and kind[1] in _MEMBERS:
            return Fault(name, f"is a member of {_MEMBERS[kind[1]]}", "remove it there first")
    claimed = next((name for name in disks if _is_claimed(host, name)), "")
    if claimed:
        text = "is claimed by the kernel, such as for a file system of several devices (btrfs), a journal, DRBD or an export"
        return Fault(claimed, text, "end that first")
    return None


def _is_claimed(host: Host, name: str) -> bool:
    """Whether something claims a disk or partition as its own; the kernel then refuses another claim, also one that only reads (open(2), O_EXCL)."""
    try:
        os.close(os.open(host.path(f"/dev/{name.replace('!', '/')}"), os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def open_fault(host: Host, address: str) -> Fault | None:
    """Return what uses a disk of a device without a claim: a loop device, the kernel's target of NVMe over Fabrics, or a program."""
    disks = frozenset(_disks(host, address))
    for path, text in _users(host) if disks else ():
        name = _disk_behind(host, path)
        if name in disks:
            return Fault(name, text, "end that first")
    return None


def _users(host: Host) -> Iterator[tuple[str, str]]:
    """Yield the path of what is open, and by whom."""
    for path in host.glob(f"{_BLOCK}/loop*/loop/backing_file"):
        yield host.value(path) or "", f"is behind the loop device {path.split('/')[4]}"
    for path in host.glob(_EXPORTS):
        if host.value(f"{path.rpartition('/')[0]}/enable") == "1":
            yield host.value(path) or "", f"is exported by NVMe over Fabrics as {plain(path.split('/')[6], 80)}"
    for path in host.glob("/proc/[0-9]*/fd/*"):
        with suppress(OSError):
            target, number = os.readlink(host.path(path)), path.split("/")[2]
            name = (host.value(f"/proc/{number}/comm") or "?") if target.startswith("/dev/") else ""
            if name and name not in _LOOKS_ON:
                yield target, f"is open in {plain(name, 20)} (process {number})"


def disk_at(host: Host, address: str, path: str) -> str:
    """Return the disk or partition of a device to which a path leads, empty for none."""
    name = _disk_behind(host, path)
    return name if name and name in _disks(host, address) else ""


def _disk_behind(host: Host, path: str) -> str:
    """Return the name of the device node to which a path leads, perhaps by links; empty for another file."""
    real = resolve(host, path) if path.startswith("/") else ""
    return os.path.basename(real) if real.startswith("/dev/") else ""


def _disks(host: Host, address: str) -> Iterator[str]:
    """Yield the disks of a device and their partitions."""
    for name in host.listdir(_BLOCK):
        if f"/{address}/" in resolve(host, f"{_BLOCK}/{name}"):
            yield name
            path = _PATH.fullmatch(name)
            shared = f"{path[1]}{path[2]}" if path else ""
            yield from (other for other in host.listdir(_BLOCK) if shared and re.fullmatch(rf"{shared}(p\d+)?", other))


def _mounted(host: Host) -> dict[str, str]:
    """Return where devices are mounted, by number and by name: file systems of several devices have numbers of their own."""
    found: dict[str, str] = {}
    for line in (host.read("/proc/1/mountinfo") or host.read("/proc/self/mountinfo") or "").splitlines():
        fields, _dash, rest = line.partition(" - ")
        parts, source = fields.split(), rest.split()
        if len(parts) > 4 and len(source) > 1:
            found.setdefault(parts[2], parts[4])
            if source[1].startswith("/dev/"):
                found.setdefault(os.path.basename(source[1]), parts[4])
    return found


def _swap(host: Host) -> frozenset[str]:
    lines = (host.read("/proc/swaps") or "").splitlines()[1:]
    return frozenset(os.path.basename(line.split()[0]) for line in lines if line.startswith("/dev/"))


def _holder(host: Host, name: str) -> str:
    """Return what holds a disk by the name that people know it by."""
    return host.value(f"{_BLOCK}/{name}/dm/name") or name
