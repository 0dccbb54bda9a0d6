# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon ovs-vswitchd: its program, CPUs and start, and the folder of the sockets that it shares with QEMU. Edge."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._guests.network import SOCKET_DIR
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.paths import ARCHIVE
from .._host.runner import run_checked, systemctl
from .._host.threads import read_thread, set_affinity
from .._isolation.users import has_remote_partitions
from .plan import SwitchError

PID_FILE = "/run/openvswitch/ovs-vswitchd.pid"
LOG = "/var/log/openvswitch/ovs-vswitchd.log"
PROGRAM = "/usr/sbin/ovs-vswitchd"
DRIVERCTL = "/usr/sbin/driverctl"
DROP_IN = "/etc/systemd/system/ovs-vswitchd.service.d/realtime-kvm.conf"
#: Starts after the daemon, outside its unit: a process of systemd's there would keep threads from having their own cgroups.
SWITCH_UNIT = "/etc/systemd/system/realtime-kvm-switch.service"
_SWITCH_UNIT_TEXT = f"""\
# Written by realtime.kvm (module ovs_dpdk), which replaces this file as a whole.
[Unit]
Description=Real-time CPU partition: isolated CPUs for the switch's poll-mode threads
After=ovs-vswitchd.service
PartOf=ovs-vswitchd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 -I {ARCHIVE} switch started
"""
TMPFILES = "/etc/tmpfiles.d/realtime-kvm.conf"
#: The same on all distributions; the unit that administrators start wraps both.
DAEMON_UNIT = "ovs-vswitchd.service"
SERVER_UNIT = "ovsdb-server.service"

#: Debian and Ubuntu install the daemon twice, without and with DPDK, and choose by alternatives.
ALTERNATIVE = "/etc/alternatives/ovs-vswitchd"
PLAIN_PROGRAM = "/usr/lib/openvswitch-switch/ovs-vswitchd"
DPDK_PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
_ALTERNATIVE_STATE = "/var/lib/dpkg/alternatives/ovs-vswitchd"
_PLUGINS = "/usr/lib/*/dpdk/pmds-*"


def is_debian(host: Host) -> bool:
    return host.exists("/etc/debian_version")


def is_installed(host: Host, *, devices: bool = False) -> bool:
    """Whether the packages of the ovs_dpdk role are installed; ``devices``: also those that physical ports need."""
    if devices and not host.exists(DRIVERCTL):
        return False
    if not is_debian(host):
        return host.exists(PROGRAM)
    plugins = ["mempool_ring", *(["net_*"] if devices else [])]
    return host.exists(DPDK_PROGRAM) and all(host.glob(f"{_PLUGINS}/librte_{plugin}.so*") for plugin in plugins)


@dataclass(frozen=True)
class Daemon:
    """A running ovs-vswitchd; ``process`` identifies it for good."""

    pid: int
    process: str


def find_daemon(host: Host) -> Daemon | None:
    """Return the running daemon, None where it does not run."""
    text = host.value(PID_FILE) or ""
    thread = read_thread(host, int(text)) if text.isdecimal() else None
    if thread is None or not thread.name.startswith("ovs-vswitchd"):
        return None
    return Daemon(thread.pid, f"{host.boot_id()[:8]}-{thread.pid}-{thread.started}")


# -- files -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Whose the sockets' folder is."""

    mode: str
    user: str
    group: str

    def __str__(self) -> str:
        return f"{self.mode} {self.user}:{self.group}"


def socket_folder(host: Host, given: str) -> Folder:
    """Return whose the sockets' folder is: QEMU's user alone may make and enter sockets.

    Whoever else may, could take a guest's place at the switch, or the switch's place at a guest, whose memory it then sees. Only
    where a group is given, since QEMU runs as several users, its members may; sticky, so that none removes another's socket.
    """
    if given and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", given):
        raise SwitchError(f"ovs_dpdk_socket_group: {given!r} is not the name of a group")
    if given:
        return Folder("1770", "root", given)
    # beside Debian, the daemon enters by an ACL, whose mask stat shows as the group's rights
    return Folder("0700" if is_debian(host) else "0770", _qemu_user(host), "root")


def note_selinux(host: Host) -> None:
    """Say what SELinux may refuse: no label is set here, and no policy was tried."""
    if host.value("/sys/fs/selinux/enforce") == "1":
        host.notes.append(
            f"SELinux is enforcing and {SOCKET_DIR} has no label of its own: the switch reaches the guests' sockets only where the policy lets openvswitch_t "
            "connect to svirt_t (package openvswitch-selinux-policy or openvswitch-selinux-extra-policy). Where a guest's port has no link, ausearch -m avc "
            "-c ovs-vswitchd shows what was refused"
        )


def _qemu_user(host: Host) -> str:
    """Return the user that libvirt runs QEMU as."""
    named = re.search(r"^\s*user\s*=\s*\"\+?([A-Za-z0-9_-]+)\"", host.read("/etc/libvirt/qemu.conf") or "", re.MULTILINE)
    if named:
        return _names(host, "/etc/passwd").get(int(named[1]), named[1]) if named[1].isdecimal() else named[1]
    return "libvirt-qemu" if is_debian(host) else "qemu"


def plan_files(host: Host, runner: Runner, partition: Partition, folder: Folder) -> None:
    """Plan the daemon's CPUs and the sockets' folder as files that survive a reboot, and make the folder now."""
    cpus = format_cpulist(partition.housekeeping)
    drop_in = (
        "# Written by realtime.kvm (module ovs_dpdk), which replaces this file as a whole.\n"
        f"[Service]\n# all threads but those that poll, which bind themselves to pmd-cpu-mask\nCPUAffinity=\nCPUAffinity={cpus}\n"
    )
    if partition.isolation == "runtime":
        drop_in += _isolated_units(host)
        host.set_file(SWITCH_UNIT, _SWITCH_UNIT_TEXT.encode(), reason="poll-mode threads get their isolated CPUs")
    else:
        host.restore_files(only=[SWITCH_UNIT])
    host.set_file(DROP_IN, drop_in.encode(), reason="threads that do not poll stay on housekeeping CPUs")
    host.set_file(TMPFILES, _tmpfiles(host, folder).encode(), reason="the folder of the sockets of QEMU and switch")
    current = _describe_folder(host)
    if current != str(folder):
        change = Change(SOCKET_DIR, current, str(folder), reason="only QEMU may make sockets, and only the switch may use them")
        host.follow_up(change, partial(_make_folder, host, runner, folder))


def _isolated_units(host: Host) -> str:
    """Return the unit lines that give poll-mode threads their isolated CPUs and return these when the daemon ends."""
    tool = f"-/usr/bin/python3 -I {ARCHIVE} switch"
    lines = [f"ExecStopPost={tool} stopped", "[Unit]", f"Wants={os.path.basename(SWITCH_UNIT)}"]
    if has_remote_partitions(host):
        # this collection manages the threads' cgroups below the unit
        return "\n".join(["Delegate=cpuset", *lines, ""])
    # older kernels have no partition below another cgroup: the daemon leaves system.slice, which has no isolated CPUs
    return "\n".join(["Slice=realtime.slice", f"ExecStartPre={tool} starting", *lines, ""])


def _tmpfiles(host: Host, folder: Folder) -> str:
    parent = os.path.dirname(SOCKET_DIR)
    lines = [
        "# Written by realtime.kvm (module ovs_dpdk), which replaces this file as a whole.",
        f"d {parent} 0755 root root -",
        f"d {SOCKET_DIR} {'0700' if folder.group == 'root' else folder.mode} {folder.user} {folder.group} -",
    ]
    if not is_debian(host):  # Debian runs the daemon as root
        lines.append(f"a+ {SOCKET_DIR} - - - - u:openvswitch:rwx,d:u:openvswitch:rwx")
    return "\n".join(lines) + "\n"


def _names(host: Host, file: str) -> dict[int, str]:
    """Return the names in /etc/passwd or /etc/group by number."""
    fields = [line.split(":") for line in (host.read(file) or "").splitlines()]
    return {int(field[2]): field[0] for field in fields if len(field) > 2 and field[2].isdecimal()}


def _describe_folder(host: Host) -> str | None:
    try:
        info = os.lstat(host.path(SOCKET_DIR))
    except OSError:
        return None
    user, group = _names(host, "/etc/passwd").get(info.st_uid), _names(host, "/etc/group").get(info.st_gid)
    root = {0: "root"}
    return (
        f"{info.st_mode & 0o7777:04o} {user or root.get(info.st_uid, info.st_uid)}:{group or root.get(info.st_gid, info.st_gid)}"
    )


def _make_folder(host: Host, runner: Runner, folder: Folder) -> None:
    for what, name, file in (("user", folder.user, "/etc/passwd"), ("group", folder.group, "/etc/group")):
        if name != "root" and name not in _names(host, file).values():
            raise HostError(
                f"there is no {what} {name} on this node; run the kvm_host role, which installs QEMU, or set ovs_dpdk_socket_group"
            )
    run_checked(runner, ["systemd-tmpfiles", "--create", TMPFILES])


def remove_folder(host: Host) -> None:
    """Plan to remove the sockets' folder, unless guests have sockets in it."""
    if not host.exists(SOCKET_DIR):
        return
    sockets = host.listdir(SOCKET_DIR)
    if sockets:
        host.notes.append(f"{SOCKET_DIR} stays until the next boot, since guests have sockets in it: {', '.join(sockets)}")
        return
    host.follow_up(Change(SOCKET_DIR, _describe_folder(host), None, reason="restored"), partial(_remove_folder, host))


def _remove_folder(host: Host) -> None:
    with suppress(OSError):  # the folder holds files of other users
        os.rmdir(host.path(SOCKET_DIR))
        os.rmdir(host.path(os.path.dirname(SOCKET_DIR)))


# -- program ---------------------------------------------------------------------------------------


def plan_program(host: Host, runner: Runner, *, devices: bool = False) -> None:
    """Plan that the daemon with DPDK starts."""
    if not host.dry and not is_installed(host, devices=devices):
        wanted = [DPDK_PROGRAM if is_debian(host) else PROGRAM, *([DRIVERCTL] if devices else [])]
        raise HostError(
            f"Open vSwitch with DPDK is not complete on this node ({', '.join(wanted)} or DPDK's plug-ins are missing); "
            "run the ovs_dpdk role"
        )
    if not is_debian(host):
        return
    current = _alternative(host)
    if current != DPDK_PROGRAM:
        mode = (host.read(_ALTERNATIVE_STATE) or "auto").split("\n", 1)[0]
        host.change(
            Change("alternatives:ovs-vswitchd", current, DPDK_PROGRAM, reason="the daemon with DPDK"),
            partial(run_checked, runner, ["update-alternatives", "--set", "ovs-vswitchd", DPDK_PROGRAM]),
            kind="alternative",
            original={"program": current, "mode": mode},
        )


def _alternative(host: Host) -> str:
    full = host.path(ALTERNATIVE)
    return os.readlink(full) if os.path.islink(full) else PLAIN_PROGRAM  # the package's choice at installation


def restore_program(host: Host, runner: Runner) -> None:
    for resource, original in host.entries("alternative").items():
        current, program = _alternative(host), original["program"]
        change = None if current == program or not host.exists(program) else Change(resource, current, program, reason="restored")
        how = ("--auto", "ovs-vswitchd") if original["mode"] == "auto" else ("--set", "ovs-vswitchd", program)
        host.restore(change, resource, partial(run_checked, runner, ["update-alternatives", *how]))


def plan_enabled(host: Host) -> None:
    """Plan that the switch starts at boot. Debian's package enables it at installation."""
    name = "openvswitch-switch.service" if is_debian(host) else "openvswitch.service"
    unit = next((path for path in (f"/usr/lib/systemd/system/{name}", f"/lib/systemd/system/{name}") if host.exists(path)), None)
    if unit is None and is_debian(host):
        return
    if not host.glob(f"/etc/systemd/system/*.wants/{name}"):
        host.set_link(
            f"/etc/systemd/system/multi-user.target.wants/{name}",
            unit or f"/usr/lib/systemd/system/{name}",
            reason="starts at boot",
        )


# -- threads ---------------------------------------------------------------------------------------


def plan_threads(host: Host, daemon: Daemon, partition: Partition) -> None:
    """Plan to move the running daemon's threads, except those that poll, to housekeeping CPUs."""
    for task in host.listdir(f"/proc/{daemon.pid}/task"):
        thread = read_thread(host, int(task), f"/proc/{daemon.pid}/task/{task}")
        if thread is None or thread.name.startswith("pmd-") or thread.allowed <= partition.housekeeping:
            continue
        before, after = format_cpulist(thread.allowed), format_cpulist(partition.housekeeping)
        change = Change(f"{thread.resource}:affinity", before, after, reason="threads that do not poll stay on housekeeping CPUs")
        host.change(change, partial(set_affinity, thread.pid, after), kind="thread")


# -- start and restart -----------------------------------------------------------------------------


def check_pages(host: Host, settings: Mapping[str, str | None], held: Mapping[str, str], *, running: bool) -> None:
    """Refuse a start for which huge pages are missing: the daemon would end at once, again and again.

    ``held`` are the settings by which a running daemon has allocated its memory, which it frees first.
    """
    wanted = _numbers(settings.get("dpdk-socket-mem"))
    back = _numbers(held.get("dpdk-socket-mem")) if running else []
    for node, mib in enumerate(wanted):
        base = f"/sys/devices/system/node/node{node}/hugepages"
        free = sum(
            int(host.value(f"{path}/free_hugepages") or 0) * int(path.rsplit("-", 1)[1].removesuffix("kB")) // 1024
            for path in host.glob(f"{base}/hugepages-*kB")
        )
        free += back[node] if node < len(back) else 0
        if mib > free:
            raise SwitchError(
                f"ovs_dpdk_socket_memory_mib: the switch needs {mib} MiB of huge pages on NUMA node {node}, "
                f"{free} MiB are free; run the kvm_host role, "
                "which reserves them, or set ovs_dpdk_socket_memory_mib to a smaller number"
            )


def _numbers(text: str | None) -> list[int]:
    return [int(item) if item.strip().isdecimal() else 0 for item in (text or "").split(",") if text]


def start(host: Host, runner: Runner, *, restart: bool, after: Callable[[], Any]) -> None:
    """Read unit files, start or restart the daemon, and then do ``after``."""
    if host.exists("/run/systemd/system"):
        systemctl(runner, "daemon-reload")
    runner(["systemctl", "reset-failed", DAEMON_UNIT])  # so that a daemon that failed too often may start again
    code, out, err = runner(["systemctl", "restart" if restart else "start", DAEMON_UNIT])
    if code != 0:
        raise HostError(f"ovs-vswitchd did not start: {(err or out).strip()[-300:]}{last_errors(host)}")
    after()


def last_errors(host: Host) -> str:
    """Return the last errors in the daemon's log, as the end of a message."""
    lines: list[str] = []
    with suppress(HostError):  # it may be too large
        lines = (host.read(LOG) or "")[-16384:].splitlines()
    errors = [line.split("|", 2)[-1] for line in lines if "|EMER|" in line or "|ERR|" in line]
    return f"; its log: {' / '.join(errors[-3:])}" if errors else f"; see {LOG}"


def start_server(runner: Runner) -> None:
    """Start the database's server."""
    systemctl(runner, "start", SERVER_UNIT)
