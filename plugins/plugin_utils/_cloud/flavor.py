# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest, described as for rt_domain, as a flavor of Nova: its extra specs, and the reason of each choice. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import closest, unknown_keys
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import (
    HUGEPAGES,
    MAX_VCPUS,
    SIBLINGS,
    SYSTEMS,
    GuestError,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import KEYS
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_reader import Reader
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT, physnet_traits

from .cells import Need, needs
from .errors import SpecError
from .extra_specs import check_extra_specs, is_true, read_mask, text_of

#: How the second threads of a host's cores are used: one of cpu_partition_smt, or empty where it is not known.
SMT = ("", "single", "together")
#: Where the threads of the emulator run. ``auto`` decides by the host's NUMA nodes.
EMULATORS = ("housekeeping", "own")

#: Keys of a guest that a flavor has no place for: an image, a volume, a server or Nova itself decides them.
_NOT_OF_A_FLAVOR = frozenset(
    {
        "name",
        "state",
        "uuid",
        "disks",
        "seed",
        "cloud_init",
        "agent",
        "serial_log",
        "machine",
        "clock",
        "on_crash",
        "autostart",
        "owner",
        "project",
        "class",
        "description",
        "dedicated_hint",
        "hyperv",
        "adopt",
        "remove_disks",
    }
)
#: Keys whose wish Nova cannot meet, and what would.
_NOT_IN_NOVA = {
    "vcpu_schedulers": "Nova gives all real-time vCPUs of a host the same policy and priority (nova_compute_priority of the node)",
    "priority": "Nova's priority is the host's, not the flavor's: set nova_compute_priority of the node",
    "emulator_scheduler": "Nova's emulator threads are SCHED_OTHER",
    "io_threads": "Nova decides the number of I/O threads",
    "io_thread_scheduler": "Nova's I/O threads are SCHED_OTHER",
    "vhost": "Nova leaves vhost threads beside the emulator",
    "vhost_scheduler": "Nova's vhost threads have the policy of its emulator",
    "numa_node": "a flavor cannot name a node of the host; with hw:numa_nodes=1 Nova chooses one that has room",
    "invariant_tsc": "Nova sets the CPU flags of instances by [libvirt] cpu_mode and cpu_model_extra_flags of the node",
    "cpu_mode": "Nova sets it by [libvirt] cpu_mode of the node",
    "xml": "Nova writes the domain itself",
}
_TAKEN = tuple(key for key in KEYS if key not in _NOT_IN_NOVA)
_PAGES = {"2M": "2048", "1G": "1048576"}
_WATCHDOGS = {"reset": "reset", "poweroff": "poweroff", "pause": "pause", "none": "none"}
_NETWORK_KEYS = ("network", "mac", "queues", "rx_queue_size", "tx_queue_size")


@dataclass
class Flavor:
    """What Nova's API is told, and why. ``ram`` is in MiB, ``disk`` in GiB."""

    vcpus: int
    ram: int
    disk: int
    extra_specs: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    #: The emulator's policy was chosen without knowing the hosts, so that of a flavor which is there counts.
    undecided: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "vcpus": self.vcpus,
            "ram": self.ram,
            "disk": self.disk,
            "extra_specs": dict(self.extra_specs),
            "reasons": dict(self.reasons),
        }

    def needs(self) -> list[Need]:
        """Return what each NUMA node of an instance needs of a host's, nothing for an instance without NUMA nodes."""
        policy = self.extra_specs.get("hw:cpu_policy", "")
        mask = self.extra_specs.get("hw:cpu_realtime_mask") or self.extra_specs.get("hw:cpu_dedicated_mask") or ""
        everything = frozenset(range(self.vcpus))
        pinned = {"dedicated": everything, "mixed": read_mask(mask, self.vcpus, "mask") if mask else everything}
        return needs(self.extra_specs, self.vcpus, self.ram, pinned.get(policy, frozenset()))

    def set(self, name: str, value: str, reason: str) -> None:
        """Add an extra spec."""
        self.extra_specs[name], self.reasons[name] = value, reason


@dataclass(frozen=True)
class Hosts:
    """What the hosts of the flavor have in common; ``numa_nodes`` 0 and ``smt`` empty: not known."""

    numa_nodes: int = 0
    smt: str = ""


def nova_flavor(
    guest: Mapping[str, Any],
    networks: Sequence[Mapping[str, Any]] = (),
    *,
    hosts: Hosts | None = None,
    disk: int = 0,
    extra_specs: Mapping[str, Any] | None = None,
) -> Flavor:
    """Return the flavor of a guest.

    ``networks`` are those of the inventory (``realtime_networks``), of which the guest names some. ``extra_specs`` are the caller's own; they
    win over what is derived here, and None removes one. ``SpecError`` names the guest, the key, and what would work.
    """
    name = plain(str(guest.get("name") or "guest"), 60) if isinstance(guest, Mapping) else "guest"
    try:
        return _flavor(guest, networks, hosts or Hosts(), disk, extra_specs or {})
    except (SpecError, GuestError) as error:
        text = str(error)
        raise SpecError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None


def _flavor(
    guest: Mapping[str, Any], networks: Sequence[Mapping[str, Any]], hosts: Hosts, disk: int, own: Mapping[str, Any]
) -> Flavor:
    if not isinstance(guest, Mapping):
        raise SpecError(f"a guest is a mapping of the keys of rt_domain, not {type(guest).__name__}")
    if hosts.smt not in SMT:
        raise SpecError(f"smt {plain(str(hosts.smt), 40)!r} is not single or together (cpu_partition_smt)")
    read = _read(guest)
    vcpus = read.number("vcpus", 1, 1, MAX_VCPUS)
    mask = str(read.get("realtime_vcpus", "")).strip()
    realtime = read_mask(mask, vcpus, "realtime_vcpus") if mask else frozenset()
    pages = read.choice("hugepages", "2M" if realtime else "none", HUGEPAGES)
    flavor = Flavor(vcpus, _memory(read, pages), disk)
    if realtime:
        _realtime(flavor, read, realtime, hosts)
    else:
        flavor.set("hw:cpu_policy", "shared", "no vCPU is real-time: they float on cpu_shared_set, and take no real-time CPU")
        _refuse_realtime_keys(read)
    users = _attached(read, networks)
    on_switch = any(network.get("realtime", True) and network.get("datapath") in (None, "switch") for network in users)
    _pages(flavor, pages, vhost_user=on_switch)
    _numa(flavor, read)
    _devices(flavor, read)
    _traits(flavor, users)
    _add_own(flavor, own)
    check_extra_specs(flavor.extra_specs, vcpus, flavor.ram, vhost_user=on_switch)
    if realtime and not is_true(flavor.extra_specs.get("hw:cpu_realtime", "")):
        raise SpecError("extra_specs switches hw:cpu_realtime off, but the guest has realtime_vcpus; remove one of both")
    return flavor


def _read(guest: Mapping[str, Any]) -> Reader:
    given = {key: value for key, value in guest.items() if value is not None}
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise SpecError(unknown_keys(unknown, KEYS))
    for key, why in _NOT_IN_NOVA.items():
        if key in given and given[key] not in ("", [], {}):
            raise SpecError(f"{key}: Nova does not offer it: {why}; leave it out")
    # what a flavor has no place for is not looked at
    return Reader({key: given[key] for key in given if key not in _NOT_OF_A_FLAVOR}, "guest", {key: KEYS[key] for key in _TAKEN})


def _memory(read: Reader, pages: str) -> int:
    if not read.has("memory_mib"):
        raise SpecError("memory_mib is missing")
    memory = read.number("memory_mib", 0, 16, 64 << 20)
    page = PAGE_MIB.get(pages, 1)
    if memory % page:
        up = (memory // page + 1) * page
        raise SpecError(f"memory_mib {memory} is no multiple of its {page} MiB pages (hugepages: {pages}); choose {up}")
    return memory


def _refuse_realtime_keys(read: Reader) -> None:
    if read.get("policy") is not None:
        raise SpecError("policy without realtime_vcpus; name the vCPUs that must be real-time")
    if read.choice("emulator", "housekeeping", EMULATORS) == "own":
        raise SpecError("emulator own takes a real-time CPU, which only a real-time guest has; give realtime_vcpus or remove it")


def _realtime(flavor: Flavor, read: Reader, realtime: frozenset[int], hosts: Hosts) -> None:
    policy = read.get("policy", "fifo")
    if policy != "fifo":
        raise SpecError(
            f"policy {plain(str(policy), 20)!r}: Nova gives real-time vCPUs SCHED_FIFO only "
            "(nova/virt/libvirt/designer.py); leave it out"
        )
    system = read.choice("guest_os", "linux", SYSTEMS)
    emulator = read.choice("emulator", "housekeeping", EMULATORS) if read.has("emulator") else ""
    siblings = read.choice("siblings", "idle", SIBLINGS)
    everything = len(realtime) == flavor.vcpus
    if everything and system != "other":
        raise SpecError(
            f"all {flavor.vcpus} vCPUs are real-time; at least one must stay ordinary for the housekeeping of {system.capitalize()} in "
            f"the guest, or its kernel starves: give {flavor.vcpus + 1} vcpus, or fewer realtime_vcpus; for a guest whose system needs none "
            "(an RTOS), guest_os: other"
        )
    if everything:
        flavor.set("hw:cpu_policy", "dedicated", "every vCPU is real-time and has a host CPU of its own")
    else:
        flavor.set(
            "hw:cpu_policy",
            "mixed",
            "real-time vCPUs have host CPUs of their own; the others and the emulator float on cpu_shared_set of the same NUMA node, "
            "and take no real-time CPU",
        )
    flavor.set("hw:cpu_realtime", "true", "real-time vCPUs run under SCHED_FIFO, and the instance's memory is locked")
    if not everything:
        flavor.set(
            "hw:cpu_realtime_mask",
            format_cpulist(realtime),
            f"the real-time vCPUs; the guest's own kernel does its housekeeping on vCPU "
            f"{format_cpulist(frozenset(range(flavor.vcpus)) - realtime)}",
        )
    _emulator(flavor, emulator, everything, hosts)
    _threads(flavor, siblings, len(realtime), hosts)
    flavor.set("hw:pmu", "false", "a virtual performance counter costs exits, and its interrupts disturb real-time vCPUs")


def _emulator(flavor: Flavor, wanted: str, everything: bool, hosts: Hosts) -> None:
    name = "hw:emulator_threads_policy"
    if wanted == "own":
        flavor.set(name, "isolate", "emulator: own, so it has one more host CPU of the dedicated set, of the guest's NUMA node")
    elif not everything:
        return  # with mixed it floats beside the other vCPUs, which is better than share: it stays on the guest's NUMA node
    elif wanted == "housekeeping" or hosts.numa_nodes == 1:
        why = "the hosts have one NUMA node" if hosts.numa_nodes == 1 else "emulator: housekeeping, whatever NUMA node that is on"
        flavor.set(name, "share", f"no vCPU is left for the emulator, so it floats on cpu_shared_set; {why}")
    else:
        flavor.undecided = not hosts.numa_nodes
        nodes = f"{hosts.numa_nodes} NUMA nodes" if hosts.numa_nodes else "an unknown number of NUMA nodes"
        flavor.set(
            name,
            "isolate",
            f"no vCPU is left for the emulator, and the hosts have {nodes}: share would spread it over all of them, isolate takes one more "
            "CPU of the dedicated set on the guest's node",
        )


def _threads(flavor: Flavor, siblings: str, pinned: int, hosts: Hosts) -> None:
    name = "hw:cpu_thread_policy"
    if siblings == "idle":
        if hosts.smt == "together":
            raise SpecError(
                "siblings idle: hosts with cpu_partition_smt: together do not offer it: Nova's hw:cpu_thread_policy=isolate takes no "
                "host with SMT (it asks placement for HW_CPU_HYPERTHREADING=forbidden); set cpu_partition_smt: single on the hosts, "
                "which offers Nova one thread of each core, or siblings: realtime"
            )
        flavor.set(
            name,
            "prefer",
            "hosts with cpu_partition_smt: single (the default) offer one thread of each core, so nothing runs beside a real-time vCPU; isolate would "
            "take no host whose firmware has SMT on",
        )
        return
    if hosts.smt == "single":
        raise SpecError(
            f"siblings {siblings} needs hosts that offer both threads of a core, but they have cpu_partition_smt: single; "
            "leave siblings out"
        )
    taken = pinned + (flavor.extra_specs.get("hw:emulator_threads_policy") == "isolate")
    if taken % 2:
        raise SpecError(
            f"siblings {siblings}: {taken} host CPUs (real-time vCPUs, and the emulator's with isolate) do not fill whole cores of two "
            "threads, so that another instance would run beside one of them; give an even number"
        )
    flavor.set(name, "require", f"siblings: {siblings}, so the real-time vCPUs fill whole cores")


def _attached(read: Reader, networks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    known = {str(network.get("name")): network for network in networks if isinstance(network, Mapping)}
    found = []
    for item in read.get("networks", []):
        if not isinstance(item, Mapping) or "network" not in item:
            raise SpecError("networks: each item is a mapping with the key network, as {network: control}")
        if unknown := [key for key in item if key not in _NETWORK_KEYS]:
            raise SpecError(f"networks: {unknown_keys(unknown, _NETWORK_KEYS)}")
        name = str(item["network"])
        if name not in known:
            near = closest(name, list(known))
            raise SpecError(
                f"networks: {plain(name, 40)} is not in realtime_networks"
                + (f", did you mean {near}?" if near else f"; known are {', '.join(known)}" if known else ", which is empty")
            )
        found.append(known[name])
    return found


def _pages(flavor: Flavor, pages: str, *, vhost_user: bool) -> None:
    name = "hw:mem_page_size"
    realtime = "hw:cpu_realtime" in flavor.extra_specs
    if pages != "none":
        why = "locked pages of the instance's NUMA node" if realtime else "huge pages"
        if vhost_user:
            why += ", which the switch maps too: a vhost-user port carries nothing without them"
        flavor.set(name, _PAGES[pages], f"{why}; in KiB")
    elif realtime or vhost_user:
        needs = (
            "a real-time guest takes no page faults" if realtime else "the switch maps the memory of guests with vhost-user ports"
        )
        raise SpecError(f"hugepages none: {needs}, so Nova needs hw:mem_page_size; set hugepages: 2M or 1G")
    else:
        flavor.set(name, "small", "ordinary pages, so that the instance takes no huge pages of real-time ones")


def _numa(flavor: Flavor, read: Reader) -> None:
    spread = read.choice("numa", "strict", ("strict", "spread")) == "spread"
    if not spread:
        flavor.set("hw:numa_nodes", "1", "the whole instance, CPUs and memory, on one NUMA node of the host")
        return
    if flavor.vcpus % 2:
        raise SpecError(
            f"numa spread: Nova parts {flavor.vcpus} vCPUs over two NUMA nodes only by halves; give an even number, or numa: strict"
        )
    if flavor.ram % 2:
        raise SpecError(
            f"numa spread: memory_mib {flavor.ram} has no two halves, one for each NUMA node; choose {flavor.ram + 1}"
        )
    flavor.set("hw:numa_nodes", "2", "numa: spread, so the instance has two NUMA nodes, each on one of the host's")


def _devices(flavor: Flavor, read: Reader) -> None:
    watchdog = read.get("watchdog", "")
    if watchdog:
        if watchdog not in _WATCHDOGS:
            raise SpecError(f"watchdog {plain(str(watchdog), 30)!r}: Nova offers only {', '.join(_WATCHDOGS)}")
        flavor.set("hw:watchdog_action", _WATCHDOGS[watchdog], "what the host does when the guest's watchdog is not fed")
    if read.get("tpm", False):
        flavor.set("hw:tpm_version", "2.0", "tpm: true")
        flavor.set("hw:tpm_model", "tpm-crb", "the interface of TPM 2.0")
    if read.get("secure_boot"):
        flavor.set("os:secure_boot", "required", "secure_boot: true; the image needs hw_firmware_type=uefi")


def _traits(flavor: Flavor, networks: Sequence[Mapping[str, Any]]) -> None:
    flavor.set(
        f"trait:{KVM_TRAIT}", "required", "only hosts of this collection, and of the isolated aggregate, take the instance"
    )
    names = [str(network["physical_network"]) for network in networks if network.get("physical_network")]
    for name, trait in physnet_traits(names).items():
        flavor.set(f"trait:{trait}", "required", f"only hosts that have the physical network {plain(name, 60)}")


def _add_own(flavor: Flavor, own: Mapping[str, Any]) -> None:
    if not isinstance(own, Mapping):
        raise SpecError(f"extra_specs is a mapping of names to values, not {type(own).__name__}")
    for name, value in own.items():
        if value is None:
            flavor.extra_specs.pop(name, None)
            flavor.reasons.pop(name, None)
        elif isinstance(value, (Mapping, list, tuple)):
            raise SpecError(f"extra spec {plain(str(name), 80)}: the value is a {type(value).__name__}, not text")
        else:
            flavor.set(str(name), text_of(value), "given as extra_specs")
