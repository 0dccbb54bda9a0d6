# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the userspace switch: settings, bridges, ports, and which poll-mode thread serves which queue. Pure.

Sources: ovs-vswitchd.conf.db(5) and Documentation/topics/dpdk/{pmd,memory,vhost-user,phy}.rst of Open vSwitch.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._cpus.cpulist import CpuListError, format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.masks import format_hex, parse_mask
from .._cpus.partition import Partition
from .._guests.guest import Guest
from .._guests.network import Network, port_name, socket_path

#: Keys of other_config that the daemon reads only at its start ("Changing this value requires restarting the daemon").
RESTART_KEYS = ("dpdk-alloc-mem", "dpdk-extra", "dpdk-init", "dpdk-lcore-mask", "dpdk-socket-limit", "dpdk-socket-mem")
#: Keys whose change distributes receive queues again.
QUEUE_KEYS = ("pmd-cpu-mask", "pmd-rxq-assign", "pmd-rxq-isolate")
PMD_SLEEP_MAX_US = 10000

PHYSICAL = "dpdk"
VHOST = "dpdkvhostuserclient"

#: EAL options that would contradict the settings: the threads' CPUs, the memory, the devices.
_CPU_OPTIONS = ("-c", "-l", "--lcores", "--main-lcore", "--master-lcore")
_MEMORY_OPTIONS = ("-m", "--socket-mem", "--socket-limit")
_NO_HUGE = "--no-huge"


class SwitchError(RefusalError):
    """The switch cannot be as requested; the message names the variable and what would work."""


@dataclass(frozen=True)
class SwitchOptions:
    """The module's options that shape the switch."""

    socket_memory_mib: int = 0  # 0: by MTU
    pmd_sleep_max_us: int = 0
    dpdk_extra: str | None = None  # None: left alone


@dataclass(frozen=True)
class Port:
    """A port of this collection."""

    name: str
    bridge: str
    network: str
    guest: str = ""  # empty: the physical port
    device: str = ""  # as the inventory names it
    type: str = VHOST
    options: Mapping[str, str] = field(default_factory=dict)
    mtu: int = 1500
    tag: int | None = None
    queues: int = 1
    nodes: tuple[int, ...] = ()  # its NUMA nodes; empty: unknown
    affinity: Mapping[int, int] = field(default_factory=dict)  # queue to CPU


@dataclass(frozen=True)
class Switch:
    """The planned content of the database."""

    settings: Mapping[str, str | None]  # other_config; None: absent
    bridges: Mapping[str, str]  # to the network that it is marked with
    ports: Mapping[str, Port]
    socket_memory_mib: Mapping[int, int]


# -- memory ----------------------------------------------------------------------------------------


def mbuf_bytes(mtu: int) -> int:
    """Return the size of one packet buffer for an MTU.

    lib/netdev-dpdk.c: the frame with two VLAN tags (MTU + 26) rounded up to 1 KiB, 128 bytes of headroom, and OVS's and
    DPDK's own 832 bytes. That gives the sizes in Documentation/topics/dpdk/memory.rst: 3008 for an MTU of 1500, 7104 for
    6000, 10176 for 9000.
    """
    return -(-(mtu + 26) // 1024) * 1024 + 128 + 832


def mbuf_count(mtu: int) -> int:
    """Return how many buffers OVS requests: 262144, and 16384 where frames round up to less than an MTU of 1500.

    Documentation/topics/dpdk/memory.rst, "Shared Memory Calculations". If memory does not suffice, OVS halves the number
    until it does, down to 16384.
    """
    return 262144 if mtu + 26 > 1024 else 16384


#: Memory of EAL, rings and vhost devices beside the buffers of packets.
_OVERHEAD_MIB = 64
_STEP_MIB = 64


def socket_memory_mib(
    partition: Partition,
    networks: Mapping[str, Network],
    guests: Iterable[Guest],
    override: int = 0,
    with_memory: Collection[int] = (),
) -> dict[int, int]:
    """Return how many MiB of huge pages the switch gets on each NUMA node.

    By default ports of one MTU and NUMA node share one pool of buffers (Documentation/topics/dpdk/memory.rst, "Shared
    Memory"), so the different MTUs count, not the number of ports. A port's pool is on its NUMA node: the NIC's, which
    has dataplane CPUs, or that of the guest's memory. Each node that may have either gets the sum over the MTUs,
    whichever guests exist now: another guest then needs no restart of the daemon. ``override`` replaces the sum.
    ``with_memory`` are the nodes that have memory (empty: unknown).
    """
    used = {network.mtu for network in networks.values() if network.on_switch and network.state == "present"}
    wanted = {-(-(mtu + 26) // 1024): mtu for mtu in used}  # MTUs that round to one size share
    pools = sum(mbuf_bytes(mtu) * mbuf_count(mtu) for mtu in wanted.values())
    computed = -(-(-(-pools // (1 << 20)) + _OVERHEAD_MIB) // _STEP_MIB) * _STEP_MIB
    nodes = _memory_nodes(partition, guests) if used else set()
    nodes &= set(with_memory) or nodes
    return {node: (override or computed) if node in nodes else 0 for node in sorted(partition.nodes)}


def _memory_nodes(partition: Partition, guests: Iterable[Guest]) -> set[int]:
    polled = partition.sets["dataplane"] | partition.sets["realtime"]
    nodes = {node for node, cpus in partition.nodes.items() if cpus & polled}
    for guest in guests:
        if guest.state == "absent" or not guest.shared_memory or guest.realtime:
            continue
        # an ordinary guest on a real-time network: its memory is on the node it names, or on any
        nodes |= {guest.numa_node} if guest.numa_node is not None else set(partition.nodes)
    return nodes & set(partition.nodes)


def _per_socket(memory: Mapping[int, int]) -> str:
    """Write memory for ``dpdk-socket-mem``: a number for each socket from 0 on."""
    last = max((node for node, mib in memory.items() if mib), default=0)
    return ",".join(str(memory.get(node, 0)) for node in range(last + 1))


# -- settings --------------------------------------------------------------------------------------


def desired_settings(partition: Partition, memory: Mapping[int, int], options: SwitchOptions) -> dict[str, str | None]:
    """Return the keys of other_config that this collection sets (None: removes)."""
    if options.socket_memory_mib < 0:
        raise SwitchError(
            f"ovs_dpdk_socket_memory_mib: {options.socket_memory_mib} is not a number of MiB; 0 computes it from the networks"
        )
    if not 0 <= options.pmd_sleep_max_us <= PMD_SLEEP_MAX_US:
        raise SwitchError(f"ovs_dpdk_pmd_sleep_max_us: {options.pmd_sleep_max_us} is not in 0-{PMD_SLEEP_MAX_US}")
    settings: dict[str, str | None] = {
        "dpdk-init": "true",
        "dpdk-lcore-mask": None,  # would put all threads of the daemon on one CPU; systemd gives them housekeeping
        "dpdk-alloc-mem": None,  # excludes dpdk-socket-mem
        "dpdk-socket-mem": _per_socket(memory),
        "dpdk-socket-limit": _per_socket(memory),
        "pmd-cpu-mask": format_hex(partition.sets["dataplane"]),
        # otherwise a thread with a pinned queue would serve no other queue, and ports of other users could stay unpolled
        "pmd-rxq-assign": "group",
        "pmd-rxq-isolate": "false",
        "pmd-sleep-max": str(options.pmd_sleep_max_us) if options.pmd_sleep_max_us else None,
    }
    if options.dpdk_extra is not None:
        words = check_extra(options.dpdk_extra, "ovs_dpdk_extra")
        settings["dpdk-extra"] = options.dpdk_extra.strip() or None
        if _NO_HUGE in words:  # without huge pages there are none on a NUMA node
            settings.update({"dpdk-socket-mem": None, "dpdk-socket-limit": None})
    return settings


def check_extra(text: str, where: str) -> list[str]:
    """Return the words of EAL arguments; refuse those that contradict the partition."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SwitchError(f"{where}: {text!r} cannot be read as EAL arguments: {error}") from None
    for word in words:
        option = word.split("=", 1)[0]
        short = option[:2] if re.fullmatch(r"-[clm].*", option) and not option.startswith("--") else option
        if short in _CPU_OPTIONS:
            raise SwitchError(
                f"{where}: {word} gives DPDK its own CPUs, against the partition; "
                "leave it out (poll-mode threads run on the dataplane CPUs, "
                "all others on housekeeping), or set ovs_dpdk_extra to replace it"
            )
        if short in _MEMORY_OPTIONS and _NO_HUGE not in words:
            raise SwitchError(
                f"{where}: {word} gives DPDK its own memory; leave it out and set ovs_dpdk_socket_memory_mib instead"
            )
    return words


def same_setting(key: str, current: str | None, wanted: str | None) -> bool:
    """Whether the present value means the same as the wanted one."""
    if current == wanted:
        return True
    if current is None or wanted is None:
        return key == "pmd-sleep-max" and (current or wanted) == "0"
    if key == "pmd-cpu-mask":
        try:
            return parse_mask(current) == parse_mask(wanted)
        except CpuListError:
            return False
    return key in ("dpdk-init", "pmd-rxq-isolate") and current.lower() == wanted


# -- ports -----------------------------------------------------------------------------------------


def physical_port_name(network: str) -> str:
    """Return the name of a network's physical port; names of guests' ports have a dot, so they differ."""
    return f"dpdk-{network}"


def desired_ports(
    networks: Mapping[str, Network],
    guests: Iterable[Guest],
    addresses: Mapping[str, str],
    nodes: Mapping[str, Sequence[int]],
) -> list[Port]:
    """Return the ports, queues not yet assigned; physical ones first, each kind by name.

    ``addresses`` holds the PCI address of each network's device, ``nodes`` the NUMA nodes of ports by name.
    """
    ports = []
    for network in sorted(networks.values(), key=lambda network: network.name):
        if network.on_switch and network.state == "present" and network.device is not None:
            name = physical_port_name(network.name)
            options = {"dpdk-devargs": addresses[network.name], "n_rxq": str(network.queues)}
            ports.append(
                Port(name, network.bridge, network.name, "", network.device, PHYSICAL, options, network.mtu, None, network.queues)
            )
    for guest in sorted(guests, key=lambda guest: guest.name):
        for attachment in guest.networks if guest.state != "absent" else ():
            network = attachment.network
            if network.on_switch:
                name = port_name(guest.name, network.name)
                options = {"vhost-server-path": socket_path(name)}
                ports.append(
                    Port(
                        name,
                        network.bridge,
                        network.name,
                        guest.name,
                        "",
                        VHOST,
                        options,
                        network.mtu,
                        network.vlan,
                        attachment.switch_queues,
                    )
                )
    return [replace(port, nodes=tuple(nodes.get(port.name, ()))) for port in ports]


def assign_queues(
    ports: Sequence[Port],
    partition: Partition,
    existing: Mapping[str, Mapping[int, int]],
    foreign: Iterable[int] = (),
) -> dict[str, Port]:
    """Return the ports by name, each queue with the dataplane CPU that polls it.

    A queue that has a dataplane CPU keeps it, so that new and removed ports move no other queue. A new queue gets the CPU
    with the fewest queues on the port's NUMA node (on all nodes if that is unknown), the lowest of equals. ``foreign``
    are the CPUs of other users' pinned queues, once for each queue.
    """
    dataplane = partition.sets["dataplane"]
    load = dict.fromkeys(sorted(dataplane), 0)
    for cpu in foreign:
        if cpu in load:
            load[cpu] += 1
    kept = {}
    for port in ports:
        queues = existing.get(port.name, {})
        kept[port.name] = {queue: queues[queue] for queue in range(port.queues) if queues.get(queue) in dataplane}
        for cpu in kept[port.name].values():
            load[cpu] += 1
    assigned = {}
    for port in ports:
        members = frozenset().union(*(partition.nodes.get(node, frozenset()) for node in port.nodes))
        candidates = dataplane & members or dataplane
        affinity = dict(kept[port.name])
        for queue in range(port.queues):
            if queue not in affinity:
                affinity[queue] = min(candidates, key=lambda cpu: (load[cpu], cpu))
                load[affinity[queue]] += 1
        assigned[port.name] = replace(port, affinity=dict(sorted(affinity.items())))
    return assigned


def format_affinity(affinity: Mapping[int, int]) -> str:
    """Write queues and their CPUs as ``pmd-rxq-affinity`` (``0:3,1:7``)."""
    return ",".join(f"{queue}:{cpu}" for queue, cpu in sorted(affinity.items()))


def parse_affinity(text: str) -> dict[int, int]:
    """Return queue to CPU; text that is no such list gives an empty mapping, as in Open vSwitch."""
    pairs = [item.strip().split(":") for item in text.split(",") if item.strip()]
    if not all(len(pair) == 2 and pair[0].isdecimal() and pair[1].isdecimal() for pair in pairs):
        return {}
    return {int(queue): int(cpu) for queue, cpu in pairs}


# -- the whole -------------------------------------------------------------------------------------


def check_dataplane(
    partition: Partition,
    networks: Mapping[str, Network],
    device_nodes: Mapping[str, int | None],
    with_memory: Collection[int] = (),
) -> None:
    """Refuse real-time networks that no CPU could poll, or whose packets would have no memory.

    ``device_nodes``: network to the NUMA node of its device; ``with_memory``: the nodes that have memory (empty: unknown). A
    port's packet buffers are on its device's node (lib/netdev-dpdk.c, common_construct: socket_id), wherever its CPU is.
    """
    present = [network for network in networks.values() if network.on_switch and network.state == "present"]
    dataplane = partition.sets["dataplane"]
    if present and not dataplane:
        names = ", ".join(network.name for network in present)
        raise SwitchError(
            f"realtime_networks: {names} {'is' if len(present) == 1 else 'are'} real-time, "
            "but this node's partition has no dataplane CPUs to poll the "
            "switch; set cpu_partition_dataplane_cores_per_node or cpu_partition_dataplane_devices, "
            "or give the network realtime: false"
        )
    for network in present:
        node = device_nodes.get(network.name)
        if node is None:
            continue
        lacks = "CPUs" if node not in partition.nodes else "memory" if with_memory and node not in with_memory else ""
        if lacks:
            near = [number for number, cpus in partition.nodes.items() if cpus & dataplane]
            raise SwitchError(
                f"realtime_networks: {network.name}: device {network.device} is on NUMA node {node}, which has no {lacks}, and Open vSwitch "
                f"keeps the packet buffers of a port there; choose a device of a node with dataplane CPUs ({format_cpulist(near)})"
            )
        if not dataplane & partition.nodes[node]:
            raise SwitchError(
                f"realtime_networks: {network.name}: device {network.device} is on NUMA node {node}, "
                "which has no dataplane CPUs (there are "
                f"{format_cpulist(dataplane)}); add it to cpu_partition_dataplane_devices, or choose a device of another node"
            )


def desired_bridges(networks: Iterable[Network], marked: Mapping[str, str | None]) -> dict[str, str]:
    """Return the bridges of present real-time networks and the network that each is marked with.

    Networks may share a bridge. ``marked`` holds the network that a bridge is marked with now; the mark stays while that
    network uses the bridge.
    """
    users: dict[str, list[str]] = {}
    for network in networks:
        if network.on_switch and network.state == "present":
            users.setdefault(network.bridge, []).append(network.name)
    return {bridge: str(marked[bridge]) if marked.get(bridge) in names else min(names) for bridge, names in sorted(users.items())}
