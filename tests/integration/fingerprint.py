# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node: prints, as JSON, the digest of every configuration file and the value of every kernel setting.

It knows nothing of what the collection touches: whole trees are read, so that a forgotten file shows.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat

TREES = ("/etc", "/boot", "/usr/local", "/var/lib/realtime-kvm", "/usr/lib/systemd", "/usr/lib/modprobe.d", "/usr/lib/tmpfiles.d")
# What changes by itself from boot to boot, and what the package manager keeps of its own doings.
VOLATILE = (
    "/etc/mtab",
    "/etc/resolv.conf",
    "/etc/machine-id",
    "/etc/.updated",
    "/etc/ld.so.cache",
    "/boot/grub/grubenv",
    "/var/lib/realtime-kvm/removed-guests/",  # stays after undo, by design
    "/proc/sys/kernel/random/",
    "/proc/sys/fs/dentry-state",
    "/proc/sys/fs/file-nr",
    "/proc/sys/fs/inode-",
    "/proc/sys/fs/aio-nr",
    "/proc/sys/fs/quota/",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/pty/nr",
    "/proc/sys/kernel/sched_domain/",
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/sys/fs/epoll/",
    "/proc/sys/kernel/perf_event_max_sample_rate",
    "/proc/sys/kernel/perf_cpu_time_max_percent",
    "/proc/sys/kernel/spl",
    # computed at boot from the memory that is free then
    "/proc/sys/kernel/threads-max",
    "/proc/sys/vm/user_reserve_kbytes",
    "/proc/sys/vm/admin_reserve_kbytes",
    "/proc/sys/vm/min_free_kbytes",
    "/proc/sys/user/max_",
)
SETTINGS = (
    "/sys/devices/virtual/workqueue/cpumask",
    "/sys/devices/virtual/workqueue/*/cpumask",
    "/sys/devices/system/cpu/cpu*/power/pm_qos_resume_latency_us",
    "/sys/devices/system/cpu/cpu*/power/energy_perf_bias",
    "/sys/devices/system/cpu/cpufreq/policy*/*",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/smt/control",
    "/sys/devices/system/machinecheck/machinecheck*/*",
    "/sys/kernel/mm/ksm/run",
    "/sys/kernel/mm/transparent_hugepage/*",
    "/sys/kernel/debug/sched/fair_server/cpu*/runtime",
    "/sys/kernel/debug/sched/fair_server/cpu*/period",
    "/sys/module/kvm*/parameters/*",
    "/proc/irq/default_smp_affinity",
    "/sys/bus/pci/devices/*/driver_override",
    "/sys/bus/pci/devices/*/sriov_numvfs",
    "/sys/bus/pci/devices/*/sriov_drivers_autoprobe",
    "/sys/class/net/*/address",
)


def volatile(path):
    return path.startswith(VOLATILE)


def describe(path):
    """Return mode, owner and digest (or link target) of a file."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "link " + os.readlink(path)
    kind = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if not stat.S_ISREG(status.st_mode):
        return kind
    with open(path, "rb") as stream:
        return kind + " " + hashlib.sha256(stream.read()).hexdigest()


def value(path):
    try:
        with open(path) as stream:
            return stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        return type(error).__name__


found = {}
for tree in TREES:
    for folder, folders, names in os.walk(tree):
        for name in folders + names:
            path = os.path.join(folder, name)
            if not volatile(path):
                found[path] = describe(path)
for folder, _folders, names in os.walk("/proc/sys"):
    for name in names:
        path = os.path.join(folder, name)
        if not volatile(path) and os.access(path, os.W_OK) and os.lstat(path).st_mode & stat.S_IRUSR:
            found[path] = value(path)
for pattern in SETTINGS:
    for path in glob.glob(pattern):
        if os.path.isfile(path):
            found[path] = value(path)
for path in glob.glob("/sys/bus/pci/devices/*"):
    driver = os.path.join(path, "driver")
    found[driver] = os.path.basename(os.readlink(driver)) if os.path.islink(driver) else "none"
print(json.dumps(found))
