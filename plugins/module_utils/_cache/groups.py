# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of resctrl: what differs from those that are wanted, and making it so. Edge.

Groups are known by their names. Those of other programs are never touched.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host
from .masks import CacheError
from .read import Found, Tree, group_path, last_status, named, read_group
from .schemata import format_line
from .wanted import CODE_DATA, REST, VARIABLES, Group, Wanted

REASON = "caches and memory bandwidth are not shared with other CPUs"
CLASS = "stall"

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


# -- what differs ----------------------------------------------------------------------------------


def steps(host: Host, tree: Tree, wanted: Wanted) -> list[Step]:
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
    found = [removal(host, group) for group in gone]
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


def removal(host: Host, group: Found) -> Step:
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
            steps.append((change, partial(set_line, host, found.name, resource, line)))
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
                set_line(host, name, resource, line)
        _set_cpus(host, name, group.cpus)
    except HostError:
        with suppress(HostError):
            _remove(host, path)
        raise


def set_line(host: Host, name: str, resource: str, values: Mapping[int, int]) -> None:
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
