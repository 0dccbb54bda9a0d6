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
    """One network: a userspace bridge of the DPDK switch (``realtime``) or an ordinary bridge of the kernel."""

    name: str
    bridge: str
    realtime: bool = True
    vlan: int | None = None  # access VLAN of the guests' ports
    device: str | None = None  # interface name or PCI address of the physical port
    driver: str = "vfio-pci"
    mtu: int = DEFAULT_MTU  # bytes
    queues: int = 1  # receive queues of the physical port
    physical_network: str | None = None  # its name in Neutron
    kbps: int = DEFAULT_KBPS  # bandwidth that placement counts, each way
    state: str = "present"

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
    network = Network(**{"bridge": f"br-{name}", **given})
    _check_types(network, where)
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
    for key, choices in (("driver", DRIVERS), ("state", STATES)):
        if getattr(network, key) not in choices:
            raise NetworkError(f"{where}: {key} {getattr(network, key)!r} is not one of {', '.join(choices)}")
    if network.device is not None and not _DEVICE.fullmatch(network.device):
        raise NetworkError(
            f"{where}: device {network.device!r} is neither an interface's name nor a PCI address like 0000:01:00.0"
        )
    if network.device is not None and not network.realtime:
        raise NetworkError(
            f"{where}: device belongs to real-time networks; "
            f"an ordinary bridge ({network.bridge}) and its ports are the node's own configuration"
        )
    _check_physical(network, where)
    return network


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
    if not network.realtime:
        raise NetworkError(
            f"{where}: physical_network {name} belongs to a real-time network; the agent's bridges have the userspace datapath here, "
            f"and {network.bridge} is a bridge of the kernel"
        )


def _check_types(network: Network, where: str) -> None:
    wanted: dict[str, type | tuple[type, ...]] = {
        "bridge": str, "realtime": bool, "vlan": (int, type(None)), "device": (str, type(None)),
        "driver": str, "mtu": int, "queues": int, "state": str, "physical_network": (str, type(None)), "kbps": int,
    }  # fmt: skip
    for key, kind in wanted.items():
        value = getattr(network, key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise NetworkError(f"{where}: {key} {value!r} has the wrong type ({type(value).__name__})")


def _check_unique(networks: Mapping[str, Network]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for network in networks.values():
        if not network.realtime or network.state == "absent":
            continue
        for key in ("bridge", "device"):
            value = getattr(network, key)
            other = owners.setdefault((key, value), network.name) if value is not None else network.name
            if key == "device" and other != network.name:
                raise NetworkError(f"realtime_networks: {network.name} and {other} name the same {key} {value}")
    _check_physical_unique(networks.values())
    kinds: dict[str, Network] = {}
    for network in networks.values():
        other_network = kinds.setdefault(network.bridge, network)
        if other_network.realtime != network.realtime:
            raise NetworkError(
                f"realtime_networks: {network.name} and {other_network.name} share bridge {network.bridge}, "
                "but only one of them is real-time"
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
