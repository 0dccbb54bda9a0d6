# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as small trees of files, a Host that may write to them, and children that are killed on the way."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import traceback
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import Partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host import files as host_files
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from property.machines import regular

KILLED = 99
#: Audit events of system calls that change files; an event comes just before its call.
_STEPS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate")


def fill(root, files):
    """Write files below a root: text, bytes, None for a directory, ("link", target) for a symbolic link."""
    for path, content in files.items():
        full = Path(f"{root}{path}")
        full.parent.mkdir(parents=True, exist_ok=True)
        if content is None or path.endswith("/"):
            full.mkdir(exist_ok=True)
        elif isinstance(content, tuple):
            full.symlink_to(content[1])
        elif isinstance(content, bytes):
            full.write_bytes(content)
        else:
            full.write_text(content)
    return root


def machine_files(isolated="", version="#1 SMP PREEMPT_RT Debian 6.1.170-3", **shape):
    """What a small machine shows of itself; two cores of one thread each unless a shape is given."""
    return {
        **regular(**{"nodes": 1, "cores": 4, "threads": 1, **shape}).files(),
        BOOT_ID: "aaaa\n",
        "/sys/devices/system/cpu/isolated": f"{isolated}\n",
        "/proc/sys/kernel/version": f"{version}\n",
        "/proc/sys/kernel/osrelease": "6.1.0-50-rt-amd64\n",
        "/proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.1.0-50-rt-amd64 root=UUID=0 ro quiet\n",
    }


def memory_files(total, free=None, pages=None):
    """What NUMA nodes show of their memory: MiB in all, MiB free (all of it unless given), pages there are and free by node and size."""
    files = {}
    for node, mib in total.items():
        base, left = f"/sys/devices/system/node/node{node}", (free or {}).get(node, mib)
        files[f"{base}/meminfo"] = f"Node {node} MemTotal:       {mib * 1024} kB\nNode {node} MemFree:  {left * 1024} kB\n"
        for size, folder in (("2M", "hugepages-2048kB"), ("1G", "hugepages-1048576kB")):
            have, unused = (pages or {}).get((node, size), (0, 0))
            files[f"{base}/hugepages/{folder}/nr_hugepages"] = f"{have}\n"
            files[f"{base}/hugepages/{folder}/free_hugepages"] = f"{unused}\n"
    return files


def plan(intent=None, **shape):
    """The partition of that machine; by default CPU 0 keeps house and 1-3 are realtime."""
    return plan_partition(build_topology(machine_files(**shape)), intent or Intent())


def documented(partition):
    """The partition's document, as a file of the node; the partition is one, or the document itself."""
    document = to_document(partition) if isinstance(partition, Partition) else partition
    return {DOCUMENT: json.dumps(document)}


def texts(partition):
    return {name: format_cpulist(cpus) for name, cpus in partition.sets.items() if cpus}


def writable(root, owner="test", check_mode=False):
    """A Host that writes to a tree."""
    return Host(str(root), owner=owner, check_mode=check_mode)


def refuse_writes(monkeypatch, paths, number):
    """Let the kernel refuse each write to these files with an error number."""
    real = open

    def refusing(name, mode="r", *rest, **options):
        if name in paths and "w" in mode:
            raise OSError(number, os.strerror(number))
        return real(name, mode, *rest, **options)

    monkeypatch.setattr("builtins.open", refusing)


def refuse_reads(monkeypatch, *paths, number=errno.EIO):
    """Let the kernel refuse to read these files; return a function that ends it."""
    real, refused = host_files.read_file, set(paths)

    def read(full, most=None):
        if any(full.endswith(path) for path in refused):
            raise OSError(number, os.strerror(number))
        return real(full, most)

    monkeypatch.setattr(host_files, "read_file", read)
    return refused.clear


def snapshot(root):
    """Everything below a root: its kind, its mode and its content."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            full = os.path.join(folder, name)
            info = os.lstat(full)
            if stat.S_ISLNK(info.st_mode):
                content = ("link", os.readlink(full))
            elif stat.S_ISDIR(info.st_mode):
                content = ("directory", stat.S_IMODE(info.st_mode))
            elif info.st_size > 1 << 26:  # a sparse image of a disk
                content = ("file", stat.S_IMODE(info.st_mode), info.st_size, info.st_blocks)
            else:
                content = ("file", stat.S_IMODE(info.st_mode), Path(full).read_bytes())
            found[full[len(str(root)) :]] = content
    return found


def _is_step(event, arguments):
    return event in _STEPS or (
        event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    )


def killed_at(step, work, root):
    """Run ``work`` in a child that dies just before its n-th change of a file below ``root``; return whether it died so."""
    child = os.fork()
    if child == 0:
        _child(step, work, str(root))
    _rest, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), "the child failed by itself"
    return code == KILLED


def _child(step, work, root):
    left = step

    def hook(event, arguments):
        nonlocal left
        if _is_step(event, arguments) and str(arguments[0]).startswith((root, "<", *"0123456789")):
            if left == 0:
                os._exit(KILLED)
            left -= 1

    code = 1
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def task(base, name, *, flags=0, policy=0, priority=0, allowed="0-3", started=100, comm=None):
    """Return the files of a task of /proc."""
    pid = base.rsplit("/", 1)[1]
    fields = ["S", "2", "0", "0", "0", "-1", str(flags), *["0"] * 12, str(started), *["0"] * 17, str(priority), str(policy), "0"]
    return {
        f"{base}/stat": f"{pid} ({name}) {' '.join(fields)}\n",
        f"{base}/status": f"Name:\t{name}\nCpus_allowed:\tf\nCpus_allowed_list:\t{allowed}\nMems_allowed_list:\t0\n",
        f"{base}/comm": f"{comm or name}\n",
    }
