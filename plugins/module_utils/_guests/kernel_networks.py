# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node must have for networks that the kernel serves: bridges of its own kind, devices that macvtap can share. Edge, read-only."""

from __future__ import annotations

from collections.abc import Mapping

from .._host.host import Host
from .._host.kernel import lacks_module
from .._host.resolve import resolve
from .guest import Guest, GuestError
from .hiding import clean
from .network import Network

_NET = "/sys/class/net"
#: Where ovs-vswitchd has a socket for each of its bridges (vswitchd/bridge.c).
_SWITCH = "/run/openvswitch"
#: Small kernels for virtual machines lack it (Ubuntu's linux-image-kvm).
_VHOST = "vhost_net"
_LOOPBACK = "772"  # ARPHRD_LOOPBACK
#: Frames of another address than the station's own are lost there (IEEE 802.11 has three addresses).
_WIRELESS = ("wireless", "phy80211")


def check_kernel_networks(host: Host, guest: Guest, networks: Mapping[str, Network]) -> None:
    """Refuse a guest on a bridge that the node does not have, and on a device that macvtap cannot share."""
    for attachment in guest.networks:
        network = attachment.network
        if network.on_switch:
            continue
        wrong = _device_fault(host, network, networks) if network.macvtap else _bridge_fault(host, network)
        if wrong:
            raise GuestError(f"realtime_guests: {guest.name}: network {network.name} is {wrong}")
        release = lacks_module(host, _VHOST) if network.by_vhost else ""
        if not release:
            continue
        what = (
            f"realtime_guests: {guest.name}: network {network.name} needs the module {_VHOST}, which kernel {release} does not have; "
            "run a kernel that has it, or give datapath: switch"
        )
        if not host.dry:
            raise GuestError(what)
        host.notes.append(what)  # the run may boot another kernel first


def _bridge_fault(host: Host, network: Network) -> str:
    bridge = network.bridge
    if host.exists(f"{_NET}/{bridge}/bridge"):
        return ""
    if host.exists(f"{_SWITCH}/{bridge}.mgmt"):
        return (
            f"the bridge {bridge}, which is Open vSwitch's and not the kernel's; give the network realtime: true without datapath, "
            "or the name of a bridge of the kernel"
        )
    if host.exists(f"{_NET}/{bridge}"):
        return (
            f"the ordinary bridge {bridge}, which is an interface of another kind on this node; "
            "name a bridge of the kernel, or give datapath: macvtap and device"
        )
    return (
        f"the ordinary bridge {bridge}, which this node does not have; "
        "make it with the node's own network configuration, or give the network realtime: true"
        + (" without datapath" if network.datapath else "")
    )


def _device_fault(host: Host, network: Network, networks: Mapping[str, Network]) -> str:
    device = network.device or ""
    what, folder = f"macvtap on {device}", f"{_NET}/{device}"
    if not host.exists(f"{folder}/type"):  # bonding_masters is a file
        return f"{what}, which this node does not have (a port of the switch has no interface); it has {_known(host)}"
    for other in networks.values():
        if other.on_switch and other.state == "present" and _same_device(host, folder, other):
            return f"{what}, which is the port {other.device} of the switch's network {other.name}; name another device"
    if host.value(f"{folder}/type") == _LOOPBACK:
        return f"{what}, the node's loopback; it has {_known(host)}"
    if any(host.exists(f"{folder}/{name}") for name in _WIRELESS):
        return f"{what}, a wireless device, which takes frames of its own address only; name a wired one, or route between it and a bridge"
    if host.exists(f"{folder}/master"):
        master = resolve(host, f"{folder}/master").rpartition("/")[2]
        return f"{what}, which is part of {clean(master)}; give datapath: bridge and bridge, or name a device that is in no bridge or bond"
    return ""


def _same_device(host: Host, folder: str, other: Network) -> bool:
    address = resolve(host, f"{folder}/device").rpartition("/")[2]
    return other.device is not None and other.device_is_address and other.device.lower() == address


def _known(host: Host) -> str:
    names = [name for name in host.listdir(_NET) if host.value(f"{_NET}/{name}/type") not in (None, _LOOPBACK)]
    return clean(", ".join(sorted(names)[:10])) or "no network device"
