# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolation without a reboot: reads the cgroup tree and makes the isolated partitions. Edge.

The modules, libvirt's hook and the boot service use it. So it keeps no state of its own: the wanted state follows from
the partition file and from the running threads.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.files import make_directories, unlink
from .._host.host import Host
from .._host.kernel import read_online
from .._host.threads import is_stray, keep_affinities, read_threads, set_affinity
from .holders import (
    HOLDERS,
    ROOT,
    SLICES,
    Held,
    IsolationError,
    User,
    check_owners,
    check_siblings,
    exclusive_paths,
    wanted_holders,
)
from .users import GUEST_SLICES, has_remote_partitions, helpers_in_the_way, read_users, state_of

#: CPUs that left their holder for what is about to start or to move, by user: ``guest plc1``, ``moves plc1``, ``switch``.
RESERVED = "/run/realtime-kvm/reserved.json"
_POLLING = "system.slice/ovs-vswitchd.service/pmd-c*"
#: Where this collection may have set marks.
_MARKED = (
    *(
        f"{slices}{below}"
        for slices in GUEST_SLICES
        for below in ("", "/*.scope", "/*.scope/libvirt", "/*.scope/libvirt/vcpu[0-9]*")
    ),
    "system.slice",
    "system.slice/ovs-vswitchd.service",
    _POLLING,
)
_REASON = "no load balancing onto these CPUs, and nothing else may run there"
DROP_INS = {name: f"/etc/systemd/system/{name}.d/realtime-kvm.conf" for name in SLICES}


def check_layout(host: Host) -> None:
    """Raise ``IsolationError`` unless the machine has cgroup v2 alone, with cpusets that can be isolated."""
    controllers = host.value(f"{ROOT}/cgroup.controllers")
    if controllers is None:
        mounts = [line.split() for line in (host.read("/proc/self/mounts") or "").splitlines()]
        found = [f"{fields[2]} on {fields[1]}" for fields in mounts if len(fields) > 2 and fields[2].startswith("cgroup")]
        raise IsolationError(
            f"cpu_partition_isolation: runtime needs cgroup v2 alone, mounted at {ROOT}; "
            f"this node has {', '.join(found) or 'no cgroups'}. "
            "Boot with systemd.unified_cgroup_hierarchy=1, or use cpu_partition_isolation: boot"
        )
    if "cpuset" not in controllers.split():
        raise IsolationError(
            "cpu_partition_isolation: runtime needs the cpuset controller, "
            f"which {ROOT}/cgroup.controllers lacks ({controllers}); "
            "is it in use by a cgroup v1 hierarchy, or disabled by cgroup_disable=?"
        )
    release = host.value("/proc/sys/kernel/osrelease") or ""
    if (0, 0) < _release_of(host) < (6, 1):
        raise IsolationError(
            f"cpu_partition_isolation: runtime needs Linux 6.1 or newer (isolated cpuset partitions); {release} runs. "
            "Use cpu_partition_isolation: boot"
        )


def read_holders(host: Host) -> dict[str, Held]:
    """Return the present state of the holders."""
    return {name: Held(parse_or_empty(host.value(f"{path}/cpuset.cpus")), state_of(host, path)) for name, path in HOLDERS.items()}


def read_reserved(host: Host) -> dict[str, frozenset[int]]:
    """Return the CPUs reserved for what is about to start or to move, by user."""
    try:
        found: Any = json.loads(host.read(RESERVED) or "{}")
        return {str(user): parse_or_empty(cpus) for user, cpus in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}  # the next settlement gives every free CPU to its holder


def write_reserved(host: Host, reserved: Mapping[str, frozenset[int]]) -> None:
    """Keep the reservations; without any the file goes."""
    text = json.dumps({user: format_cpulist(cpus) for user, cpus in reserved.items()})
    if reserved:
        host.write_file(RESERVED, text.encode())
    else:
        unlink(host.path(RESERVED))


def foreign_partitions(host: Host, users: list[User]) -> dict[str, frozenset[int]]:
    """Return the CPUs of other users' partitions, by cgroup."""
    ours = {*HOLDERS.values(), *(user.path for user in users)}
    found = {}
    for pattern in ("*", "*/*", "*/*/*"):
        for file in host.glob(f"{ROOT}/{pattern}/cpuset.cpus.partition"):
            path = file.rpartition("/")[0]
            if path not in ours and (host.value(file) or "member") in ("root", "isolated"):
                found[path] = parse_or_empty(host.value(f"{path}/cpuset.cpus.effective"))
    return found


# -- planning --------------------------------------------------------------------------------------


def plan_slices(host: Host, partition: Partition) -> None:
    """Plan that programs of the system and its users stay on housekeeping and shared CPUs, now and after every boot.

    It is written for systemd (``AllowedCPUs=``, systemd.resource-control(5)), so that the unit files agree with the
    running cgroups.
    """
    cpus = format_cpulist(partition.unisolated)
    for name, path in DROP_INS.items():
        kind = "Scope" if name.endswith(".scope") else "Slice"
        header = "# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.\n"
        text = f"{header}[{kind}]\nAllowedCPUs={cpus}\n"
        host.set_file(path, text.encode(), reason="programs keep off the isolated CPUs")


def plan_slice_values(host: Host, partition: Partition, *, first: bool) -> None:
    """Plan the same in the running cgroups; with ``first`` what they must give up before the partitions are made, else the rest.

    The kernel isolates no CPU that another cgroup lists, so lists are narrowed first and widened last. A slice without a
    list holds the threads that own isolated CPUs until they have partitions, so it gets its list last.
    """
    wanted = partition.unisolated
    for name in SLICES:
        path = f"{ROOT}/{name}/cpuset.cpus"
        if not host.exists(f"{ROOT}/{name}"):
            continue
        current = parse_or_empty(host.value(path))
        narrowed = current & wanted or (wanted if current else current)  # a list with tasks cannot be emptied
        before, after = (current, narrowed) if first else (narrowed, wanted)
        if before != after and (current or not first):
            change = Change(path, format_cpulist(before), format_cpulist(after), "stall", "programs keep off the isolated CPUs")
            host.follow_up(change, partial(write, host, path, format_cpulist(after)))


def plan_partitions(host: Host, partition: Partition, online: frozenset[int], *, journal: bool = True) -> None:
    """Plan the CPUs of each holder and, where the kernel supports it, a partition for each thread that owns isolated CPUs.

    CPUs leave one owner before another gets them, so no CPU is claimed twice. Without ``journal`` nothing is journalled:
    CPUs change owners on a node that is already partitioned, perhaps while a module runs.
    """
    users = read_users(host, partition)
    check_owners(partition, foreign_partitions(host, users))
    reserved = frozenset().union(*read_reserved(host).values())
    wanted, current = wanted_holders(partition, users, reserved, online), read_holders(host)
    check_siblings(wanted, _siblings(host), _release_of(host))
    remote = has_remote_partitions(host)
    new = [user for user in users if remote and user.alone and not user.isolated]
    if (new or any(held != wanted[name] for name, held in current.items())) and not _has_cpuset(host, ROOT):
        change = Change(f"{ROOT}/cgroup.subtree_control", "", "cpuset", reason="cpusets can be used")
        make = partial(write, host, f"{ROOT}/cgroup.subtree_control", "+cpuset")
        if journal:
            host.change(change, make, kind="cgroup")
        else:
            host.follow_up(change, make)
    for user in new:
        unit = user.path.rpartition("/")[0]
        for above in (unit.rpartition("/")[0], unit) if user.task else ():
            if not _has_cpuset(host, above) and f"{above}/cgroup.subtree_control" not in {item.resource for item in host.changes}:
                _plan_controller(host, above, user)
    if journal and not any(held.cpus for held in current.values()):
        keep_affinities(host, user=not remote)
    for name, held in current.items():
        if held.cpus - wanted[name].cpus:
            _plan_holder(host, name, held, Held(held.cpus & wanted[name].cpus, held.state))
    _plan_helpers(host, partition)
    for user in new:
        change = Change(f"cpuset:{user.owner}", user.state, f"isolated {format_cpulist(user.cpus)}", "stall", _REASON)
        host.follow_up(change, partial(_isolate_user, host, user, exclusive_paths(users)))
    for name, want in wanted.items():
        held = Held(current[name].cpus & want.cpus, current[name].state)
        if want.cpus and held != want:
            _plan_holder(host, name, held, want, exclusive_paths(users))


def _plan_helpers(host: Host, partition: Partition) -> None:
    for user, cpus in helpers_in_the_way(host, partition):
        text = format_cpulist(cpus)
        change = Change(
            f"cpuset:{user.owner}", format_cpulist(user.cpus), text, "stall", "its guest's vCPUs have their CPUs alone"
        )
        host.follow_up(change, partial(write, host, f"{user.path}/cpuset.cpus", text))


def _siblings(host: Host) -> dict[str, dict[str, str]]:
    """Return what the cgroups beside the holders list, without those that this plan narrows or removes."""
    found = {}
    for path in host.glob(f"{ROOT}/*/cpuset.cpus"):
        name = path.split("/")[-2]
        if name not in SLICES:
            found[name] = {"cpuset.cpus": host.value(path) or ""}
            found[name]["cpuset.cpus.partition"] = state_of(host, path.rpartition("/")[0]) or "member"
    return found


def _release_of(host: Host) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", host.value("/proc/sys/kernel/osrelease") or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _plan_controller(host: Host, path: str, user: User) -> None:
    """Plan cpusets for a poll-mode thread; ``Delegate=`` makes them known to systemd, which removes them with the unit's."""
    change = Change(f"{path}/cgroup.subtree_control", "", "cpuset", reason="poll-mode threads have cpusets of their own")
    host.follow_up(change, partial(_switch_on, host, path, user))


def _switch_on(host: Host, path: str, user: User) -> None:
    if user.path.rpartition("/")[0] == path:  # a process can stay in a cgroup with children only if these are threaded
        make_directories(host.path(user.path))
        write(host, f"{user.path}/cgroup.type", "threaded")
    write(host, f"{path}/cgroup.subtree_control", "+cpuset")


def _plan_holder(host: Host, name: str, held: Held, want: Held, marks: Mapping[str, frozenset[int]] | None = None) -> None:
    change = Change(f"cpuset:{name}", str(held), str(want) if want.cpus else "absent", "stall", _REASON)
    host.follow_up(change, partial(hold, host, name, want.cpus, marks))


def _has_cpuset(host: Host, path: str) -> bool:
    return "cpuset" in (host.value(f"{path}/cgroup.subtree_control") or "").split()


# -- making ----------------------------------------------------------------------------------------


def write(host: Host, path: str, value: str) -> None:
    """Write a cgroup file; an empty value is written as an empty line, which the kernel reads as empty."""
    try:
        with open(host.path(path), "w") as stream:
            stream.write(f"{value}\n")
    except OSError as error:
        raise HostError(f"{path}: the kernel refused {value or 'nothing'!r}: {error.strerror}") from None


def _isolate(host: Host, path: str, cpus: frozenset[int]) -> None:
    """Make a cgroup an isolated partition, and read its state back."""
    write(host, f"{path}/cpuset.cpus.partition", "isolated")
    state = state_of(host, path)
    if state != "isolated":
        raise HostError(
            f"{path}: the kernel does not isolate CPUs {format_cpulist(cpus)}: {state or 'cpuset.cpus.partition is missing'}; "
            "see which cgroup claims them (cpuset.cpus, cpuset.cpus.exclusive)"
        )


def _isolate_user(host: Host, user: User, marks: Mapping[str, frozenset[int]]) -> None:
    """Give a running thread its own partition: mark its CPUs from the top of the path down, then isolate its cgroup."""
    if user.task:
        _make_cgroup(host, user)
    _prune(host, marks)
    for path in exclusive_paths([user]):
        file = f"{path}/cpuset.cpus.exclusive"
        marked = parse_or_empty(host.value(file))
        if not user.cpus <= marked:
            write(host, file, format_cpulist(marked | user.cpus))
    _isolate(host, user.path, user.cpus)
    if user.task:
        write(host, f"{user.path}/cgroup.threads", str(user.task))


def _make_cgroup(host: Host, user: User) -> None:
    """Make the threaded cgroup of a poll-mode thread below its daemon's (libvirt has made those of vCPUs)."""
    make_directories(host.path(user.path))
    if host.value(f"{user.path}/cgroup.type") != "threaded":
        write(host, f"{user.path}/cgroup.type", "threaded")
    write(host, f"{user.path}/cpuset.cpus", format_cpulist(user.cpus))


def _prune(host: Host, wanted: Mapping[str, frozenset[int]]) -> None:
    """Remove marks that no thread needs any more, from the bottom up."""
    for path in host.glob(f"{ROOT}/{_POLLING}"):
        if path not in wanted and not host.value(f"{path}/cgroup.threads"):
            _dissolve(host, path)  # its thread has ended
    paths = [path for pattern in _MARKED for path in host.glob(f"{ROOT}/{pattern}")]
    for path in sorted(paths, key=lambda item: -item.count("/")):
        cpus = parse_or_empty(host.value(f"{path}/cpuset.cpus.exclusive"))
        keep = cpus & wanted.get(path, frozenset())
        if cpus != keep:
            write(host, f"{path}/cpuset.cpus.exclusive", format_cpulist(keep))


def hold(host: Host, name: str, cpus: frozenset[int], marks: Mapping[str, frozenset[int]] | None = None) -> None:
    """Make the holder of a set hold these CPUs; without CPUs it is removed."""
    path = HOLDERS[name]
    if not cpus:
        _dissolve(host, path)
        return
    if marks is not None:
        _prune(host, marks)
    make_directories(host.path(path))
    write(host, f"{path}/cpuset.cpus", format_cpulist(cpus))
    state = state_of(host, path)
    if state != "isolated":
        if state.startswith("isolated"):  # one that became invalid is started again
            write(host, f"{path}/cpuset.cpus.partition", "member")
        _isolate(host, path, cpus)


def _dissolve(host: Host, path: str) -> None:
    if not host.exists(path):
        return
    write(host, f"{path}/cpuset.cpus.partition", "member")
    try:
        os.rmdir(host.path(path))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise HostError(
                f"{path}: cannot be removed ({error.strerror}); end or move the processes in its cgroup.procs"
            ) from None


def chase_threads(host: Host, partition: Partition) -> None:
    """Move kernel threads that may run anywhere off CPUs that have just changed owners; older kernels let them in."""
    for thread in read_threads(host, user=False):
        if is_stray(thread, partition):
            set_affinity(thread.pid, format_cpulist(thread.allowed & partition.unisolated or partition.unisolated))


# -- undo ------------------------------------------------------------------------------------------


def restore_partitions(host: Host, partition: Partition | None, left_off: Collection[int] = ()) -> None:
    """Plan to return all CPUs: slices get every CPU again, threads keep theirs by affinity alone, holders are removed.

    The ``cpuset.cpus`` of a cgroup with tasks cannot be emptied (the kernel returns ENOSPC), so it gets all CPUs, which
    means the same. The file itself disappears with the controller, if that was off before. ``left_off``: CPUs that are
    switched on first.
    """
    if not host.exists(f"{ROOT}/cgroup.controllers"):
        return
    everything = format_cpulist(read_online(host) | frozenset(left_off))
    ours = host.entries("file")
    for name, drop_in in DROP_INS.items():
        path = f"{ROOT}/{name}/cpuset.cpus"
        if drop_in in ours and host.value(path) not in (None, "", everything):
            host.follow_up(
                Change(path, host.value(path), everything, "stall", "restored"), partial(write, host, path, everything)
            )
    for user in read_users(host, partition) if partition else []:
        if user.state.startswith("isolated"):
            change = Change(f"cpuset:{user.owner}", f"{user.state} {format_cpulist(user.cpus)}", "member", "stall", "restored")
            host.follow_up(change, partial(_release, host, user))
    for name, held in read_holders(host).items():
        if host.exists(HOLDERS[name]):
            change = Change(f"cpuset:{name}", str(held), "absent", "stall", "restored")
            host.follow_up(change, partial(_dissolve, host, HOLDERS[name]))


def restore_controllers(host: Host) -> None:
    """Plan to switch cpusets off where they were off before.

    This comes after systemd has read that its units have no ``AllowedCPUs=`` any more; until then it switches cpusets on
    for every unit that it starts.
    """
    for path, before in sorted(host.entries("cgroup").items(), key=lambda item: -item[0].count("/")):
        off = host.exists(path) and before == "" and _has_cpuset(host, path.rpartition("/")[0])
        host.restore(Change(path, "cpuset", "", reason="restored") if off else None, path, partial(_switch_off, host, path))


def _release(host: Host, user: User) -> None:
    write(host, f"{user.path}/cpuset.cpus.partition", "member")
    _prune(host, {})
    if user.task:  # back into its daemon's cgroup, which has all CPUs; affinity keeps the thread on its own
        write(host, f"{user.path.rpartition('/')[0]}/cgroup.threads", str(user.task))
        set_affinity(user.task, format_cpulist(user.cpus))
        _dissolve(host, user.path)


def _switch_off(host: Host, path: str) -> None:
    """Switch the controller off again, unless cgroups further down use it now."""
    with suppress(HostError):
        write(host, path, "-cpuset")
