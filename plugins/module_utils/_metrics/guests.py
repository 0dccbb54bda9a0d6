# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests, from libvirt's own files, and their threads. Edge, read-only.

libvirt is not asked: an answer about all guests keeps its service busy, and it may hang where the files do not.
"""

from __future__ import annotations

import os
import re

from .._cpus.answers import AnswerError, printable
from .._cpus.errors import HostError
from .._host.files import read_file
from .._host.host import Host
from .._host.threads import PID_DIR, SWITCH_PID, guest_pids
from .definitions import Definition, parse_definition, runs
from .families import MOST_GUESTS, MOST_VCPUS
from .look import Look
from .samples import Samples

DEFINITIONS = "/etc/libvirt/qemu"
AUTOSTART = f"{DEFINITIONS}/autostart"
#: A larger definition is no guest's.
_MOST_BYTES = 1 << 20
_VCPU = re.compile(r"CPU (\d+)/\w+")
_PMD = re.compile(r"pmd-c(\d+)")


def guest_samples(look: Look, out: Samples) -> None:
    """State and owner of guests: first of those that start with the node, then of those that run."""
    host = look.host
    defined, automatic, running = _listed(host, DEFINITIONS), _listed(host, AUTOSTART), guest_pids(host)
    names = sorted(defined | running.keys(), key=lambda name: (name not in automatic, name not in running, name))
    damaged = ""
    for place, name in enumerate(names):
        shown = place < MOST_GUESTS
        path = f"{DEFINITIONS if name in defined else PID_DIR}/{name}.xml"
        text = _read(host, path)
        try:
            found = parse_definition(text) if shown or "<vcpupin" in text else Definition()
        except AnswerError as error:
            found, damaged = Definition(), damaged or f"{printable(path)}: {error}"
        look.taken |= found.pinned
        if shown:
            _add(out, name, found)
            out.add("guest_autostart", name in automatic, name)
            out.add("guest_running", name in running and runs(_read(host, f"{PID_DIR}/{name}.xml")), name)
    look.running = {name: running[name] for name in names[:MOST_GUESTS] if name in running}
    out.add("guests_omitted", max(len(names) - MOST_GUESTS, 0))
    if damaged:
        raise HostError(damaged)


def _add(out: Samples, name: str, found: Definition) -> None:
    out.add("guest_info", 1, name, found.owner, found.project, found.size)
    out.add("guest_realtime_vcpus", found.realtime, name)


def _listed(host: Host, folder: str) -> set[str]:
    """Return the guests that have a file in a folder of libvirt's."""
    try:
        found = os.listdir(host.path(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise HostError(f"{folder} cannot be read: {error.strerror}; run as root") from None
    return {name[: -len(".xml")] for name in found if name.endswith(".xml")}


def _read(host: Host, path: str) -> str:
    try:
        return (read_file(host.path(path), _MOST_BYTES) or b"").decode(errors="replace")
    except (OSError, OverflowError):
        return ""


def thread_samples(look: Look, out: Samples) -> None:
    """What the kernel counts of vCPUs and poll-mode threads."""
    left = MOST_VCPUS
    for name, pid in look.running.items():
        for tid in look.threads(pid):
            vcpu = _VCPU.fullmatch(look.name(pid, tid))
            if vcpu and left > 0:
                left -= 1
                _vcpu(look, out, pid, tid, (name, vcpu[1], look.policy(pid, tid)))
    switch = look.host.value(SWITCH_PID) or ""
    for tid in look.threads(int(switch)) if switch.isdecimal() else ():
        polling = _PMD.match(look.name(int(switch), tid))
        switches = look.switches(int(switch), tid) if polling else None
        if polling and switches is not None:
            out.add("pmd_involuntary_switches", switches, int(polling[1]))


def _vcpu(look: Look, out: Samples, pid: int, tid: int, labels: tuple[str, str, str]) -> None:
    times = look.schedule(pid, tid)
    if times is not None:
        out.add("vcpu_run_seconds", times[0], *labels)
        out.add("vcpu_run_delay_seconds", times[1], *labels)
    cpus = look.allowed(pid, tid)
    if cpus and cpus <= look.isolated:
        switches = look.switches(pid, tid)
        if switches is not None:
            out.add("vcpu_involuntary_switches", switches, *labels)
