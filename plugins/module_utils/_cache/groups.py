# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans and makes the groups of resctrl, and takes them back. Edge.

Groups are known by their names, so nothing but the default group's former lines, and whether resctrl was mounted, is kept in the journal. Groups of other
programs are never touched.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.kernel import read_machine, read_online
from . import mounting
from .masks import CacheError
from .mounting import CLASS, KIND, REASON, mounted_as
from .read import (
    Found,
    Tree,
    code_data_levels,
    group_path,
    is_mounted,
    lacking,
    last_status,
    named,
    possible,
    read_cores,
    read_domains,
    read_group,
    read_tree,
)
from .schemata import ROOT, format_line, parse_schemata
from .wanted import (
    BANDWIDTH,
    CODE_DATA,
    PREFIX,
    REST,
    VARIABLES,
    Group,
    Wanted,
    asked_levels,
    group_name,
    isolated_sets,
    plan_groups,
)

#: A change, and what makes it.
Step = tuple[Change, Callable[[], None]]


class TrespassError(CacheError):
    """A group of another program has CPUs or portions that a plan needs alone."""

    def __init__(self, group: str, expected: str, actual: str) -> None:
        path = group_path(named([group]))
        super().__init__(
            f"{VARIABLES['L3']}: {path} of another program {actual}; {expected}. End that program or remove its group (rmdir {path}), or set "
            f"{VARIABLES['L3']}: false"
        )
        self.group, self.expected, self.actual = named([group]), expected, actual


def wanted_now(host: Host, partition: Partition, options: Mapping[str, Any], tree: Tree) -> Wanted:
    """Return the groups that the mounted resctrl should have."""
    domains: dict[str, dict[int, frozenset[int]]] = read_domains(host)
    domains["MB"] = dict.fromkeys(tree.groups[REST].lines.get("MB", {}), frozenset())
    if options["memory_bandwidth"] and "mba_MBps" in tree.options:
        raise CacheError(
            f"{BANDWIDTH}: {ROOT} is mounted with mba_MBps, so its values are MB/s and the kernel changes them by itself; mount it without, or "
            f"set {BANDWIDTH}: 0"
        )
    info = replace(tree.info, bandwidth=None) if "mba_MBps" in tree.options else tree.info
    return plan_groups(partition, read_online(host), domains, info, options, read_machine(host).vendor, read_cores(host))


def plan_resctrl(host: Host, partition: Partition, options: Mapping[str, Any]) -> Wanted | None:
    """Plan the groups of a mounted resctrl and return them; what the machine cannot do becomes a note, and stays as it is."""
    host.notes += [f"{variable}: {why}, so it stays as it is" for variable, why in lacking(host, options).items()]
    options = possible(host, options)
    asked = bool(asked_levels(options) or options["memory_bandwidth"])
    if not asked or not isolated_sets(partition, read_online(host), ()):
        undo_resctrl(host)
        return None
    levels = code_data_levels(host, options)
    if not is_mounted(host):
        _plan_mount(host, partition, options, levels, "not mounted")
        return None
    tree = read_tree(host)
    if levels != tree.info.code_data and _may_mount_again(host, tree, levels):
        _check_room(host, partition, tree, levels)
        _plan_mount(host, partition, options, levels, mounted_as(tree.info.code_data))
        return None
    wanted = wanted_now(host, partition, options, tree)
    host.notes += wanted.remarks
    if not wanted.groups:
        undo_resctrl(host)
        return None
    former_lines, divided = _originals(host), wanted.groups[REST].lines
    wanted = _with_former(wanted, former_lines)
    for change, make in _steps(host, tree, wanted):
        for resource, line in _to_keep(change):
            host.keep(resource, KIND, line)
        host.follow_up(change, make)
    for name, former in former_lines.items():  # what is no longer limited
        if name not in divided:
            _restore_line(host, tree, name, former)
        else:
            _forget(host, [_domain_of(name, domain) for domain in former if domain not in divided[name]])
    return wanted


def make_again(host: Host, wanted: Wanted) -> None:
    """Repair what a CPU lost while it was off: the kernel moves it to the default group, and resets a cache whose CPUs were all off."""
    for _change, make in _steps(host, read_tree(host), wanted):
        make()


def _with_former(wanted: Wanted, former: Mapping[str, Mapping[int, int]]) -> Wanted:
    """Return the plan with the former values of the default group's domains that are no longer divided."""
    rest = wanted.groups[REST]
    lines = {name: {**former.get(name, {}), **values} for name, values in rest.lines.items()}
    return replace(wanted, groups={**wanted.groups, REST: replace(rest, lines=lines)})


def _may_mount_again(host: Host, tree: Tree, levels: frozenset[str]) -> bool:
    """Whether resctrl is ours alone, so that it can be mounted another way; ``CacheError`` where it must be and cannot."""
    others = tree.others
    if ROOT in host.entries(KIND) and not others:
        return True
    if levels - tree.info.code_data:
        used = f"groups {named(others)} are in it" if others else "another program has mounted it"
        raise CacheError(
            f"{CODE_DATA}: {ROOT} is mounted without code and data apart, and {used}, so it is not mounted again; end its use and run umount {ROOT}, or "
            f"set {CODE_DATA}: false"
        )
    return False


def _check_room(host: Host, partition: Partition, tree: Tree, levels: frozenset[str]) -> None:
    """Refuse to mount again, and lose the present groups, where code and data apart, with two CLOSIDs each, leave too few."""
    left = min(
        [cache.closids // 2 for cache in tree.info.caches.values() if cache.level in levels - tree.info.code_data], default=0
    )
    needed = 1 + len(isolated_sets(partition, read_online(host), ()))
    if left and needed > left:
        raise CacheError(
            f"{CODE_DATA}: {needed} groups are needed, and with code and data apart this machine has CLOSIDs for {left}; set {CODE_DATA}: false"
        )


def _plan_mount(host: Host, partition: Partition, options: Mapping[str, Any], levels: frozenset[str], before: str) -> None:
    sets = isolated_sets(partition, read_online(host), read_cores(host))
    lines = [f"{group_name(name)}: CPUs {format_cpulist(cpus)}" for name, cpus in sets.items()]
    mounting.plan_mount(host, levels, before, lines, partial(_divide, host, partition, dict(options)))


def _divide(host: Host, partition: Partition, options: Mapping[str, Any], owner: str) -> None:
    """Make the groups of a resctrl that has just been mounted."""
    tree = read_tree(host)
    if possible(host, options) != options:
        reasons = "; ".join(f"{variable}: {why}" for variable, why in lacking(host, options).items())
        raise CacheError(f"{reasons}, although the processor has the flag; set it to false")
    wanted = wanted_now(host, partition, options, tree)
    for change, make in _steps(host, tree, wanted):
        for resource, line in _to_keep(change):
            host.keep_now(Change(resource, line, None, CLASS), KIND, owner)
        make()
    host.notes += wanted.remarks


# -- what differs ----------------------------------------------------------------------------------


def _steps(host: Host, tree: Tree, wanted: Wanted) -> list[Step]:
    """Return what differs; ``CacheError`` where the machine has no room for it, or another program is in the way."""
    gone = [group for name, group in tree.groups.items() if group.ours and name not in wanted.groups]
    new = [name for name in wanted.groups if name not in tree.groups]
    left = tree.info.closids - len(tree.groups) + len(gone)
    if len(new) > left:
        others = named(name for name, group in tree.groups.items() if name and not group.ours) or "none"
        raise CacheError(
            f"{VARIABLES['L3']}: {', '.join(new)} cannot be made: out of CLOSIDs, since this machine has {tree.info.closids}, one is the default group's, and "
            f"other groups have theirs ({others}). Remove groups, or set {CODE_DATA}: false, which halves the number"
        )
    _check_foreign(tree, wanted)
    found = [_removal(host, group) for group in gone]
    for name, group in wanted.groups.items():
        if name == REST:
            continue
        if name in new:
            found.append((Change(group_path(name), None, _shown(group), CLASS, REASON), partial(_make_group, host, name, group)))
        else:
            found += _differences(host, tree.groups[name], group)
    return found + (_differences(host, tree.groups[REST], wanted.groups[REST]) if REST in wanted.groups else [])


def _check_foreign(tree: Tree, wanted: Wanted) -> None:
    for other in tree.foreign:
        for name, group in wanted.groups.items():
            if name == REST:
                continue
            if both := other.cpus & group.cpus:
                raise TrespassError(other.name, f"{name} needs them", f"has CPUs {format_cpulist(both)}")
            for resource, values in group.lines.items():
                theirs = other.lines.get(resource, {})
                shared = [
                    f"{theirs[domain] & mask:x} of {domain}"
                    for domain, mask in sorted(values.items())
                    if theirs.get(domain, 0) & mask
                ]
                if shared:
                    raise TrespassError(other.name, f"{name} needs them alone", f"has portions {', '.join(shared)} of {resource}")


def _shown(group: Group) -> str:
    return "\n".join([f"CPUs {format_cpulist(group.cpus)}", *(format_line(name, values) for name, values in group.lines.items())])


def _removal(host: Host, group: Found) -> Step:
    path = group_path(group.name)
    return Change(path, f"CPUs {format_cpulist(group.cpus)}", None, CLASS, "its CPUs are the default group's"), partial(
        _remove, host, path
    )


def _differences(host: Host, found: Found, wanted: Group) -> list[Step]:
    path = group_path(found.name)
    steps: list[Step] = []
    if found.ours and found.mode == "exclusive":  # the kernel would refuse other portions
        steps.append(
            (Change(f"{path}/mode", found.mode, "shareable", CLASS, REASON), partial(_write, host, f"{path}/mode", "shareable"))
        )
    for resource, values in wanted.all_lines.items():
        now = found.lines.get(resource, {})
        line = {domain: value for domain, value in values.items() if domain in now}  # only CPUs that are on have domains
        before = {domain: now[domain] for domain in line}
        if before != line:
            change = Change(
                f"{path}/schemata:{resource}", format_line(resource, before), format_line(resource, line), CLASS, REASON
            )
            steps.append((change, partial(_set_line, host, found.name, resource, line)))
    if found.name and found.cpus != wanted.cpus:
        change = Change(f"{path}/cpus_list", format_cpulist(found.cpus), format_cpulist(wanted.cpus), CLASS, REASON)
        steps.append((change, partial(_set_cpus, host, found.name, wanted.cpus)))
    return steps


# -- making it so ----------------------------------------------------------------------------------


def _make_group(host: Host, name: str, group: Group) -> None:
    """Make a group with its lines, then give it its CPUs; nothing of it stays if the kernel refuses a part."""
    path = group_path(name)
    try:
        os.mkdir(host.path(path))
    except OSError as error:
        raise HostError(f"{path}: the kernel refused the group: {error.strerror}{_why(host)}") from None
    try:
        found = read_group(host, name)
        for resource, values in group.all_lines.items():
            now = found.lines.get(resource, {})
            line = {domain: value for domain, value in values.items() if now.get(domain, value) != value}
            if line:
                _set_line(host, name, resource, line)
        _set_cpus(host, name, group.cpus)
    except HostError:
        with suppress(HostError):
            _remove(host, path)
        raise


def _set_line(host: Host, name: str, resource: str, values: Mapping[int, int]) -> None:
    path, text = f"{group_path(name)}/schemata", format_line(resource, values)
    _write(host, path, text)
    now = read_group(host, name).lines.get(resource, {})
    if any(now.get(domain) != value for domain, value in values.items()):
        raise HostError(f"{path}: {text} was written, but the kernel shows {format_line(resource, now)}")


def _set_cpus(host: Host, name: str, cpus: frozenset[int]) -> None:
    path = f"{group_path(name)}/cpus_list"
    _write(host, path, format_cpulist(cpus))
    now = read_group(host, name).cpus
    if now != cpus:
        raise HostError(f"{path}: {format_cpulist(cpus)} was written, but the kernel shows {format_cpulist(now) or 'none'}")


def _write(host: Host, path: str, text: str) -> None:
    """Write a file of resctrl, which takes only whole lines."""
    try:
        with open(host.path(path), "w") as stream:
            stream.write(f"{text}\n")
    except OSError as error:
        raise HostError(f"{path}: the kernel refused {text!r}: {error.strerror}{_why(host)}") from None


def _why(host: Host) -> str:
    said = last_status(host)
    return f" (resctrl says: {said})" if said else ""


def _remove(host: Host, path: str) -> None:
    try:
        os.rmdir(host.path(path))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise HostError(f"{path}: the kernel does not remove the group: {error.strerror}{_why(host)}") from None


# -- the default group's former lines ---------------------------------------------------------------


def _line_of(name: str) -> str:
    """Return the name of a line of the default group in plans."""
    return f"{ROOT}/schemata:{name}"


def _domain_of(name: str, domain: int) -> str:
    """Return the name of a line's domain in the journal: a later run may divide more caches than the first."""
    return f"{_line_of(name)}:{domain}"


def _to_keep(change: Change) -> list[tuple[str, str]]:
    """Return the originals of a planned line of the default group, by domain, as the journal keeps them."""
    if not change.resource.startswith(_line_of("")):
        return []
    lines = parse_schemata(change.before or "")
    return [
        (_domain_of(name, domain), format_line(name, {domain: value}))
        for name, line in lines.items()
        for domain, value in line.items()
    ]


def _originals(host: Host) -> dict[str, dict[int, int]]:
    """Return the former values of the default group's lines, by domain."""
    found: dict[str, dict[int, int]] = {}
    for line in host.entries(KIND).values():
        for name, values in parse_schemata(line).items():
            found.setdefault(name, {}).update(values)
    return found


def _restore_line(host: Host, tree: Tree, name: str, former: Mapping[int, int]) -> None:
    """Plan to restore a line of the default group, as far as its domains still exist."""
    now = tree.groups[REST].lines.get(name, {})
    line = {domain: value for domain, value in former.items() if domain in now}
    before = {domain: now[domain] for domain in line}
    change = Change(_line_of(name), format_line(name, before), format_line(name, line), CLASS, "restored")
    first, *others = [_domain_of(name, domain) for domain in former]
    host.restore(None if before == line else change, first, partial(_set_line, host, REST, name, line))
    _forget(host, others)


def _forget(host: Host, resources: Iterable[str]) -> None:
    for resource in sorted(resources):
        host.restore(None, resource, lambda: None)


# -- undo ------------------------------------------------------------------------------------------


def undo_resctrl(host: Host) -> None:
    """Plan to restore resctrl as it was found: our groups go, the default group has its former lines, and what we mounted is unmounted."""
    kept = host.entries(KIND)
    if not is_mounted(host):
        _forget(host, kept)  # somebody has unmounted it, and with it all groups went
        return
    if not kept and not any(name.startswith(PREFIX) for name in host.listdir(ROOT)):
        return
    tree = read_tree(host)
    others = tree.others
    if ROOT in kept and not others:
        change = Change(ROOT, mounted_as(tree.info.code_data), "not mounted", CLASS, "restored")
        host.restore(change, ROOT, partial(mounting.unmount, host.root))
        _forget(host, kept.keys() - {ROOT})
        return
    ours = [group for group in tree.groups.values() if group.ours]
    lines = _originals(host)
    if ROOT in kept:
        host.notes.append(f"{ROOT} stays mounted, since groups of other programs are in it ({named(others)})")
        _forget(host, [ROOT])
    for change, make in (_removal(host, group) for group in ours):
        host.follow_up(change, make)
    for name, former in lines.items():
        _restore_line(host, tree, name, former)
