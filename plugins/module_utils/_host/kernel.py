# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the machine's running kernel, its command line and the processor. Edge, read-only."""

from __future__ import annotations

import re

from .._cpus.cmdline import split_tokens
from .._cpus.cpulist import parse_or_empty
from .._cpus.machine import CPU_ROOT, Kernel, Machine
from .host import Host


def read_online(host: Host) -> frozenset[int]:
    """Return the CPUs that are online."""
    return parse_or_empty(host.value(f"{CPU_ROOT}/online"))


def read_kernel(host: Host) -> Kernel:
    """Return the running kernel. The version text shows PREEMPT_RT, since /sys/kernel/realtime is not mainline."""
    version = host.value("/proc/sys/kernel/version") or host.value("/proc/version") or ""
    return Kernel(
        release=host.value("/proc/sys/kernel/osrelease") or "",
        realtime="PREEMPT_RT" in version or "PREEMPT RT" in version,
        cmdline=tuple(split_tokens(host.value("/proc/cmdline") or "")),
        isolated=parse_or_empty(host.value(f"{CPU_ROOT}/isolated")),
        nohz_full=parse_or_empty(host.value(f"{CPU_ROOT}/nohz_full")),
    )


def read_machine(host: Host) -> Machine:
    """Return the facts that the kernel arguments depend on."""
    kernel = read_kernel(host)
    cpuinfo = host.read("/proc/cpuinfo") or ""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", cpuinfo, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return Machine(
        kernel_release=kernel.release,
        vendor=vendor[1] if vendor else "",
        cpu_flags=frozenset(flags[1].split()) if flags else frozenset(),
        realtime_kernel=kernel.realtime,
        architecture=_architecture(cpuinfo, kernel.release),
    )


def _architecture(cpuinfo: str, release: str) -> str:
    """Return the architecture by what /proc/cpuinfo has on it, else by the end of the kernel's release."""
    shown = {
        "x86_64": (r"(?m)^vendor_id\s*:", r"[-.](amd64|x86_64)\b"),
        "aarch64": (r"(?m)^CPU implementer\s*:", r"[-.](arm64|aarch64)\b"),
    }
    for name, (line, _suffix) in shown.items():
        if re.search(line, cpuinfo):
            return name
    return next((name for name, (_line, suffix) in shown.items() if re.search(suffix, release)), "other" if cpuinfo else "")


#: The firmware's variable: four bytes of attributes, then 1 where Secure Boot is on (UEFI specification, global variables).
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOCKDOWN = "/sys/kernel/security/lockdown"


def read_secure_boot(host: Host) -> bool | None:
    """Return whether Secure Boot is on; None where the firmware has none."""
    content = host.read_bytes(SECURE_BOOT)
    return content[4] == 1 if content is not None and len(content) == 5 else None


def read_lockdown(host: Host) -> str:
    """Return the kernel's lockdown (none, integrity, confidentiality); empty for a kernel without it."""
    found = re.search(r"\[(\w+)\]", host.value(LOCKDOWN) or "")
    return found[1] if found else ""


def lacks_module(host: Host, name: str) -> str:
    """Return the running kernel's release if it lacks a module; empty where it has it, or nothing tells."""
    release = host.value("/proc/sys/kernel/osrelease") or ""
    listed = host.read(f"/lib/modules/{release}/modules.dep")
    names = f"{listed or ''}\n{host.read(f'/lib/modules/{release}/modules.builtin') or ''}"
    return release if listed is not None and not re.search(rf"(?m)/{name}\.ko\b", names) else ""
