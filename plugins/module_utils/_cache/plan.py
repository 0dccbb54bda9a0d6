# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans resctrl: what this machine can do, its mount, the groups of the isolated sets, and undo. Edge.

Nothing but the default group's former lines, and whether resctrl was mounted, is kept in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from .._cpus.answers import counted
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError, RefusalError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.kernel import read_machine, read_online
from . import mounting
from .groups import CLASS, REASON, removal, steps
from .masks import CacheError
from .originals import KIND, domain_of, forget, originals, restore_line, to_keep
from .read import (
    Tree,
    code_data_levels,
    is_mounted,
    named,
    read_cores,
    read_domains,
    read_tree,
    why_no_code_data,
    why_not,
)
from .schemata import ROOT
from .wanted import (
    BANDWIDTH,
    CODE_DATA,
    PREFIX,
    REST,
    VARIABLES,
    Wanted,
    asked_levels,
    group_name,
    isolated_sets,
    plan_groups,
)


def lacking(host: Host, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what was asked and this machine cannot do, by variable, with the reason."""
    if not is_mounted(host):
        return why_not(host, options)
    info, found = read_tree(host).info, {}
    for level in asked_levels(options):
        if not info.of_level(level):
            found[VARIABLES[level]] = f"the machine cannot divide its {level} caches ({ROOT}/info/{level} is missing)"
    if options["memory_bandwidth"] and info.bandwidth is None:
        found[BANDWIDTH] = f"the machine cannot limit the memory bandwidth of CPUs ({ROOT}/info/MB is missing)"
    return {**found, **why_no_code_data(host, options)}


def possible(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that this machine cannot do."""
    none = lacking(host, options)
    keys = {VARIABLES["L3"]: "cache", VARIABLES["L2"]: "cache_l2", BANDWIDTH: "memory_bandwidth", CODE_DATA: "cache_code_data"}
    return {**options, **{key: 0 if key == "memory_bandwidth" else False for variable, key in keys.items() if variable in none}}


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
        _plan_mount(host, partition, options, levels, _mounted_as(tree.info.code_data))
        return None
    wanted = wanted_now(host, partition, options, tree)
    host.notes += wanted.remarks
    if not wanted.groups:
        undo_resctrl(host)
        return None
    former_lines, divided = originals(host), wanted.groups[REST].lines
    wanted = _with_former(wanted, former_lines)
    for change, make in steps(host, tree, wanted):
        for resource, line in to_keep(change):
            host.keep(resource, KIND, line)
        host.follow_up(change, make)
    for name, former in former_lines.items():  # what is no longer limited
        if name not in divided:
            restore_line(host, tree, name, former)
        else:
            forget(host, [domain_of(name, domain) for domain in former if domain not in divided[name]])
    return wanted


def make_again(host: Host, wanted: Wanted) -> None:
    """Repair what a CPU lost while it was off: the kernel moves it to the default group, and resets a cache whose CPUs were all off."""
    for _change, make in steps(host, read_tree(host), wanted):
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
            f"{CODE_DATA}: {needed} groups are needed, and with code and data apart this machine has {counted(left, 'CLOSID')}; set {CODE_DATA}: false"
        )


def _mounted_as(levels: frozenset[str]) -> str:
    return f"mounted, code and data of {' and '.join(sorted(levels))} apart" if levels else "mounted"


# -- mounting --------------------------------------------------------------------------------------


def _plan_mount(host: Host, partition: Partition, options: Mapping[str, Any], levels: frozenset[str], before: str) -> None:
    """Plan to mount resctrl and make the groups, in one step.

    The kernel tells the number of portions only afterwards, so the plan names the groups and their CPUs, not the masks. What cannot be met then is
    refused, and resctrl is unmounted again.
    """
    sets = isolated_sets(partition, read_online(host), read_cores(host))
    lines = [_mounted_as(levels), *(f"{group_name(name)}: CPUs {format_cpulist(cpus)}" for name, cpus in sets.items())]
    lines.append("portions: chosen from info/, which the kernel shows once it is mounted")
    change = Change(ROOT, before, "\n".join(lines), CLASS, REASON)
    again = before != "not mounted"
    make = partial(_mount, host, partition, dict(options), levels, again=again, owner=host.owner)
    host.change(change, make, kind=KIND, original="not mounted")


def _mount(
    host: Host, partition: Partition, options: Mapping[str, Any], levels: frozenset[str], *, again: bool, owner: str
) -> None:
    if again:
        mounting.unmount(host.root)
    try:
        mounting.mount(host.root, levels)
    except HostError:
        _forget_now(host, owner)  # a mount that follows is not ours
        raise
    try:
        if not is_mounted(host):
            raise HostError(f"{ROOT} was mounted, but has no info/; look at the kernel's log")
        tree = read_tree(host)
        if possible(host, options) != options:
            reasons = "; ".join(f"{variable}: {why}" for variable, why in lacking(host, options).items())
            raise CacheError(f"{reasons}, although the processor has the flag; set it to false")
        wanted = wanted_now(host, partition, options, tree)
        for change, make in steps(host, tree, wanted):
            for resource, line in to_keep(change):
                host.keep_now(Change(resource, line, None, CLASS), KIND, owner)
            make()
        host.notes += wanted.remarks
    except RefusalError:
        with suppress(HostError):
            mounting.unmount(host.root)
            _forget_now(host, owner)
        raise


def _forget_now(host: Host, owner: str) -> None:
    """Drop the originals of a resctrl that is unmounted again."""
    for resource in host.journal.of(owner, KIND):
        host.forget(resource)


# -- undo ------------------------------------------------------------------------------------------


def undo_resctrl(host: Host) -> None:
    """Plan to restore resctrl as it was found: our groups go, the default group has its former lines, and what we mounted is unmounted."""
    kept = host.entries(KIND)
    if not is_mounted(host):
        forget(host, kept)  # somebody has unmounted it, and with it all groups went
        return
    if not kept and not any(name.startswith(PREFIX) for name in host.listdir(ROOT)):
        return
    tree = read_tree(host)
    others = tree.others
    if ROOT in kept and not others:
        change = Change(ROOT, _mounted_as(tree.info.code_data), "not mounted", CLASS, "restored")
        host.restore(change, ROOT, partial(mounting.unmount, host.root))
        forget(host, kept.keys() - {ROOT})
        return
    ours = [group for group in tree.groups.values() if group.ours]
    lines = originals(host)
    if ROOT in kept:
        host.notes.append(f"{ROOT} stays mounted, since groups of other programs are in it ({named(others)})")
        forget(host, [ROOT])
    for change, make in (removal(host, group) for group in ours):
        host.follow_up(change, make)
    for name, former in lines.items():
        restore_line(host, tree, name, former)
