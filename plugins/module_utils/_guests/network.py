# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that guests are attached to, as the inventory names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.errors import RefusalError
from .._cpus.suggest import unknown_keys

#: Where QEMU listens for the switch; only root and QEMU's group may enter.
SOCKET_DIR = "/run/realtime-kvm/vhost"

#: Linux: IFNAMSIZ is 16 with the final zero; a bridge is an interface too.
MAX_NAME = 15
#: unix(7): sun_path has 108 bytes with the final zero.
MAX_SOCKET_PATH = 107

#: Of Ethernet, in bytes (RFC 894).
DEFAULT_MTU = 1500

#: The bandwidth of a physical network that placement counts, in kbit/s, unless given; and the most that it can (a signed 32-bit number).
DEFAULT_KBPS = 1_000_000
MAX_KBPS = 2**31 - 1
#: Neutron: provider:physical_network has at most 64 characters (neutron_lib, ``api/definitions/provider_net.py``).
MAX_PHYSICAL_NETWORK = 64

DRIVERS = ("vfio-pci", "keep")
STATES = ("present", "absent")
#: The DPDK switch, a bridge of the kernel, or macvtap on a device.
DATAPATHS = ("switch", "bridge", "macvtap")
#: What only the switch does, with the values that mean nothing was given.
_OF_SWITCH = {"vlan": None, "driver": "vfio-pci", "mtu": DEFAULT_MTU, "queues": 1, "physical_network": None, "kbps": DEFAULT_KBPS}

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
#: It is part of mappings (``name:bridge``), of a section's name in nova.conf and of a trait.
_PHYSICAL_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PCI = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class NetworkError(RefusalError):
    """A network is described wrongly; the message names the variable, the network and what would work."""


@dataclass(frozen=True)
class Network:
    """One network: a userspace bridge of the DPDK switch, a bridge of the kernel, or macvtap on a device.

    ``realtime`` is on the switch unless ``datapath`` names another; there the kernel's vhost threads serve the guests.
    """

    name: str
    bridge: str  # empty with macvtap
    realtime: bool = True
    datapath: str | None = None  # None: the switch if it is real-time, else a bridge of the kernel
    vlan: int | None = None  # access VLAN of the guests' ports
    device: str | None = None  # interface name or PCI address of the physical port
    driver: str = "vfio-pci"
    mtu: int = DEFAULT_MTU  # bytes
    queues: int = 1  # receive queues of the physical port
    physical_network: str | None = None  # its name in Neutron
    kbps: int = DEFAULT_KBPS  # bandwidth that placement counts, each way
    state: str = "present"

    @property
    def on_switch(self) -> bool:
        """Whether the DPDK switch serves it."""
        return self.realtime and self.datapath in (None, "switch")

    @property
    def macvtap(self) -> bool:
        """Whether guests have macvtap interfaces on its device."""
        return self.datapath == "macvtap"

    @property
    def by_vhost(self) -> bool:
        """Whether it is a real-time network that threads of the kernel serve, without a polling core."""
        return self.realtime and not self.on_switch

    @property
    def place(self) -> str:
        """What guests are attached to."""
        return f"macvtap on {self.device}" if self.macvtap else f"bridge {self.bridge}"

    @property
    def device_is_address(self) -> bool:
        """Whether the physical port is named by its PCI address."""
        return self.device is not None and _PCI.fullmatch(self.device) is not None


def is_unicast(mac: str) -> bool:
    """Whether a text in lower case is an address that an interface can have."""
    return bool(_MAC.fullmatch(mac)) and not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00"


def port_name(guest: str, network: str) -> str:
    """Return the name of a guest's port on the switch; network names have no dot, so it is unique."""
    return f"{guest}.{network}"


def socket_path(port: str) -> str:
    """Return where QEMU listens for the switch, for a port."""
    return f"{SOCKET_DIR}/{port}"


def parse_networks(items: Sequence[Mapping[str, Any]]) -> dict[str, Network]:
    """Return the networks by name; ``NetworkError`` names the network and its fault."""
    networks: dict[str, Network] = {}
    for number, item in enumerate(items):
        network = _parse(item, f"realtime_networks[{number}]")
        if network.name in networks:
            raise NetworkError(f"realtime_networks: {network.name} is listed twice; every network needs its own name")
        networks[network.name] = network
    _check_unique(networks)
    return networks


def _parse(item: Mapping[str, Any], where: str) -> Network:
    if not isinstance(item, Mapping):
        raise NetworkError(f"{where}: {item!r} is not a mapping with at least a name")
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise NetworkError(f"{where}: name {name!r} must be 1 to {MAX_NAME} characters a-z, 0-9 and -, the first a letter")
    where = f"realtime_networks: {name}"
    unknown = set(item) - set(Network.__dataclass_fields__)
    if unknown:
        raise NetworkError(f"{where}: {unknown_keys(unknown, Network.__dataclass_fields__)}")
    given = {key: value for key, value in item.items() if value is not None}
    network = Network(**{"bridge": "" if given.get("datapath") == "macvtap" else f"br-{name}", **given})
    _check_types(network, where)
    _check_datapath(network, where)
    if network.macvtap:
        return network
    if not _BRIDGE.fullmatch(network.bridge) or len(network.bridge) > MAX_NAME:
        hint = "" if "bridge" in given else "; a name this long needs bridge beside it"
        raise NetworkError(
            f"{where}: bridge {network.bridge!r} must be 1 to {MAX_NAME} characters that an interface may have{hint}"
        )
    if network.vlan is not None and not 1 <= network.vlan <= 4094:
        raise NetworkError(f"{where}: vlan {network.vlan} is not in 1-4094")
    if not 68 <= network.mtu <= 9702:
        raise NetworkError(f"{where}: mtu {network.mtu} is not in 68-9702")
    if not 1 <= network.queues <= 64:
        raise NetworkError(f"{where}: queues {network.queues} is not in 1-64")
    if network.device is not None and not _DEVICE.fullmatch(network.device):
        raise NetworkError(
            f"{where}: device {network.device!r} is neither an interface's name nor a PCI address like 0000:01:00.0"
        )
    if network.device is not None and not network.on_switch:
        raise NetworkError(
            f"{where}: device belongs to real-time networks on the switch, and to macvtap; "
            f"an ordinary bridge ({network.bridge}) and its ports are the node's own configuration"
        )
    _check_physical(network, where)
    return network


def _check_datapath(network: Network, where: str) -> None:
    """Refuse a datapath that contradicts other keys."""
    for key, choices in (("driver", DRIVERS), ("state", STATES), ("datapath", DATAPATHS)):
        if getattr(network, key) not in (*choices, *([None] if key == "datapath" else [])):
            raise NetworkError(f"{where}: {key} {getattr(network, key)!r} is not one of {', '.join(choices)}")
    if network.datapath == "switch" and not network.realtime:
        raise NetworkError(
            f"{where}: datapath switch is for real-time networks; remove realtime: false, or give datapath: bridge or macvtap"
        )
    if network.datapath in (None, "switch"):
        return
    given = [key for key, default in _OF_SWITCH.items() if getattr(network, key) != default]
    if given:
        raise NetworkError(
            f"{where}: {', '.join(given)} belongs to the switch; with datapath {network.datapath} the node's own network configuration decides that"
        )
    if not network.macvtap:
        return
    if network.device is None:
        raise NetworkError(f"{where}: datapath macvtap needs device, the interface of the node that guests share")
    if network.device_is_address or not _BRIDGE.fullmatch(network.device) or len(network.device) > MAX_NAME:
        raise NetworkError(
            f"{where}: device {network.device!r} must be an interface's name, such as eth1: macvtap needs the device's driver in the kernel"
        )
    if network.bridge:
        raise NetworkError(f"{where}: bridge {network.bridge!r} beside datapath macvtap, which has none; remove one of the two")


def _check_physical(network: Network, where: str) -> None:
    """Refuse a physical network that Neutron cannot have."""
    if not 1 <= network.kbps <= MAX_KBPS:
        raise NetworkError(f"{where}: kbps {network.kbps} is not in 1-{MAX_KBPS}")
    name = network.physical_network
    if name is None:
        return
    if not _PHYSICAL_NETWORK.fullmatch(name) or len(name) > MAX_PHYSICAL_NETWORK:
        raise NetworkError(
            f"{where}: physical_network {name!r} must be 1 to {MAX_PHYSICAL_NETWORK} characters a-z, A-Z, 0-9, -, _ and ., "
            "the first a letter or digit"
        )
    if not network.on_switch:
        raise NetworkError(
            f"{where}: physical_network {name} belongs to a real-time network; the agent's bridges have the userspace datapath here, "
            f"and {network.bridge} is a bridge of the kernel"
        )


def _check_types(network: Network, where: str) -> None:
    wanted: dict[str, type | tuple[type, ...]] = {
        "bridge": str, "realtime": bool, "datapath": (str, type(None)), "vlan": (int, type(None)), "device": (str, type(None)),
        "driver": str, "mtu": int, "queues": int, "state": str, "physical_network": (str, type(None)), "kbps": int,
    }  # fmt: skip
    for key, kind in wanted.items():
        value = getattr(network, key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise NetworkError(f"{where}: {key} {value!r} has the wrong type ({type(value).__name__})")


def _check_unique(networks: Mapping[str, Network]) -> None:
    owners: dict[str, str] = {}
    for network in networks.values():
        if network.device is None or network.state == "absent":
            continue
        other = owners.setdefault(network.device, network.name)
        if other != network.name:
            raise NetworkError(f"realtime_networks: {network.name} and {other} name the same device {network.device}")
    _check_physical_unique(networks.values())
    kinds: dict[str, Network] = {}
    for network in networks.values():
        other_network = kinds.setdefault(network.bridge, network)
        if network.bridge and other_network.on_switch != network.on_switch:
            what = "real-time" if other_network.realtime != network.realtime else "on the switch"
            raise NetworkError(
                f"realtime_networks: {network.name} and {other_network.name} share bridge {network.bridge}, "
                f"but only one of them is {what}"
            )


def _check_physical_unique(networks: Iterable[Network]) -> None:
    """Refuse a physical network with two bridges, and a bridge with two: Neutron maps one to one (neutron_lib, ``parse_mappings``)."""
    known = [network for network in networks if network.physical_network is not None and network.state != "absent"]
    for number, network in enumerate(known):
        for other in known[:number]:
            if network.physical_network == other.physical_network:
                raise NetworkError(
                    f"realtime_networks: {other.name} and {network.name} name the same physical_network {network.physical_network}; "
                    "name it once, Neutron separates its networks by VLAN"
                )
            if network.bridge == other.bridge:
                raise NetworkError(
                    f"realtime_networks: {other.name} and {network.name} share bridge {network.bridge}, which can be only one physical "
                    f"network of Neutron ({other.physical_network} or {network.physical_network})"
                )
