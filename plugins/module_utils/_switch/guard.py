# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses devices that the node lives on, or that cannot be handed over, whichever driver the switch uses. Edge, read-only.

DPDK takes what a device receives with either driver: vfio-pci removes the interface, a bifurcated driver leaves it there
without its traffic.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .._cpus.answers import answering, decode
from .._cpus.errors import HostError
from .._guests.network import Network
from .._host.host import Host, Runner
from .._host.session import ssh_session
from .._interrupts.affinity import printable
from .devices import PCI, VFIO, driver_of, interface_elsewhere, interfaces_of, pppoe_devices, stack_on
from .plan import SwitchError

#: Drivers that DPDK's own works through, so that a device must stay bound to them, and DPDK's name for each
#: (DPDK, guides: linux_gsg/linux_drivers, "Bifurcated Driver"; nics/mlx4, nics/mlx5 and nics/mana, "Prerequisites").
BIFURCATED = {"mlx4_core": "mlx4", "mlx5_core": "mlx5", "mana": "mana"}
#: What may hold other devices of a group that is given away (drivers/iommu/iommu.c: driver_managed_dma), beside vfio's own.
_HARMLESS = ("", "pci-stub")
_BRIDGE = "0x0604"
_NO_ROUTE = ("blackhole", "prohibit", "throw", "unreachable")


@dataclass(frozen=True)
class Use:
    """What the node's own network uses, by interface."""

    reached: Mapping[str, str] = field(default_factory=dict)  # how Ansible came by it
    routed: frozenset[str] = frozenset()  # default routes of every table and family
    addresses: Mapping[str, list[str]] = field(default_factory=dict)
    dialled: frozenset[str] = frozenset()  # below PPPoE, such as a default route by ppp0


def read_use(host: Host, runner: Runner) -> Use:
    """Return the interfaces that the node itself uses; nothing on a captured machine."""
    if host.captured:
        return Use()
    with answering(lambda reason: HostError(f"ip -json printed what cannot be read: {reason}")):
        return _read_use(host, runner)


def _read_use(host: Host, runner: Runner) -> Use:
    shown = _show(runner, "address", "show")
    routes = [route for family in ("-4", "-6") for route in _show(runner, family, "route", "show", "table", "all", "default")]
    hops = [hop for route in routes if route.get("type") not in _NO_ROUTE for hop in (route, *route.get("nexthops", ()))]
    addresses: dict[str, list[str]] = {}
    local: dict[str, str] = {}  # address to interface, link-local ones too
    for entry in shown:
        infos = [info for info in entry.get("addr_info", ()) if info.get("local")]
        name = str(entry.get("ifname"))
        local.update({str(info["local"]): name for info in infos})
        addresses[name] = [f"{info['local']}/{info['prefixlen']}" for info in infos if info.get("scope") != "link"]
    routed = frozenset(str(hop["dev"]) for hop in hops if "dev" in hop)
    return Use(_reached(host, runner, local), routed, addresses, pppoe_devices(host))


def _show(runner: Runner, *arguments: str) -> list[dict[str, Any]]:
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
            found.update({str(route["dev"]): client[0] for route in _show(runner, "route", "get", client[0]) if "dev" in route})
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


# -- refusals --------------------------------------------------------------------------------------


def check_unused(host: Host, use: Use, address: str, network: Network) -> None:
    """Refuse a device of the node's own network: its interface, or one built on it, has a part in that."""
    if not host.captured and interface_elsewhere(host, address):
        raise _refusal(
            f"realtime_networks: {network.name}: device {network.device} has its interface in another network namespace, where a container or a "
            "pod uses it; give it back to the node first, or choose another device"
        )
    for name in interfaces_of(host, address):
        stack = stack_on(host, name)
        where = f"realtime_networks: {network.name}: device {name}"
        remedy = "the switch would take it from the node; choose another device"
        for interface in stack:
            if interface in use.reached:
                reached = use.reached[interface]
                raise _refusal(f"{where} is how Ansible reached this node at {reached}{_by(interface, name)}; {remedy}")
        for interface in stack:
            if interface in use.routed:
                raise _refusal(f"{where} carries the default route{_by(interface, name)}; {remedy}")
        for interface in stack:
            if use.addresses.get(interface):
                raise _refusal(f"{where} has the address {use.addresses[interface][0]}{_by(interface, name)}; {remedy}")
        for interface in stack:
            if interface in use.dialled:
                raise _refusal(f"{where} carries the node's PPPoE connection{_by(interface, name)}; {remedy}")
        if len(stack) > 1:
            raise _refusal(f"{where} is part of {', '.join(stack[1:])}; remove it there first")


def _refusal(text: str) -> SwitchError:
    return SwitchError(printable(text))  # whoever may rename an interface must not reach the terminal


def _by(interface: str, name: str) -> str:
    return "" if interface == name else f" (through {interface})"


def check_driver(host: Host, address: str, network: Network) -> None:
    """Refuse to take a device from a driver that DPDK needs."""
    driver = driver_of(host, address)
    if driver in BIFURCATED:
        raise _refusal(
            f"realtime_networks: {network.name}: device {network.device} must stay bound to {driver}, through which DPDK's driver "
            f"{BIFURCATED[driver]} works; give the network driver: keep"
        )


def check_virtual_functions(host: Host, address: str, network: Network) -> None:
    """Refuse to take a device that would lose its virtual functions."""
    count = host.value(f"{PCI}/{address}/sriov_numvfs") or "0"
    if count != "0":
        raise _refusal(
            f"realtime_networks: {network.name}: device {network.device} has {count} virtual functions, which it would lose; "
            "name one of them, or remove them first"
        )


def check_group(host: Host, address: str, network: Network, given: Collection[str], arguments: str) -> None:
    """Refuse a device without an IOMMU group, or whose group has members that the kernel uses.

    ``given`` are the devices that vfio gets in this run, ``arguments`` the kernel arguments of an IOMMU.
    """
    where = f"realtime_networks: {network.name}: device {network.device} cannot be given to {VFIO}"
    group = f"{PCI}/{address}/iommu_group"
    if not host.exists(group):
        message = (
            f"{where}, since the node runs without IOMMU; switch it on in the firmware and give the kernel {arguments} "
            "(rt_kernel_arguments)"
        )
        if not host.dry:
            raise _refusal(message)
        host.notes.append(f"{message}; the real run refuses until then")
        return
    others = [other for other in host.listdir(f"{group}/devices") if other not in given and not _harmless(host, other)]
    if others:
        raise _refusal(
            f"{where}: the kernel uses other members of its IOMMU group, which can only be given as a whole: "
            f"{', '.join(_described(host, other) for other in others)}; unbind them or bind them to {VFIO} (driverctl), or use a slot "
            "or a device whose group has no others"
        )


def _harmless(host: Host, address: str) -> bool:
    driver = driver_of(host, address)
    bridge = (host.value(f"{PCI}/{address}/class") or "").startswith(_BRIDGE)
    return bridge or driver in _HARMLESS or "vfio" in driver  # vfio-pci, mlx5_vfio_pci and the like


def _described(host: Host, address: str) -> str:
    names = interfaces_of(host, address)
    return f"{address} ({' '.join([*names, driver_of(host, address)])})"
