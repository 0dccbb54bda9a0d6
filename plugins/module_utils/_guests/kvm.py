# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's KVM, the slice of guests with their CPUs, and the mounts of their huge pages. Edge."""

from __future__ import annotations

import fcntl
import os
import posixpath
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from functools import partial

from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from .._cpus.errors import HostError
from .._cpus.machine import Machine
from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._host.afterwards import afterwards, reload_systemd
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.kernel import read_machine
from .._host.lines import add_lines
from .._host.runner import systemctl

KVM = "/dev/kvm"
#: The first kernel whose KVM takes nx_huge_pages=never (also some releases of older stable kernels, which their names do not show).
_NEVER_SINCE = (6, 5)
_GET_API_VERSION, _API_VERSION = 0xAE00, 12  # linux/kvm.h

SLICE = "machine.slice"
_CGROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/cpuset")
#: Where systemd finds units and drop-ins, the strongest first (systemd.unit(5)).
_UNITS = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
MODPROBE = "/etc/modprobe.d/realtime-kvm.conf"
_LIBVIRT = ("libvirtd.service", "virtqemud.service")
#: Files that guests may read where AppArmor confines them, and the file for the administrator's additions.
_PROFILE, PROFILE_ADDITIONS = "/etc/apparmor.d/abstractions/libvirt-qemu", "/etc/apparmor.d/local/abstractions/libvirt-qemu"
_CPUMAP = "# Added by realtime.kvm (module kvm_host)\n/sys/devices/system/node/*/cpumap r,\n"


# -- KVM -------------------------------------------------------------------------------------------


def check_processor(machine: Machine) -> None:
    """Refuse a processor on which a real-time kernel has no KVM, whichever kernel is running."""
    if not machine.cpu_flags or machine.vendor not in ("GenuineIntel", "AuthenticAMD"):
        return  # not x86: there are no such flags
    if not machine.cpu_flags & {"vmx", "svm"}:
        raise HostError(
            "the processor offers no hardware virtualization (neither vmx nor svm in /proc/cpuinfo); "
            "switch it on in the firmware's setup "
            "(BIOS: Intel VT-x, AMD SVM), or for a virtual node in its hypervisor (nested virtualization)"
        )
    if "constant_tsc" not in machine.cpu_flags:
        raise HostError(
            "the processor's time stamp counter is not constant (no constant_tsc in /proc/cpuinfo), "
            "and KVM does not load on a PREEMPT_RT kernel without it; "
            "for a virtual node let its hypervisor show an invariant TSC (QEMU: -cpu host,+invtsc)"
        )


def check_device(host: Host, machine: Machine) -> None:
    """Refuse a node whose KVM does not answer."""
    module = "kvm_amd" if "svm" in machine.cpu_flags else "kvm_intel" if "vmx" in machine.cpu_flags else "kvm"
    if not host.exists(KVM):
        loaded = host.exists(f"/sys/module/{module}")
        raise HostError(
            f"{KVM} is missing although the module {module} is loaded; load it again (modprobe -r {module}; "
            f"modprobe {module}) and look at dmesg"
            if loaded
            else f"{KVM} is missing: the module {module} is not loaded. Load it (modprobe {module}); "
            "if that fails, dmesg shows the reason, mostly that "
            "virtualization is switched off in the firmware's setup (BIOS: Intel VT-x, AMD SVM)"
        )
    try:
        handle = os.open(host.path(KVM), os.O_RDWR | os.O_CLOEXEC)
        try:
            version = fcntl.ioctl(handle, _GET_API_VERSION)
        finally:
            os.close(handle)
    except OSError as error:
        raise HostError(
            f"{KVM} cannot be used: {error.strerror}; dmesg and ls -l {KVM} show more (root:kvm 0660 is usual)"
        ) from None
    if version != _API_VERSION:
        raise HostError(f"{KVM} has version {version} of its interface, QEMU needs {_API_VERSION}")


# -- the slice of guests ---------------------------------------------------------------------------


class SliceError(HostError):
    """The CPUs of a slice do not suffice for the guests in it."""

    def __init__(self, unit: str, message: str) -> None:
        super().__init__(message)
        self.unit = unit


def slice_of(tree: ET.Element) -> str:
    """Return the slice of a domain: libvirt makes ``machine-rt.slice`` of the partition ``/machine/rt`` (virsystemd.c)."""
    parts = [part.replace("-", "\\x2d") for part in (tree.findtext("./resource/partition") or "").strip().split("/") if part]
    return f"{'-'.join(parts)}.slice" if parts else SLICE


def _chain(unit: str) -> list[str]:
    """Return a slice and those above it, the outermost first: systemd nests them by their names (systemd.slice(5))."""
    parts = unit.removesuffix(".slice").split("-")
    return ["-".join(parts[: depth + 1]) + ".slice" for depth in range(len(parts))]


def slices_of(trees: Iterable[ET.Element]) -> list[str]:
    """Return the slices that these domains are in, each after those above it."""
    return list(dict.fromkeys(unit for tree in trees for unit in _chain(slice_of(tree))))


def check_slices(host: Host, partition: Partition, trees: Iterable[ET.Element]) -> None:
    """Refuse limits of the slices that these domains are in."""
    for unit in slices_of(trees):
        check_slice(host, partition, unit)


def check_slice(host: Host, partition: Partition, unit: str = SLICE) -> None:
    """Refuse a limit that would keep emulator threads off housekeeping CPUs, or vCPUs off their CPUs.

    libvirt puts guests into machine.slice, or into one that the definition names. A pin outside the slice's cpuset fails. In a
    slice of realtime CPUs alone, emulator threads would wait behind vCPUs that never yield, and the guest would never finish
    booting.
    """
    needed = partition.housekeeping | partition.sets["shared"] | partition.sets["realtime"]
    for where, text in _slice_limits(host, unit):
        try:
            allowed = parse_cpulist(",".join(re.split(r"[\s,]+", text.strip())))
        except CpuListError:
            continue  # systemd ignores it too
        missing = needed - allowed
        if allowed and missing:
            raise SliceError(
                unit,
                f"{where} limits guests to CPUs {format_cpulist(allowed)}, but they need {format_cpulist(needed)}: "
                "housekeeping CPUs "
                f"({format_cpulist(partition.housekeeping)}) for emulator threads, "
                f"realtime CPUs ({format_cpulist(partition.sets['realtime'])}) for vCPUs; "
                f"add {format_cpulist(missing)}, or remove the limit (systemctl revert {unit}, "
                "or remove the line and systemctl daemon-reload)",
            )


def _slice_limits(host: Host, unit: str) -> list[tuple[str, str]]:
    """Return the limits of the slice: those in unit files, with their places, and the kernel's own."""
    found = []
    for key in ("AllowedCPUs", "StartupAllowedCPUs"):
        lists: list[str] = []
        places: list[str] = []
        for path in _slice_files(host, unit):
            for value in re.findall(rf"^\s*{key}\s*=(.*)$", host.read(path) or "", re.MULTILINE):
                lists, places = ([*lists, value.strip()], [*places, path]) if value.strip() else ([], [])
        if lists:
            found.append((f"{' and '.join(dict.fromkeys(places))} ({key}={' '.join(lists)})", " ".join(lists)))
    groups = [f"{root}/{'/'.join(_chain(unit))}/cpuset.cpus" for root in _CGROUP_ROOTS]
    return found + [(path, text) for path in groups for text in [host.value(path)] if text]


def _slice_files(host: Host, unit: str) -> list[str]:
    """Return the slice's unit file and drop-ins in the order in which systemd reads them."""
    file = next((f"{folder}/{unit}" for folder in _UNITS if host.exists(f"{folder}/{unit}")), None)
    # drop-ins of all slices whose names begin alike too: machine-.slice.d (systemd.unit(5))
    alike = [name.replace(".slice", "-.slice") for name in reversed(_chain(unit)[:-1])]
    drop_ins: dict[str, str] = {}
    for folder in _UNITS:
        for kind in (unit, *alike, "slice"):
            for path in host.glob(f"{folder}/{kind}.d/*.conf"):
                drop_ins.setdefault(posixpath.basename(path), path)
    return ([file] if file else []) + [drop_ins[name] for name in sorted(drop_ins)]


# -- parameters of the module ----------------------------------------------------------------------


def plan_parameters(host: Host, nx_huge_pages: str, halt_poll_ns: int) -> None:
    """Plan the options for loading the kvm module; the values of a loaded module are run-time settings."""
    options = [] if nx_huge_pages == "keep" else [f"nx_huge_pages={nx_huge_pages}"]
    options += [f"halt_poll_ns={halt_poll_ns}"] if halt_poll_ns >= 0 else []
    if nx_huge_pages == "never":
        _check_never(host)
    if options:
        text = f"# Written by realtime.kvm (module kvm_host)\noptions kvm {' '.join(options)}\n"
        host.set_file(MODPROBE, text.encode(), reason="parameters of KVM")
    else:
        host.restore_files(only=(MODPROBE,))


def _check_never(host: Host) -> None:
    """Refuse a value with which an older kernel would not load KVM; note that it waits for the next load."""
    release = read_machine(host).kernel_version
    if (0, 0) < release < _NEVER_SINCE:
        raise HostError(
            f"kvm_host_nx_huge_pages: never needs Linux {'.'.join(map(str, _NEVER_SINCE))} or newer; {'.'.join(map(str, release))} "
            "would not load KVM with it. Use off, or keep"
        )
    if host.value("/sys/module/kvm/parameters/nx_huge_pages") not in (None, "never"):
        host.notes.append("kvm.nx_huge_pages=never takes effect when KVM is loaded again, that is at the next boot")
    affected = host.value("/sys/devices/system/cpu/vulnerabilities/itlb_multihit") or ""
    if affected and affected != "Not affected":
        host.notes.append(
            f"itlb_multihit is {affected!r} here: with kvm.nx_huge_pages=never a guest that is not trusted can stop the host"
        )


def plan_profile(host: Host) -> None:
    """Plan to let QEMU read which CPUs a NUMA node has, where its AppArmor profile does not.

    QEMU allocates memory that is bound to a node in threads on that node's CPUs (qemu(1), thread-context), so a real-time
    guest does not start without the rule. Debian 12's libvirt lacks it; later versions have it. It applies from a guest's
    next start.
    """
    profile = host.read(_PROFILE)
    if profile is not None and not re.search(r"^\s*/sys/devices/system/node/\S*cpumap\s+r", profile, re.MULTILINE):
        add_lines(host, PROFILE_ADDITIONS, _CPUMAP, reason="QEMU reads which CPUs a NUMA node has, to bind a guest's memory")


# -- huge pages as files ---------------------------------------------------------------------------


def mount_unit(size: str) -> str:
    """Return the name of the unit that mounts the huge pages of a size."""
    return f"dev-hugepages{size}.mount"


_MOUNT = """\
# Written by realtime.kvm (module kvm_host), which replaces this file as a whole.
[Unit]
Description=Huge pages of {size} for guests and switch
DefaultDependencies=no
Before=sysinit.target
ConditionPathExists=/sys/kernel/mm/hugepages/hugepages-{kib}kB

[Mount]
What=hugetlbfs
Where=/dev/hugepages{size}
Type=hugetlbfs
Options=nosuid,nodev,pagesize={size}

[Install]
WantedBy=sysinit.target
"""


def _mounted(host: Host) -> dict[int, str] | None:
    """Return where huge pages are mounted, by page size in MiB; None where the machine does not show it."""
    text = host.read("/proc/mounts")
    if text is None:
        return None
    return {int(size): folder for folder, size in re.findall(r"^\S+ (\S+) hugetlbfs \S*pagesize=(\d+)M\b", text, re.MULTILINE)}


def plan_mounts(host: Host, runner: Runner, sizes: Iterable[str]) -> None:
    """Plan a mount for each page size without one; QEMU and DPDK use their pages as files.

    systemd mounts the default size (2 MiB on x86) itself. libvirt looks for mounts when it starts.
    """
    mounted = _mounted(host)
    for size in sorted(sizes):
        unit = f"/etc/systemd/system/{mount_unit(size)}"
        there = mounted is None or PAGE_MIB[size] in mounted
        if there and unit not in host.entries("file"):
            continue
        text = _MOUNT.format(size=size, kib=PAGE_MIB[size] * 1024)
        host.set_file(unit, text.encode(), reason=f"huge pages of {size} as files")
        host.set_link(f"/etc/systemd/system/sysinit.target.wants/{mount_unit(size)}", unit, reason="mounted at boot")
        if not there:
            change = Change(
                f"mount:/dev/hugepages{size}", None, f"huge pages of {size}", reason="QEMU and DPDK take pages as files"
            )
            host.follow_up(change, partial(_mount, host, runner, size))


def _mount(host: Host, runner: Runner, size: str) -> None:
    reload_systemd(host, runner)
    systemctl(runner, "start", mount_unit(size))
    for unit in _LIBVIRT:  # guests keep running
        runner(["systemctl", "try-restart", unit])


def plan_unmount(host: Host, runner: Runner) -> None:
    """Plan to remove the mounts; call this before the files are restored."""
    mounted = _mounted(host) or {}
    for size in PAGE_MIB:
        where = f"/dev/hugepages{size}"
        if f"/etc/systemd/system/{mount_unit(size)}" in host.entries("file") and where in mounted.values():
            change = Change(f"mount:{where}", f"huge pages of {size}", None, reason="restored")
            host.follow_up(change, partial(systemctl, runner, "stop", mount_unit(size)))


def plan_libvirt_restart(host: Host, runner: Runner, hook: str) -> None:
    """Plan to restart libvirt's daemons after a planned hook that is new, since they look for hooks only when they start.

    Guests keep running.
    """
    new = any(change.resource == hook and change.before is None for change in host.changes)
    for name in ("libvirtd", "virtqemud"):
        pid = host.value(f"/run/{name}.pid") or ""
        runs = pid.isdecimal() and host.exists(f"/proc/{pid}/stat")
        afterwards(
            host,
            f"service:{name}",
            partial(systemctl, runner, "try-restart", f"{name}.service"),
            due=runs and new,
            change=Change(f"service:{name}", "started before its hook", "started with it", reason="hooks are looked for once"),
        )
