# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that no update replaces while guests run: kernel, switch, QEMU, libvirt. Edge.

Held by dpkg's selection (apt-mark(8)), or by the list of dnf's plugin versionlock (dnf-versionlock(8)); unattended updates obey both.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from configparser import ConfigParser, Error
from fnmatch import fnmatchcase
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .files import read_link
from .host import Host, Runner
from .resolve import read_text, rewrite_text, rewriting
from .runner import Transaction, run_checked

#: Whose update replaces a kernel, or restarts a daemon that guests need. By package manager.
PACKAGES = {
    "apt": (
        "linux-image-*", "linux-headers-*", "linux-modules-*", "linux-realtime*", "openvswitch-*", "libopenvswitch*", "dpdk*", "librte-*", "libdpdk*",
        "qemu-system-*", "qemu-utils", "qemu-block-extra", "qemu-kvm", "libvirt-*", "libvirt0", "python3-libvirt",
    ),
    "dnf": (
        "kernel", "kernel-core", "kernel-modules*", "kernel-rt*", "openvswitch*", "dpdk*", "qemu-*", "libvirt*", "python3-libvirt",
    ),
}  # fmt: skip
#: Names that match and whose update disturbs nothing.
_OTHERS = ("qemu-guest-agent", "openvswitch-doc", "openvswitch-selinux-*", "libvirt-doc", "libvirt-wireshark*", "dpdk-doc")

LOCKS = "/etc/dnf/plugins/versionlock.list"
PLUGIN = "/etc/dnf/plugins/versionlock.conf"
DNF = "/etc/dnf/dnf.conf"
#: Journalled by an update: the packages that were held when it began.
HELD = "held"
_UPDATE = "package_update"
_BEGIN, _END = "# realtime.kvm: begin", "# realtime.kvm: end"


def manager(host: Host) -> str:
    """Return the node's package manager: ``apt`` or ``dnf``."""
    if host.exists("/usr/bin/apt-mark"):
        return "apt"
    if host.exists("/usr/bin/rpm") and host.exists("/usr/bin/dnf"):
        if os.path.basename(read_link(host.path("/usr/bin/dnf")) or "") == "dnf5":
            raise HostError(
                f"realtime_hold_packages: this node's dnf is dnf5, which does not read {LOCKS}, the list of dnf 4 that is written here; "
                "leave the variable out, and hold the packages by `dnf versionlock add`"
            )
        return "dnf"
    raise HostError(
        "realtime_hold_packages: this node has neither apt nor dnf, so no package can be held; leave the variable out"
    )


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    plain = name.partition(":")[0]
    return any(fnmatchcase(plain, pattern) for pattern in patterns) and not any(
        fnmatchcase(plain, pattern) for pattern in _OTHERS
    )


# -- apt -------------------------------------------------------------------------------------------


def selections(runner: Runner) -> dict[str, str]:
    """Return the selection (``install``, ``hold``) of each installed package."""
    out = run_checked(runner, ["dpkg-query", "-W", "-f", "${binary:Package}\\t${db:Status-Want}\\t${db:Status-Status}\\n"])
    rows = [line.split("\t") for line in out.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def mark(runner: Runner, how: str, name: str) -> None:
    """Hold or unhold an installed package."""
    run_checked(runner, Transaction(["apt-mark", how, name]))


def _hold_apt(host: Host, runner: Runner, patterns: Sequence[str]) -> list[str]:
    found = selections(runner)
    names = sorted(name for name in found if _wanted(name, patterns))
    for name in names:
        if found[name] != "hold":
            change = Change(_resource(name), found[name], "hold", reason="realtime_hold_packages")
            host.change(change, partial(mark, runner, "hold", name), kind="hold")
    return names


def _release_apt(host: Host, runner: Runner) -> None:
    entries = host.entries("hold")
    found = selections(runner) if entries else {}
    for resource, original in entries.items():
        name = resource.partition(":")[2]
        change = Change(resource, "hold", str(original), reason="restored") if found.get(name) == "hold" else None
        host.restore(change, resource, partial(mark, runner, "unhold", name))


def hold_again(host: Host, runner: Runner, released: Collection[str] = ()) -> None:
    """Plan to hold again what an update that was cut off has left released, but for those that are ``released`` on purpose."""
    entries = host.journal.of(_UPDATE, HELD)
    found = selections(runner) if entries else {}
    for resource in entries:
        name = resource.partition(":")[2]
        lost = name not in released and found.get(name, "hold") != "hold"
        reason = "it was held before an update that was cut off"
        change = Change(_resource(name), found[name], "hold", reason=reason) if lost else None
        host.restore(change, resource, partial(mark, runner, "hold", name))


def _resource(name: str) -> str:
    return f"package:{name}"


# -- dnf -------------------------------------------------------------------------------------------


def _hold_dnf(host: Host, runner: Runner, patterns: Sequence[str]) -> list[str]:
    if not host.dry and not host.exists(PLUGIN):  # the role installs it
        raise HostError(
            f"realtime_hold_packages: {PLUGIN} does not exist; install python3-dnf-plugin-versionlock, which reads the list of held packages"
        )
    _require_reader(host)
    out = run_checked(runner, ["rpm", "-qa", "--qf", "%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"])
    rows = sorted(tuple(line.split("\t")) for line in out.splitlines() if line.count("\t") == 1)
    locks = [f"{name}-{version}.*\n" for name, version in rows if _wanted(name, patterns)]
    before = read_text(host, LOCKS)
    others = _without_ours(before or "")
    after = others + ("" if not others or others.endswith("\n") else "\n") + f"{_BEGIN}\n{''.join(locks)}{_END}\n"
    if before != after:
        change = rewriting(LOCKS, before, after, reason="realtime_hold_packages")
        host.change(change, partial(rewrite_text, host, LOCKS, after), kind="hold", original={"absent": before is None})
    return sorted({name for name, _version in rows if _wanted(name, patterns)})


def _require_reader(host: Host) -> None:
    """Refuse if dnf would not read the list. Both files are as dnf.conf(5) describes them."""

    def main(path: str) -> dict[str, str]:
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(host.read(path) or "", path)
        except Error as error:
            raise HostError(f"realtime_hold_packages: {path} cannot be read, so no package is held: {error}; repair it") from None
        return dict(parser["main"]) if parser.has_section("main") else {}

    for path, option in ((DNF, "plugins"), (PLUGIN, "enabled")):
        value = main(path).get(option, "1")
        if value.strip().lower() not in ("1", "yes", "true", "on"):
            raise HostError(
                f"realtime_hold_packages: {path} has {option} = {value}, so dnf reads no list of held packages and none is held; set it to 1"
            )
    reads = main(PLUGIN).get("locklist", LOCKS)
    if reads != LOCKS:
        raise HostError(
            f"realtime_hold_packages: {PLUGIN} has locklist = {reads}, so dnf does not read {LOCKS} and no package is held; set it to {LOCKS}"
        )


def _release_dnf(host: Host) -> None:
    for resource, original in host.entries("hold").items():
        before = read_text(host, LOCKS)
        after = None if before is None else _without_ours(before)
        text = None if not after and original["absent"] else after
        change = None if before == text else rewriting(resource, before, text, reason="restored")
        host.restore(change, resource, partial(rewrite_text, host, LOCKS, text))


def _without_ours(text: str) -> str:
    """Return the list without the lines of this collection."""
    lines = text.splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if line.strip() in (_BEGIN, _END)]
    if not marks:
        return text
    if [lines[number].strip() for number in marks] != [_BEGIN, _END]:
        raise HostError(
            f'{LOCKS}: the lines of this collection stand between "{_BEGIN}" and "{_END}", but one of these two is missing or '
            "there again, so they cannot be distinguished from others; put one pair around them, or remove both and them"
        )
    begin, end = marks
    return "".join(lines[:begin] + lines[end + 1 :])


# -- both ------------------------------------------------------------------------------------------


def hold(host: Host, runner: Runner) -> list[str]:
    """Plan to hold the packages; return their names."""
    name = manager(host)
    return (_hold_apt if name == "apt" else _hold_dnf)(host, runner, PACKAGES[name])


def release(host: Host, runner: Runner) -> None:
    """Plan to release the packages that this collection holds; those that the administrator held stay held, over updates too."""
    ours = host.entries("hold")
    if not ours and not host.journal.of(_UPDATE, HELD):
        return
    if manager(host) == "apt":
        _release_apt(host, runner)
        hold_again(host, runner, [resource.partition(":")[2] for resource in ours])
    else:
        _release_dnf(host)
