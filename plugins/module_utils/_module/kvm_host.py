# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_host: a node's requirements for guests."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._boot.planned_arguments import page_arguments
from .._cpus.answers import counted
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._devices.binding import DRIVERCTL, kernel_arguments
from .._devices.posted import why_not_posted
from .._devices.use import Use, read_use
from .._devices.virtual import check_functions, is_number_file, resolve_functions, restore_functions
from .._guests.found import with_sizes
from .._guests.guest import Guest
from .._guests.guest_list import parse_guests
from .._guests.kvm import (
    check_device,
    check_processor,
    check_slice,
    mount_unit,
    plan_libvirt_restart,
    plan_mounts,
    plan_parameters,
    plan_profile,
    plan_unmount,
)
from .._guests.near import with_near
from .._guests.network import parse_networks
from .._guests.pinning import Existing, Placement, place
from .._guests.programs import QEMU_IMG, SWTPM, XORRISO
from .._guests.threads import guest_pid
from .._host.afterwards import plan_reload
from .._host.current import require_current_partition
from .._host.host import Host
from .._host.kernel import read_machine
from .._host.lines import restore_lines
from .._host.needrestart import plan_needrestart
from .._host.paths import ARCHIVE
from .._memory.hugepages import Key, Need, check_free, check_total, plan_pages
from .._memory.pools import HOST_MIB, Pool, guest_memory_mib, process_pages, read_memory, read_pool
from .._node.archive import build_archive
from .._node.hook import HOOK, hook_text
from .._runtime.feature import must_wait, plan_feature, undo_feature
from .._runtime.pages import PAGES
from .._runtime.policies import NX, chosen
from .._switch.plan import socket_memory_mib
from ._common import LIMIT, Outcome
from ._guest_edges import GuestEdges
from ._specs import GUESTS

#: The module's options; M(kvm_host) describes them.
OPTIONS: dict[str, Any] = {
    **GUESTS,
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "socket_memory_mib": {"type": "int", "default": 0},
    "switch_pages": {"type": "str", "choices": ["2M", "1G"], "default": "2M"},
    "hugepages_reserve": {"type": "dict", "default": {}},
    "nx_huge_pages": {"type": "str", "choices": ["keep", "off", "never"], "default": "keep"},
    "halt_poll_ns": {"type": "int", "default": -1},
    "virtual_functions": {"type": "dict", "default": {}},
    "tool": {"type": "bool", "default": True},
    "fsroot": {"type": "path", "default": "/"},
}


@dataclass
class _Plan:
    """The needed and the present pages."""

    needs: Mapping[Key, Need] = field(default_factory=dict)
    pools: Mapping[Key, Pool] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)

    @property
    def pages(self) -> dict[str, dict[str, int]]:
        """The needed pages, in the form of the boot service's options."""
        pages: dict[str, dict[str, int]] = {}
        for (node, size), need in self.needs.items():
            pages.setdefault(str(node), {})[size] = need.pages
        return pages

    @property
    def short(self) -> list[Need]:
        """The 1 GiB pages that the running kernel lacks."""
        return [need for key, need in self.needs.items() if need.size == "1G" and self.pools[key].have < need.pages]


def run(edges: GuestEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module's changes on the host and return its result."""
    host, runner = edges.host, edges.runner
    if parameters["state"] == "absent":
        return _undo(edges)
    networks = parse_networks(parameters["networks"])
    guests = parse_guests(parameters["guests"], networks, priority_limit=99)
    if parameters["halt_poll_ns"] < -1:
        raise HostError(f"kvm_host_halt_poll_ns: {parameters['halt_poll_ns']} is not a number of nanoseconds; -1 leaves it alone")
    partition, topology = require_current_partition(host, parameters["partition"])
    _check_node(host, partition, guests)
    existing = edges.libvirt.existing(host)
    guests = with_near(host, with_sizes(guests, existing))
    functions = resolve_functions(host, parameters.get("virtual_functions") or {})
    use = read_use(host, runner) if functions or any(map(is_number_file, host.entries("value"))) else Use()
    check_functions(host, use, functions)
    placements = place(partition, topology, guests, existing, memory_mib=guest_memory_mib(host))
    memory = read_memory(host)
    needs = plan_pages(
        guests,
        placements,
        existing,
        held=_held(host, guests, existing),
        switch_mib=socket_memory_mib(partition, networks, guests, parameters["socket_memory_mib"], memory),
        switch_pages=parameters["switch_pages"],
        reserve_mib=parameters["hugepages_reserve"],
        nodes=[node for node in partition.nodes if node in memory or not memory],
    )
    plan = _Plan(needs, {key: _pool(host, need) for key, need in needs.items()}, placements)
    _check_pages(host, partition, plan)

    if parameters.get("tool", True) and host.exists(ARCHIVE):  # perhaps of an older release, which does not make pages
        host.set_file(ARCHIVE, build_archive(), reason="boot service")
    host.set_file(HOOK, hook_text(ARCHIVE).encode(), mode=0o755, reason="libvirt asks it before a guest starts and after it ends")
    plan_libvirt_restart(host, runner, HOOK)
    plan_parameters(host, parameters["nx_huge_pages"], parameters["halt_poll_ns"])
    plan_profile(host)
    plan_needrestart(host)
    plan_mounts(host, runner, {size for _node, size in plan.needs})
    devices = {
        guest.name: [device.label for device in guest.devices] for guest in guests if guest.state != "absent" and guest.devices
    }
    chosen_values = {key: parameters[key] for key in ("nx_huge_pages", "halt_poll_ns")}
    options = {"pages": plan.pages, **chosen_values}
    options.update({"virtual_functions": functions} if functions else {}, **({"devices": devices} if devices else {}))
    restore_functions(host, use, functions)
    deferred = plan_feature(host, PAGES, partition, options)
    _tell(host, plan)
    policies = chosen({NX: parameters["nx_huge_pages"]})
    results = {**_result(edges, plan, guests), "virtual_functions": functions}
    if devices or functions:
        why = why_not_posted(host)
        results["posted_interrupts"] = f"not used: {why}" if why else "used"
        results["kernel_arguments"] += kernel_arguments(read_machine(host).vendor)
    results = {**results, "policies": policies, "deferred": deferred or bool(plan.short)}
    return Outcome(results, after=partial(_look, host, plan))


def _held(host: Host, guests: Sequence[Guest], existing: Sequence[Existing]) -> dict[str, Mapping[Key, int]]:
    """Return the pages of running domains without a NUMA node, and note those domains that do not run."""
    listed = {guest.name for guest in guests}
    held: dict[str, Mapping[Key, int]] = {}
    for domain in existing:
        if domain.name in listed or domain.hugepages == "none" or domain.nodes:
            continue
        pid = guest_pid(host, domain.name) if domain.running else None
        if pid is None:
            host.notes.append(
                f"domain {domain.name} has huge pages ({domain.memory_mib} MiB of {domain.hugepages}) but no NUMA node "
                "(numatune), so their node is unknown; "
                "they are not counted while it does not run. Bind it, or reserve them in kvm_host_hugepages_reserve"
            )
        else:
            held[domain.name] = process_pages(host, pid)
    return held


def _pool(host: Host, need: Need) -> Pool:
    pool = read_pool(host, need.node, need.size)
    if pool is None:
        hint = "; its processor has none (no pdpe1gb in /proc/cpuinfo): use hugepages: 2M" if need.size == "1G" else ""
        raise HostError(
            f"NUMA node {need.node} of this machine offers no huge pages of {need.size}, "
            f"which are requested ({need.describe()}){hint}"
        )
    return pool


# -- checks ----------------------------------------------------------------------------------------


def _check_node(host: Host, partition: Partition, guests: Sequence[Guest]) -> None:
    if any(guest.state != "absent" for guest in guests):
        machine = read_machine(host)
        check_processor(machine)
        if not host.captured:
            check_device(host, machine)
    check_slice(host, partition)


def _check_pages(host: Host, partition: Partition, plan: _Plan) -> None:
    memory = read_memory(host)
    if not memory:
        return  # a snapshot without this information
    have = {
        (node, size): pool.have
        for node in memory
        for size in ("2M", "1G")
        for pool in [read_pool(host, node, size)]
        if pool is not None
    }
    check_total(plan.needs.values(), {node: found.total for node, found in memory.items()}, have, HOST_MIB)
    for key, need in plan.needs.items():
        there = plan.pools[key].have + plan.pools[key].surplus  # surplus pages become ordinary ones without more memory
        if need.size == "2M" and need.pages > there and not must_wait(host, partition):
            check_free(need, there, memory[need.node].free)


def _tell(host: Host, plan: _Plan) -> None:
    """Note pages that only a reboot makes, and pages that other programs hold."""
    for need in plan.short:
        host.notes.append(
            f"NUMA node {need.node} has {plan.pools[need.node, need.size].have} of {counted(need.pages, 'huge page')} of 1G: "
            f"{', '.join(need.users)} cannot start "
            "before the kernel is booted with the arguments in kernel_arguments (role rt_kernel)"
        )
    for key, need in plan.needs.items():
        known = sum(pages for user, pages in need.users.items())
        used = plan.pools[key].have + plan.pools[key].surplus - plan.pools[key].free
        if used > known:
            host.notes.append(
                f"{used} huge pages of {need.size} are in use on NUMA node {need.node}, "
                f"{used - known} more than guests and switch use; to keep them after a reboot, "
                "count them in kvm_host_hugepages_reserve"
            )


# -- results ---------------------------------------------------------------------------------------


def _rows(plan: _Plan, pools: Mapping[Key, Pool]) -> list[dict[str, Any]]:
    return [
        {
            "node": need.node, "size": need.size, "wanted": need.pages, "have": pools[key].have, "free": pools[key].free, "users": dict(need.users),
        }
        for key, need in plan.needs.items()
    ]  # fmt: skip


def _result(edges: GuestEdges, plan: _Plan, guests: Sequence[Guest] = ()) -> dict[str, Any]:
    return {
        "pages": plan.pages,
        "hugepages": _rows(plan, plan.pools),
        "placements": {name: _placement(item) for name, item in plan.placements.items()},
        "kernel_arguments": page_arguments(plan.pages),
        "policies": [],
        "deferred": False,
        "virtual_functions": {},
        "posted_interrupts": "",
        "installed": _complete(edges, guests),
        "unread_domains": _unread(edges),
        "extras": _extras(guests),
    }


#: Where libvirt keeps the definitions of domains, and those of domains that run.
_DEFINITIONS = ("/etc/libvirt/qemu/*.xml", "/run/libvirt/qemu/*.xml")
#: What only some guests need beside libvirt and QEMU, and the files that show it.
_EXTRAS = {"firmware": "/usr/share/qemu/firmware/*.json", "seed": XORRISO, "tpm": SWTPM, "devices": DRIVERCTL}


def _extras(guests: Sequence[Guest]) -> list[str]:
    """Return what these guests need beside libvirt and QEMU."""
    present = [guest for guest in guests if guest.state != "absent"]
    needed = {
        "firmware": any(guest.firmware == "uefi" or guest.secure_boot for guest in present),
        "seed": any(guest.cloud_init is not None for guest in present),
        "tpm": any(guest.tpm for guest in present),
        "devices": any(guest.devices for guest in present),
    }
    return [name for name, is_needed in needed.items() if is_needed]


def _complete(edges: GuestEdges, guests: Sequence[Guest]) -> bool:
    """Whether libvirt answers, and QEMU and what the guests need beside it are installed."""
    host = edges.host
    programs = (f"/usr/bin/qemu-system-{platform.machine()}", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm")
    made = any(disk.recipe for guest in guests for disk in guest.disks)
    return (
        edges.libvirt.installed(host)
        and any(host.exists(program) for program in programs)
        and (not made or host.exists(QEMU_IMG))
        and all(host.glob(_EXTRAS[name]) for name in _extras(guests))
    )


def _unread(edges: GuestEdges) -> bool:
    """Whether files of libvirt's show domains although libvirt does not answer, so that their memory is not counted."""
    return not edges.libvirt.installed(edges.host) and any(edges.host.glob(pattern) for pattern in _DEFINITIONS)


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "nodes": list(placement.nodes),
        "vcpus": {str(vcpu): format_cpulist(cpus) for vcpu, cpus in sorted(placement.vcpus.items())},
        "floating": format_cpulist(placement.floating),
        "emulator": format_cpulist(placement.emulator),
    }


def _look(host: Host, plan: _Plan) -> dict[str, Any]:
    """Return the pages after the run."""
    return {"hugepages": _rows(plan, {key: _pool(host, need) for key, need in plan.needs.items()})}


def _undo(edges: GuestEdges) -> Outcome:
    host, runner = edges.host, edges.runner
    units = any(mount_unit(size) in path for path in host.entries("file") for size in ("2M", "1G"))
    plan_unmount(host, runner)
    use = read_use(host, runner) if any(map(is_number_file, host.entries("value"))) else Use()
    restore_functions(host, use, guests_first=True)
    restore_lines(host)
    undo_feature(host)
    plan_reload(host, runner, due=units)
    return Outcome(_result(edges, _Plan()))
