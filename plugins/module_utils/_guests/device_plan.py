# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of guests on their node: which functions they get, whether these can be had, and their hand-over to vfio. Edge."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .._cpus.answers import printable
from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._devices.assigned import vectors_of
from .._devices.binding import DRIVERCTL, address_in, is_kept, kernel_arguments, plan_hand_over, plan_modules
from .._devices.choice import DeviceError, Held, Wish, choose
from .._devices.functions import Function
from .._devices.group import bridges, described, in_use
from .._devices.marks import PCI, functions_of
from .._devices.pci import VFIO, is_up, read_function
from .._devices.settings import plan_settings
from .._devices.use import disk_at, network_fault, open_fault, read_use, storage_fault
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.kernel import read_machine
from .domain_xml import our_devices
from .fragment import fragment_of
from .guest import Device, Guest
from .hostdevs import PCI_DEVICE, held_by
from .known_disks import paths_of
from .libvirt import Domain
from .near import whose
from .plan import GuestPlan, lets_go

MODULES = "/etc/modules-load.d/realtime-kvm-guests.conf"
#: At most so many rounds of choosing functions; a round that changes nothing is the last.
_ROUNDS = 5


@dataclass
class Devices:
    """The functions of a node, and who has them; ``planned``: how many virtual ones the kvm_host role makes, by function."""

    host: Host
    runner: Runner
    domains: Mapping[str, Domain]
    planned: Mapping[str, int]

    # -- which functions ---------------------------------------------------------------------------

    def choose(self, guests: Sequence[Guest]) -> list[Guest]:
        """Return the guests with the addresses of their devices; a device that is not there, or that somebody else has, is refused."""
        present = [guest for guest in guests if guest.state != "absent" and guest.devices]
        if not present:
            return list(guests)
        wishes = [self._wish(guest, device) for guest in present for device in guest.devices]
        functions = {wish.physical: self._physical(wish) for wish in wishes if wish.physical}
        counts = {physical: self._count(function) for physical, function in functions.items()}
        held = {guest.name: held_by(self.domains[guest.name].tree) for guest in present if guest.name in self.domains}
        taken, seen = self._taken(guests), held
        for _round in range(_ROUNDS):
            addresses = choose(wishes, seen, taken, functions, counts)
            chosen = self._chosen(present, held, functions, addresses)
            seen = {name: _as_held(devices) for name, devices in chosen.items()}
            if choose(wishes, seen, taken, functions, counts) == addresses:
                break  # the next run chooses the same
        return [replace(guest, devices=chosen.get(guest.name, guest.devices)) for guest in guests]

    def _chosen(
        self,
        present: Sequence[Guest],
        held: Mapping[str, Sequence[Held]],
        functions: Mapping[str, Function],
        addresses: Iterable[str],
    ) -> dict[str, tuple[Device, ...]]:
        """Return the devices of guests with their addresses and MACs."""
        left = iter(addresses)
        chosen = {}
        for guest in present:
            found = [
                replace(device, address=address, network=physical is not None and physical.network)
                for device in guest.devices
                for address in [next(left)]
                for physical in [functions.get(self._wish(guest, device).physical)]
            ]
            chosen[guest.name] = _with_macs(found, {item.address: item.mac for item in held.get(guest.name, ()) if item.mac})
        return chosen

    def _wish(self, guest: Guest, device: Device) -> Wish:
        if not device.physical_function:
            return Wish(guest.name, device.address, label=device.label)
        physical = whose(self.host, device)
        function = read_function(self.host, physical)
        if function is None:
            raise DeviceError(
                f"realtime_guests: {guest.name}: physical_function {device.physical_function} is not on this node; "
                f"functions that can have virtual ones are: {self._known()}"
            )
        vlan = "" if device.vlan is None else str(device.vlan)
        return Wish(guest.name, "", physical, device.label, device.mac, vlan, device.mac_given)

    def _known(self) -> str:
        able = [
            address for address in self.host.listdir(PCI) if (self.host.value(f"{PCI}/{address}/sriov_totalvfs") or "0") != "0"
        ]
        found = [function for address in able for function in [read_function(self.host, address)] if function]
        return printable(", ".join(map(described, found))) or "none"

    def _physical(self, wish: Wish) -> Function:
        function = read_function(self.host, wish.physical)
        if function is None:
            raise DeviceError(f"realtime_guests: {wish.guest}: {wish.label}: {wish.physical} has gone meanwhile; run it again")
        if "vfio" in function.driver:
            raise DeviceError(_by_vfio(wish.guest, wish.label, function))
        return function

    def _count(self, function: Function) -> int:
        planned = self.planned.get(function.address, 0) if self.host.dry else 0
        return min(max(len(function.virtual), planned), max(function.total, len(function.virtual)))

    def _taken(self, guests: Sequence[Guest]) -> dict[str, str]:
        """Return the functions that others have: domains beside the list, the switch, and listed guests by other means than this key."""
        listed = {guest.name: guest for guest in guests}
        taken = {address_in(resource): "the switch" for resource in self.host.journal.of("ovs_dpdk", "driver")}
        for name, domain in self.domains.items():
            if name not in listed:
                trees = [domain.tree, *([domain.live_tree()] if domain.running else [])]
                taken.update({address: f"domain {name}" for tree in trees for address in functions_of(tree)})
            elif listed[name].state != "absent":
                taken.update(dict.fromkeys(_others(domain.tree), name))
        for guest in guests:
            fragment = fragment_of(guest) if guest.state != "absent" else None
            if fragment is not None:
                taken.update(dict.fromkeys(functions_of(fragment), guest.name))
        return taken

    # -- whether they can be had -------------------------------------------------------------------

    def check(self, plans: Sequence[GuestPlan], restarting: Sequence[GuestPlan]) -> None:
        """Refuse devices that the node uses, that cannot be handed over, or with which another guest still runs."""
        asked = [(plan.guest, device) for plan in plans for device in plan.guest.devices]
        if not asked:
            return
        self._check_live(plans, restarting)
        owners = {**self._taken([plan.guest for plan in plans]), **{device.address: guest.name for guest, device in asked}}
        use, disks = read_use(self.host, self.runner), self._disks(plans)
        for guest, device in asked:
            function = read_function(self.host, device.address)
            where = f"realtime_guests: {guest.name}: device {device.label}"
            if function is None:
                self._check_coming(device, where)
                continue
            if device.physical_function:
                where += f" ({device.address})"
                self._check_settings(guest, device, function)
            self._check_function(guest, device, function, where)
            fault = network_fault(self.host, use, device.address) or storage_fault(self.host, device.address)
            if fault is not None:
                remedy = fault.remedy or "the guest would take it from the node; choose another device"
                raise DeviceError(printable(f"{where}: {fault.name or 'it'} {fault.text}; {remedy}"))
            for path, name in disks.items():
                if disk := disk_at(self.host, device.address, path):
                    raise DeviceError(
                        printable(
                            f"{where}: {disk} is a disk of {name} ({path}); take it from {name} first, or choose another device"
                        )
                    )
            fault = open_fault(self.host, device.address)
            if fault is not None:
                raise DeviceError(printable(f"{where}: {fault.name} {fault.text}; {fault.remedy}"))
            self._check_group(guest, function, owners, where)

    def _disks(self, plans: Sequence[GuestPlan]) -> dict[str, str]:
        """Return the files and devices of the node that are disks of domains, each with its domain."""
        planned = {plan.guest.name: plan for plan in plans}
        found: dict[str, str] = {}
        for name in {**self.domains, **planned}:
            domain = self.domains.get(name)
            trees = [planned[name].tree] if name in planned else [domain.on_files()] if domain else []
            trees += [domain.live_on_files()] if domain is not None and domain.running else []
            found.update({path: name for tree in trees for path in paths_of(tree)})
        return found

    def _check_coming(self, device: Device, where: str) -> None:
        """Refuse a function that is not there, unless the kvm_host role is about to make it."""
        if device.physical_function and self.host.dry:
            return
        for physical, count in self.planned.items() if self.host.dry else ():
            function = read_function(self.host, physical)
            if function and device.address in {function.virtual_address(number) for number in range(count)}:
                return
        raise DeviceError(
            f"{where} is not on this node: it is unplugged, switched off, or has another address; lspci -D lists what is there. Remove it from the "
            "guest's devices, or plug it in and run this again"
        )

    def _check_function(self, guest: Guest, device: Device, function: Function, where: str) -> None:
        if function.of_node:
            raise DeviceError(f"{where}: it is a bridge, which no guest can have; name a function behind it")
        count = len(function.virtual) or (self.planned.get(function.address, 0) if self.host.dry else 0)
        if count:
            raise DeviceError(
                f"{where}: it has {count} virtual functions, which it would lose; give the guest one of them "
                "(physical_function), or remove them first"
            )
        physical = read_function(self.host, function.physical) if function.physical else None
        if physical is not None and "vfio" in physical.driver:
            raise DeviceError(_by_vfio(guest.name, device.label, physical))

    def _check_settings(self, guest: Guest, device: Device, function: Function) -> None:
        """Refuse what libvirt cannot do: it sets MAC and VLAN through the physical function's interface, which must be up."""
        where = f"realtime_guests: {guest.name}: {device.label}"
        if not device.network:
            if device.settings:
                raise DeviceError(
                    f"{where}: {', '.join(device.settings)} can be set only for a network device, which this is not"
                )
            return
        physical = read_function(self.host, function.physical)
        name = physical.interfaces[0] if physical and physical.interfaces else ""
        if not name:
            raise DeviceError(
                f"{where}: its physical function has no interface, by which MAC and VLAN are set; bind it to its network driver again"
            )
        if not is_up(self.host, name):
            raise DeviceError(
                f"{where}: {name} is down, and libvirt sets MAC and VLAN only through an interface that is up; bring it up in the node's own "
                f"network configuration (ip link set {name} up tries it)"
            )

    def _check_group(self, guest: Guest, function: Function, owners: Mapping[str, str], where: str) -> None:
        if function.group is None:
            arguments = " ".join(kernel_arguments(read_machine(self.host).vendor))
            message = (
                f"{where} cannot be given to {VFIO}, since the node runs without IOMMU; switch it on in the firmware (VT-d, AMD-Vi) and give the "
                f"kernel {arguments} (role rt_kernel)"
            )
            if not self.host.dry:
                raise DeviceError(message)
            self.host.notes.append(f"{message}; the real run refuses until then")
            return
        members = [found for address in function.group for found in [read_function(self.host, address)] if found]
        given = [address for address, name in owners.items() if name == guest.name]
        shared = [item for item in members if owners.get(item.address, guest.name) != guest.name]
        barriers, used = bridges(members), in_use(members, given)
        if barriers:
            raise DeviceError(
                f"{where} cannot be given to {VFIO}: its IOMMU group holds the bridge {', '.join(map(described, barriers))}, behind which devices "
                "reach each other without the IOMMU; use a slot at a root port of its own"
            )
        if used:
            raise DeviceError(
                printable(
                    f"{where} cannot be given to {VFIO}: the kernel uses other members of its IOMMU group, which can only be given as a whole: "
                    f"{', '.join(map(described, used))}; give the guest these too, unbind them, or use a slot or a device whose group has no others"
                )
            )
        if shared:
            other = shared[0]
            raise DeviceError(
                f"{where}: its IOMMU group, which one guest must have as a whole, holds {other.address} of {owners[other.address]}; give both to one guest"
            )

    def _check_live(self, plans: Sequence[GuestPlan], restarting: Sequence[GuestPlan]) -> None:
        """Refuse a device with which another guest of the list still runs, though its definition no longer has it."""
        live = {
            address: plan
            for plan in plans
            if plan.domain is not None and plan.running
            for address in functions_of(plan.domain.live_tree())
        }
        for plan in plans if live else ():
            for device in plan.guest.devices:
                other = live.get(device.address, plan)
                if other is not plan and not lets_go(other, plan, restarting):
                    name = other.guest.name
                    raise DeviceError(
                        f"realtime_guests: {plan.guest.name}: {name} runs with device {device.address} until it is restarted or off; take it from {name} "
                        "in a run of its own first, with rt_guest_restart: true or state: stopped for that guest"
                    )

    # -- hand-over ---------------------------------------------------------------------------------

    def plan(self, plans: Sequence[GuestPlan]) -> None:
        """Plan to bind the devices to vfio, before a guest starts with them."""
        asked = {device.address: (plan.guest, device) for plan in plans for device in plan.guest.devices}
        plan_modules(self.host, MODULES, "rt_domain", due=bool(asked), reason="devices of guests")
        for address, (guest, device) in sorted(asked.items()):
            function = read_function(self.host, address)
            if is_kept(self.host, address):
                continue
            if not self.host.dry and not self.host.exists(DRIVERCTL):
                raise DeviceError(
                    f"realtime_guests: {guest.name}: {DRIVERCTL} is missing, by which {address} is bound to {VFIO}; run the kvm_host role"
                )
            name = function.interfaces[0] if function and function.interfaces else ""
            plan_hand_over(self.host, self.runner, address, name=name, reason=f"device of {guest.name} ({device.label})")
        self._plan_settings(plans)

    def _plan_settings(self, plans: Sequence[GuestPlan]) -> None:
        """Plan the settings of virtual functions; libvirt sets MAC and VLAN when it starts a guest, so they are looked at while one runs."""
        wanted, reasons, used = {}, {}, set()
        for plan in plans:
            live = (
                functions_of(plan.domain.live_tree()) if plan.domain is not None and plan.running and plan.guest.devices else {}
            )
            used |= set(live)
            for device in plan.guest.devices:
                settings = {key: value for key, value in device.settings.items() if key != "vlan"}
                if device.network and device.address in live:
                    settings.update(_live_settings(live[device.address]))
                if device.network and settings:
                    wanted[device.address], reasons[device.address] = settings, f"{device.label} of {plan.guest.name}"
        if wanted:
            plan_settings(self.host, self.runner, wanted, reasons, used)

    def plan_interrupts(self, plans: Sequence[GuestPlan]) -> None:
        """Plan the interrupts of running guests' devices to the CPUs of their vCPUs; of a guest that starts, the watcher moves them."""
        for plan in plans:
            for device in plan.guest.devices if plan.running else ():
                vcpu = plan.guest.interrupt_vcpu(device)
                cpus = plan.placement.vcpus.get(-1 if vcpu is None else vcpu, frozenset())
                for number in sorted(vectors_of(self.host, device.address)) if cpus else ():
                    self._plan_vector(number, cpus, f"of {device.address}, to vCPU {vcpu} of {plan.guest.name}")

    def _plan_vector(self, number: int, cpus: frozenset[int], reason: str) -> None:
        path = f"/proc/irq/{number}/smp_affinity_list"
        current = self.host.value(path)
        if current is not None and parse_or_empty(current) != cpus:
            change = Change(path, current, format_cpulist(cpus), reason=f"IRQ {number} {reason}")
            self.host.follow_up(change, partial(self._move, change))

    def _move(self, change: Change) -> None:
        try:
            self.host.write_value(change.resource, change.after or "")
        except HostError as error:  # the guest's driver has given it back, or no vector is free there; the watcher tries again
            self.host.changes.remove(change)
            self.host.notes.append(f"{error}")

    def used(self, plans: Sequence[GuestPlan], freed: Sequence[str]) -> set[str]:
        """Return the functions that domains have after this run; ``freed`` are the guests that run no more as they did."""
        found = {device.address for plan in plans for device in plan.guest.devices}
        planned = {plan.guest.name: plan for plan in plans}
        for name, domain in self.domains.items():
            if domain.running and name not in freed:
                found |= set(functions_of(domain.live_tree()))
            if name in planned:
                found |= set(functions_of(planned[name].tree))
            elif name not in freed:
                found |= set(functions_of(domain.tree))
        return found

    def asked(self, plans: Sequence[GuestPlan]) -> dict[str, set[str]]:
        """Return the settings that the list asks for, by function."""
        return {device.address: set(device.settings) for plan in plans for device in plan.guest.devices}


def _live_settings(element: ET.Element) -> dict[str, object]:
    """Return what libvirt gave a virtual function when it started its guest."""
    mac, tag = element.find("mac"), element.find("vlan/tag")
    found: dict[str, object] = {} if mac is None else {"mac": (mac.get("address") or "").lower()}
    return {**found, "vlan": "0" if tag is None else tag.get("id", "0")} if element.tag == "interface" else {}


def _others(tree: ET.Element) -> Iterator[str]:
    """Yield the functions that somebody else gave a domain, or another key."""
    ours = our_devices(tree)
    return (address for address in functions_of(tree) if (PCI_DEVICE, address) not in ours)


def _as_held(devices: Iterable[Device]) -> list[Held]:
    """Return devices as the next run finds them in the definition."""
    return [
        Held(device.address, device.mac, "" if device.vlan is None else str(device.vlan))
        if device.network
        else Held(device.address)
        for device in devices
    ]


def _with_macs(devices: Sequence[Device], held: Mapping[str, str]) -> tuple[Device, ...]:
    """Return devices with their MACs: a function that the domain has keeps its own, a new one gets a derived one that no other has."""
    kept = {device.address: held[device.address] for device in devices if not device.mac_given and device.address in held}
    used = {*kept.values(), *(device.mac for device in devices if device.mac_given)}
    found = []
    for device in devices:
        mac = kept.get(device.address, device.mac)
        if device.address not in kept and not device.mac_given:
            alike = [
                other.mac for other in devices if other.physical_function == device.physical_function and not other.mac_given
            ]
            mac = next((other for other in (mac, *alike) if other not in used), mac)
            used.add(mac)
        found.append(replace(device, mac=mac))
    return tuple(found)


def _by_vfio(guest: str, label: str, function: Function) -> str:
    return (
        f"realtime_guests: {guest}: {label}: its physical function {function.address} is bound to {function.driver}, so nobody can set it up; give it back "
        f"to its network driver (driverctl unset-override {function.address}), or choose another device"
    )
