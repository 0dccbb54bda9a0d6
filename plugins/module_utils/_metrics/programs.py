# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what keeps the node as it is does its work: boot service, watcher of interrupts, libvirt's hook. Edge, read-only."""

from __future__ import annotations

import os

from .._cpus.answers import AnswerError, decode
from .._cpus.errors import HostError
from .._host.paths import ARCHIVE, DOCUMENT
from .._host.threads import working_pids
from .look import Look
from .samples import Samples

#: Files of other parts, named here since their code would be loaded for the name alone: ``_runtime/gate.py``, ``_interrupts/watcher.py``,
#: ``_node/hook.py``.
BOOT_STATE = "/run/realtime-kvm/boot.json"
WATCHER_UNIT = "/etc/systemd/system/realtime-kvm-watch.service"
HOOK = "/etc/libvirt/hooks/qemu.d/realtime-kvm"


def program_samples(look: Look, out: Samples) -> None:
    """Of those that the roles have set up, who does its work."""
    host = look.host
    if host.exists(WATCHER_UNIT):
        out.add("program_up", _watches(look), "watcher")
    if host.exists(HOOK):
        out.add("program_up", os.access(host.path(HOOK), os.X_OK) and host.exists(ARCHIVE), "hook")
    if not host.exists(DOCUMENT):
        return
    text = host.read(BOOT_STATE)
    try:
        made = {} if text is None else decode(text, {str: str})
    except AnswerError as error:
        out.add("program_up", 0, "boot_service")
        raise HostError(f"{BOOT_STATE} is damaged ({error})") from None
    out.add("program_up", text is not None and not any(made.values()), "boot_service")


def _watches(look: Look) -> bool:
    """Whether the watcher is at work, on housekeeping CPUs alone: as the audit's rule interrupt-watcher."""
    pids = working_pids(look.host, os.path.basename(WATCHER_UNIT))
    elsewhere = look.partition is not None and any(look.allowed(pid, pid) - look.partition.housekeeping for pid in pids)
    return bool(pids) and not elsewhere
