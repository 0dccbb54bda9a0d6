# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with time services as files, and a systemd that starts them: their processes are files of /proc, as their units say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host.unit_files import unit_files
from ansible_collections.realtime.kvm.plugins.module_utils._module import time_sync
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import start_commands
from unit.features import PARTITION
from unit.systemds import Systemd
from unit.trees import documented, fill, machine_files, writable

DEFAULTS = {**{key: option.get("default") for key, option in time_sync.OPTIONS.items()}, "networks": []}
PTP = {"source": "ptp", "interface": "eth0"}
CHRONY = "[Service]\nExecStart=!/usr/sbin/chronyd $DAEMON_OPTS\n"
UNITS = "/lib/systemd/system"
#: A NIC with a clock, one without, and what stands beside NICs.
NICS = {
    "/sys/class/net/eth0/address": "52:54:00:00:00:01\n",
    "/sys/class/net/eth0/device/ptp/ptp3/": None,
    "/sys/class/net/eth1/address": "52:54:00:00:00:02\n",
    "/sys/class/net/eth1/device/vendor": "0x1af4\n",
    "/sys/class/net/br0/address": "52:54:00:00:00:03\n",
    "/sys/class/net/br0/bridge/": None,
    "/sys/class/net/bond0/address": "52:54:00:00:00:04\n",
    "/sys/class/net/bond0/bonding/": None,
    "/sys/class/net/wlan0/address": "52:54:00:00:00:05\n",
    "/sys/class/net/wlan0/wireless/": None,
    "/sys/class/net/lo/address": "00:00:00:00:00:00\n",
}
DEBIAN = {
    f"{UNITS}/chrony.service": CHRONY,
    "/etc/chrony/chrony.conf": "pool 2.debian.pool.ntp.org iburst\nmakestep 1 3\n",
    "/usr/sbin/chronyd": "",
}
EL = {"/usr/lib/systemd/system/chronyd.service": CHRONY, "/etc/chrony.conf": "pool 2.centos.pool.ntp.org iburst\n"}
LINUXPTP = {"/usr/sbin/ptp4l": "", "/usr/sbin/phc2sys": ""}


def node(root, *parts):
    """A node with a partition (CPU 0 keeps house), systemd and NICs, and the files of ``parts``."""
    base = {**machine_files(isolated="1-3"), **documented(PARTITION), "/run/systemd/system/": None, "/var/lib/": None, **NICS}
    for part in parts:
        base.update(part)
    return fill(root, {"/etc/systemd/system/multi-user.target.wants/": None, **base})


class Clocks(Systemd):
    """systemd on such a node. ``answers``: what programs print, by their name."""

    def __init__(self, root, units=None, answers=None):
        super().__init__(units)
        self.root, self.answers, self.pid = root, answers or {}, 100
        self.asked = []
        for name, (_enabled, active) in self.units.items():
            if active:
                self.start(name)

    def __call__(self, command):
        if command[0] != "systemctl":
            self.asked.append(" ".join(command))
            name = next((word.rpartition("/")[2] for word in command if word.rpartition("/")[2] in self.answers), "")
            return 0, self.answers.get(name, ""), ""
        verb, *names = [word for word in command[1:] if not word.startswith("--")]
        if verb == "daemon-reload":
            self._changes(["daemon-reload"])
            return 0, "", ""
        if verb == "restart":
            self._changes(["restart", *names])
            for name in names:
                self.units.setdefault(name, [True, True])[1] = True
                self.start(name)
            return 0, "", ""
        found = super().__call__(command)
        for name in names if verb in ("start", "stop") else ():
            self.end(name)
            if verb == "start":
                self.start(name)
        return found

    def start(self, name, cpus=None):
        """Start a unit's process where its files say."""
        self.end(name)
        host = writable(self.root)
        texts = [host.read(path) or "" for path in unit_files(host, name)]
        given = [value for text in texts for value in re.findall(r"^CPUAffinity=(.+)$", text, re.MULTILINE)]
        fifo = [int(value) for text in texts for value in re.findall(r"^CPUSchedulingPriority=(\d+)$", text, re.MULTILINE)]
        command = (start_commands(texts) or [name.partition(".")[0]])[-1].lstrip("!")
        self.pid += 1
        self.process(self.pid, command, cpus or (given or ["0-3"])[-1], (fifo or [0])[-1], f"/system.slice/{name}")
        fill(self.root, {f"/sys/fs/cgroup/system.slice/{name}/cgroup.procs": f"{self.pid}\n"})

    def process(self, pid, command, cpus="0-3", fifo=0, cgroup="/"):
        """Make a process."""
        program = command.split()[0].rpartition("/")[2][:15]
        fields = [
            "S",
            "1",
            "1",
            "1",
            "0",
            "-1",
            "0",
            *["0"] * 12,
            "4242",
            *["0"] * 16,
            "0",
            str(fifo),
            "1" if fifo else "0",
            *["0"] * 11,
        ]
        stat, status = f"{pid} ({program}) {' '.join(fields)}\n", f"Name:\t{program}\nCpus_allowed_list:\t{cpus}\n"
        base = f"/proc/{pid}"
        files = {"comm": f"{program}\n", "cmdline": "\0".join(command.split()) + "\0", "cgroup": f"0::{cgroup}\n"}
        files.update({f"task/{pid}/stat": stat, f"task/{pid}/status": status, "stat": stat, "status": status})
        fill(self.root, {f"{base}/{name}": text for name, text in files.items()})

    def end(self, name):
        """End a unit's process."""
        procs = Path(f"{self.root}/sys/fs/cgroup/system.slice/{name}/cgroup.procs")
        if procs.exists():
            for pid in procs.read_text().split():
                shutil.rmtree(f"{self.root}/proc/{pid}", ignore_errors=True)
            shutil.rmtree(procs.parent)


def run(root, systemd, *, check_mode=False, **parameters):
    """A run of the module."""
    edges = Edges(writable(root, "time_sync", check_mode=check_mode), systemd)
    given = {**DEFAULTS, "partition": to_document(PARTITION), **parameters}
    return {**carry_out(edges, time_sync.run, given), "notes": edges.host.notes}


def cpus_of(root, name):
    """The CPUs of a unit's process, empty where it does not run."""
    procs = Path(f"{root}/sys/fs/cgroup/system.slice/{name}/cgroup.procs")
    if not procs.exists():
        return ""
    return re.search(r"list:\t(\S+)", Path(f"{root}/proc/{procs.read_text().strip()}/status").read_text())[1]


HOUSEKEEPING = format_cpulist(PARTITION.housekeeping)
