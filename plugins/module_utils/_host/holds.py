# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that no update replaces while guests run: kernel, switch, QEMU, libvirt. Edge.

Held by dpkg's selection (apt-mark(8)), or by the list of dnf's plugin versionlock (dnf-versionlock(8)); unattended updates obey both.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial

from .._cpus.errors import HostError
from .change import Change
from .host import Host, Runner
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
_BEGIN, _END = "# realtime.kvm: begin\n", "# realtime.kvm: end\n"


def manager(host: Host) -> str:
    """Return the node's package manager: ``apt`` or ``dnf``."""
    if host.exists("/usr/bin/apt-mark"):
        return "apt"
    if host.exists("/usr/bin/rpm") and host.exists("/usr/bin/dnf"):
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


def _resource(name: str) -> str:
    return f"package:{name}"


# -- dnf -------------------------------------------------------------------------------------------


def _hold_dnf(host: Host, runner: Runner, patterns: Sequence[str]) -> list[str]:
    if not host.dry and not host.exists(PLUGIN):  # the role installs it
        raise HostError(
            f"realtime_hold_packages: {PLUGIN} does not exist; install python3-dnf-plugin-versionlock, which reads the list of held packages"
        )
    out = run_checked(runner, ["rpm", "-qa", "--qf", "%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"])
    rows = sorted(tuple(line.split("\t")) for line in out.splitlines() if line.count("\t") == 1)
    locks = [f"{name}-{version}.*\n" for name, version in rows if _wanted(name, patterns)]
    before = host.read(LOCKS)
    others = _without_ours(before or "")
    after = others + ("" if not others or others.endswith("\n") else "\n") + _BEGIN + "".join(locks) + _END
    if before != after:
        change = Change(LOCKS, before, after, reason="realtime_hold_packages")
        host.change(change, partial(host.write_file, LOCKS, after.encode()), kind="hold", original={"absent": before is None})
    return sorted({name for name, _version in rows if _wanted(name, patterns)})


def _release_dnf(host: Host) -> None:
    for resource, original in host.entries("hold").items():
        before = host.read(LOCKS)
        after = None if before is None else _without_ours(before)
        text = None if not after and original["absent"] else after
        change = None if before == text else Change(resource, before, text, reason="restored")
        host.restore(change, resource, partial(host.write_file, LOCKS, None if text is None else text.encode()))


def _without_ours(text: str) -> str:
    """Return the list without the lines of this collection."""
    before, begin, rest = text.partition(_BEGIN)
    _ours, end, after = rest.partition(_END)
    return before + after if begin and end else text


# -- both ------------------------------------------------------------------------------------------


def hold(host: Host, runner: Runner) -> list[str]:
    """Plan to hold the packages; return their names."""
    name = manager(host)
    return (_hold_apt if name == "apt" else _hold_dnf)(host, runner, PACKAGES[name])


def release(host: Host, runner: Runner) -> None:
    """Plan to release the packages that this collection holds; those that the administrator held stay held."""
    if not host.entries("hold"):
        return
    if manager(host) == "apt":
        _release_apt(host, runner)
    else:
        _release_dnf(host)
