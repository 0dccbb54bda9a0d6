# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_arguments: the node's default kernel and the arguments that its boot loader passes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from typing import Any

from .._boot.arguments import (
    Argument,
    Conflict,
    KernelArgumentError,
    awaited_boot,
    combine,
    find_conflicts,
    nearest,
    page_groups,
    parse_arguments,
    split_comparison,
)
from .._boot.compared import Comparison, compare
from .._boot.grub_files import BootEntry, newest_matching
from .._boot.loader import find_boot_loader, installed_kernels
from .._boot.other_loaders import refuse_other_boot_loaders
from .._boot.planned_arguments import PLANNED_KEYS, ArgumentPolicy, page_arguments, partition_arguments
from .._boot.protection import protection_notes
from .._boot.trial import RESOURCE as TRIAL_RESOURCE
from .._boot.trial import BootTrial
from .._boot.verdict import JUDGING
from .._cpus.errors import HostError
from .._cpus.machine import Machine
from .._devices.binding import kernel_arguments
from .._host.current import require_current_partition
from .._host.host import Host, Runner
from .._host.kernel import read_kernel, read_lockdown, read_machine, read_secure_boot
from .._host.paths import config_path
from .._host.stopped_guests import stopped_guests
from .._host.threads import realtime_guests, running_guests
from .._host.trial import trial_of
from .._node.pack import pack
from .._node.trial import UNIT_TEXT, WATCHDOG_TEXT
from .._runtime.options import read_options
from .._runtime.pages import PAGES
from .._runtime.priorities import check_priority_limit
from ._common import LIMIT, Edges, Outcome, check_seconds

#: Seconds between two looks at a node that judges its boot.
_PAUSE_S = 2.0
_PATTERN = re.compile(r"[A-Za-z0-9_.+*?-]+")

#: The module's options; M(kernel_arguments) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "from_partition": {"type": "bool", "default": True},
    "partition": {"type": "dict"},
    "arguments": {"type": "list", "elements": "raw", "default": []},
    "host_arguments": {"type": "list", "elements": "str"},
    "default_kernel": {"type": "str"},
    "priority_limit": {"type": "int", "default": 1},
    "nohz_full": {"type": "str", "choices": ["all", "dataplane", "none"], "default": "all"},
    "tsc": {"type": "str", "choices": ["nowatchdog", "reliable", "keep"], "default": "nowatchdog"},
    "cstates": {"type": "str", "choices": ["boot", "keep"], "default": "keep"},
    "trial": {"type": "bool", "default": False},
    "trial_timeout": {"type": "int", "default": 300},
    "wait_s": {"type": "int", "default": 0},
    "after_install": {"type": "bool", "default": False},
    "fsroot": {"type": "path", "default": "/"},
}


def wanted_arguments(host: Host, parameters: dict[str, Any]) -> list[Argument]:
    """Return the plan's arguments and the operator's own, checked against each other."""
    own = [Argument(token, "requested in rt_kernel_arguments") for token in parse_arguments(parameters["arguments"])]
    if not parameters["from_partition"]:
        return combine(own)
    asked = {"rt_kernel_arguments": [argument.token for argument in own]}
    partition, _topology = require_current_partition(host, parameters["partition"])
    check_priority_limit(parameters["priority_limit"])
    policy = ArgumentPolicy(
        nohz_full=parameters["nohz_full"],
        tsc=parameters["tsc"],
        cstates=parameters["cstates"],
        priority_limit=parameters["priority_limit"],
    )
    machine = _target_machine(host, parameters["default_kernel"])
    if policy.cstates == "boot" and not machine.x86 and partition.isolation == "boot":
        host.notes.append(
            "cstates: boot has no effect, since only x86 has arguments for it; cpu_power limits idle states per CPU"
        )
    planned, pages = partition_arguments(partition, machine, policy), _host_arguments(host, parameters)
    wanted = combine(planned, own)
    _refuse(find_conflicts(asked, [argument.token for argument in (*planned, *pages)]))
    # these come last: the kernel ignores a page size that is given twice, and a count without a size belongs to the size before
    twice = [argument.token for argument in pages] in page_groups([argument.token for argument in own])
    return wanted if twice else combine(wanted, pages)


def _target_machine(host: Host, pattern: str | None) -> Machine:
    """Return the machine with the kernel that will boot; before that is installed, with the running one."""
    machine = read_machine(host)
    target = newest_matching(installed_kernels(host), pattern) if pattern else None
    return replace(machine, kernel_release=target or machine.kernel_release)


def _host_arguments(host: Host, parameters: dict[str, Any]) -> list[Argument]:
    """Return the arguments that guests and switch need: the caller's, else those that the kvm_host module keeps on the node."""
    tokens = parameters["host_arguments"]
    if tokens is None:
        kept = read_options(host, PAGES) or PAGES.defaults
        tokens = [
            *page_arguments(kept["pages"]),
            *(kernel_arguments(read_machine(host).vendor) if kept["virtual_functions"] or kept["devices"] else []),
        ]
    return [_host_argument(token) for token in parse_arguments(tokens, "host_arguments")]


def _host_argument(token: str) -> Argument:
    if "iommu" in token:
        return Argument(
            token, "devices are given to guests, which needs the IOMMU", "no DMA protection for host drivers (passthrough)"
        )
    reason = "pages of 1 GiB for guests and switch; later so much memory in one piece is rarely free"
    return Argument(token, reason, "no other program can use the memory")


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the boot loader's arguments and default kernel; after the write, the boot loader is read again."""
    host = edges.host
    present = parameters["state"] == "present"
    wanted = wanted_arguments(host, parameters) if present else []
    pattern = parameters["default_kernel"] or None
    if pattern and not _PATTERN.fullmatch(pattern):
        raise KernelArgumentError(f"default_kernel: {pattern!r} is not a pattern of a kernel release such as *-rt-*")
    check_seconds(parameters, trial_timeout=0, wait_s=0)
    if host.captured:
        return _captured(host, wanted, pattern)
    if present:
        refuse_other_boot_loaders(host)
    _wait_for_verdict(edges, parameters["wait_s"])
    loader = find_boot_loader(host, edges.runner)
    tokens = [argument.token for argument in wanted]
    ours = [*loader.ours, *loader.written.all] or ([] if present else _perhaps_ours(parameters, loader.following()))
    if present:
        loader.check_writable()
        _refuse(find_conflicts(loader.foreign(), tokens))
    trial = _trial(host, edges.runner, loader.name)
    judging = trial.judging()
    coming = parameters["after_install"] and host.dry  # the call before has shown all that can be done without the kernel
    tried = parameters["trial"] and not judging and _awaited(edges, wanted, pattern, present, ours)
    if tried:
        trial.check()
        trial.hold()
        loader.held = True
    following = loader.plan(tokens, pattern) if present else loader.remove(_added_kernels(host, pattern))
    if present:
        written = loader.written.followed_by(tokens, pattern, read_kernel(host).cmdline)
        host.set_file(config_path("kernel_arguments"), written.text().encode(), reason="verify compares with it")
        if following is None:
            raise HostError(
                "the boot loader's menu names no kernel, or a variable or a condition chooses its default; repair it first (files of /etc/grub.d "
                "that set default=, update-grub, grub-install)"
            )
    if not tried and not judging:
        trial.lift(whole=not present)
    elif tried and following and (coming or not present or pattern is None or fnmatchcase(following.release, pattern)):
        new = f"a kernel {pattern}" if parameters["after_install"] and pattern else following.release
        trial.arm(following, parameters["trial_timeout"], pattern if present else None, new)
    if coming:
        host.changes[:] = [change for change in host.changes if change.resource == TRIAL_RESOURCE]

    def look() -> dict[str, Any]:
        found = _result(host, wanted, find_boot_loader(host, edges.runner).following(), pattern, loader.name, ours)
        return {**found, "trial": _trial(host, edges.runner, loader.name).state()}

    results = {**_result(host, wanted, following, pattern, loader.name, ours), "trial": trial.state()}
    boot = awaited_boot(results)
    return Outcome(results, after=look if host.changes else None, disturbs=[boot] if boot else [])


def _captured(host: Host, wanted: list[Argument], pattern: str | None) -> Outcome:
    """Return what captured files tell. No boot loader is among them, so a boot is counted only where the captured command line lacks an argument."""
    found, cmdline = _result(host, wanted, None, pattern, "", ()), read_kernel(host).cmdline
    tokens = [argument.token for argument in wanted]
    missing = list(compare(cmdline, tokens).missing) if cmdline else []
    following = {"release": found["running"]["release"], "tokens": tokens, "kvm": True} if missing else {}
    what = (
        "the boot loader's files and the kernel that boots next" if cmdline else "kernel arguments and the reboot that they need"
    )
    host.not_counted.append(f"{what}: captured files hold no boot loader{'' if cmdline else ' and no command line'}")
    boots = {"following": following, "missing": missing, "reboot_required": bool(missing)}
    results = {**found, **boots, "trial": {"state": "none", "reason": ""}}
    boot = awaited_boot(results)
    return Outcome(results, disturbs=[boot] if boot else [])


def _perhaps_ours(parameters: dict[str, Any], following: BootEntry | None) -> list[str]:
    """Return tokens that undo may have taken back before this boot ends; nothing on the node names them any more.

    With a variable of the boot loader's in the line, another user may have set them.
    """
    if following is None or any(token.startswith("$") for token in following.tokens):
        return []
    return [*PLANNED_KEYS, *parse_arguments(parameters["arguments"])]


def _wait_for_verdict(edges: Edges, seconds: float) -> None:
    """Wait until the node has judged its boot on trial, here and not by being asked again and again; it may also reboot meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        host = trial_of(edges.host, edges.host.owner)
        if _trial(host, edges.runner, find_boot_loader(host, edges.runner).name).state()["state"] != JUDGING:
            return
        time.sleep(_PAUSE_S)


def _trial(host: Host, runner: Runner, loader: str) -> BootTrial:
    return BootTrial(host, runner, loader, pack("_node.trial"), UNIT_TEXT, WATCHDOG_TEXT)


def _awaited(edges: Edges, wanted: list[Argument], pattern: str | None, present: bool, ours: Iterable[str]) -> bool:
    """Whether a boot is needed once the plan has been made; plans it without leaving a trace."""
    host = trial_of(edges.host, edges.host.owner)
    loader = find_boot_loader(host, edges.runner)
    tokens = [argument.token for argument in wanted]
    following = loader.plan(tokens, pattern) if present else loader.remove(_added_kernels(host, pattern))
    return bool(_result(host, wanted, following, pattern, loader.name, ours)["reboot_required"])


def _added_kernels(host: Host, pattern: str | None) -> list[str]:
    """Return the kernels of the pattern, whole or half installed, that this collection has added.

    If one was installed when the node was first changed, later ones are its updates and belong to the administrator.
    """
    if pattern is None or not host.entries("file"):
        return []
    before = host.journal.kernels
    if any(fnmatchcase(release, pattern) for release in before):
        return []
    there = [path.partition("vmlinuz-")[2] for path in host.glob("/boot/vmlinuz-*")]
    return [release for release in there if fnmatchcase(release, pattern) and release not in before]


def _refuse(conflicts: list[Conflict]) -> None:
    if conflicts:
        raise KernelArgumentError(
            "kernel arguments contradict the plan: "
            + "; ".join(str(conflict) for conflict in conflicts)
            + ". Remove them there, or change the variables that the plan is made from (cpu_partition_*, rt_kernel_*)"
        )


def _following(host: Host, entry: BootEntry) -> dict[str, Any]:
    """Return what boots next, and whether that kernel has KVM; without its list of modules it counts as complete."""
    modules = f"/lib/modules/{entry.release}"
    listed = host.read(f"{modules}/modules.dep")
    names = f"{listed or ''}\n{host.read(f'{modules}/modules.builtin') or ''}"
    kvm = listed is None or not read_machine(host).x86 or bool(re.search(r"(?m)/kvm\.ko\b", names))
    return {"release": entry.release, "tokens": entry.lines[0], "kvm": kvm}


def _result(
    host: Host, wanted: list[Argument], following: BootEntry | None, pattern: str | None, loader: str, ours: Iterable[str]
) -> dict[str, Any]:
    """Return the module's result; a reboot is due only where the kernel or one of ``ours`` differs."""
    kernel = read_kernel(host)
    found = nearest(kernel.cmdline, following.lines) if following else Comparison()
    due, others = split_comparison(found, [*ours, *(argument.token for argument in wanted)])
    matches = pattern is None or fnmatchcase(kernel.release, pattern)
    same_kernel = following is None or following.release in ("", kernel.release)
    return {
        "arguments": [asdict(argument) for argument in wanted],
        "boot_loader": loader,
        "following": _following(host, following) if following else {},
        "running": {"release": kernel.release, "tokens": list(kernel.cmdline), "matches": matches},
        "matching_kernels": [release for release in installed_kernels(host) if pattern and fnmatchcase(release, pattern)],
        "added_kernels": _added_kernels(host, pattern),
        "missing": list(due.missing),
        "unexpected": list(due.unexpected),
        "foreign_differences": {"missing": list(others.missing), "unexpected": list(others.unexpected)},
        "reboot_required": not (due.equal and same_kernel and (matches or not wanted)),
        "protection": _protection(host),
        "realtime_guests": realtime_guests(host),
        "running_guests": running_guests(host),
        "stopped_guests": stopped_guests(host),
    }


def _protection(host: Host) -> dict[str, Any]:
    secure_boot, lockdown = read_secure_boot(host), read_lockdown(host)
    return {"secure_boot": secure_boot, "lockdown": lockdown, "notes": protection_notes(secure_boot, lockdown)}
