# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as its metrics see it: files, threads and guests; and servers that answer, ask back or say nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import printable
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import NAMESPACE
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import FAMILIES
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.look import Look
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from unit.trees import documented, fill, machine_files, memory_files, plan, writable

#: Housekeeping 0, realtime 1-3.
PARTITION = plan()
STATUS, DEFINITIONS = "/run/libvirt/qemu", "/etc/libvirt/qemu"


def task(pid, tid, name, allowed, *, switches=0, run=0, waited=0, kernel=False, policy=0):
    """One thread of a process, as /proc shows it."""
    flags = 0x00200000 * kernel
    stat = f"{tid} ({name}) S 1 1 1 0 -1 {flags} " + " ".join(["0"] * 31 + [str(policy)] + ["0"] * 11)
    base = f"/proc/{pid}/task/{tid}"
    files = {
        f"{base}/comm": f"{name}\n",
        f"{base}/status": f"Name:\t{name}\nCpus_allowed_list:\t{allowed}\nnonvoluntary_ctxt_switches:\t{switches}\n",
        f"{base}/schedstat": f"{run} {waited} 7\n",
        f"{base}/stat": stat,
    }
    return {**files, **({f"/proc/{pid}/stat": stat} if pid == tid else {})}


def domain(name, *, owner="", project="", size="", vcpus=2, realtime="", pins=(), live=False):
    """A domain's XML; ``realtime``: vCPUs with a policy, ``pins``: pairs of vCPU and CPUs."""
    mark = f"<metadata><r:guest xmlns:r='{NAMESPACE}' owner={quoteattr(owner)} project={quoteattr(project)} class={quoteattr(size)}/></metadata>"
    sched = f"<vcpusched vcpus='{realtime}' scheduler='fifo' priority='1'/>" if realtime else ""
    pinned = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in pins)
    xml = (
        f"<domain type='kvm'>\n  <name>{escape(printable(name))}</name>\n  {mark if owner else ''}<vcpu>{vcpus}</vcpu>"
        f"<cputune>{pinned}{sched}</cputune>\n  <devices>\n    <disk/></devices></domain>\n"
    )
    return f"<domstatus state='running' reason='booted' pid='1'>\n{xml}</domstatus>" if live else xml


def guest(name, pid, cpus, **more):
    """A running guest: definition, record, process, and a thread per vCPU on one CPU each."""
    more = {"realtime": f"0-{len(cpus) - 1}", "pins": enumerate(cpus), "vcpus": len(cpus), "owner": "ann", **more}
    text = domain(name, **more)
    files = {
        f"{DEFINITIONS}/{name}.xml": text,
        f"{STATUS}/{name}.xml": f"<domstatus state='running' reason='booted'>\n{text}</domstatus>",
        f"{STATUS}/{name}.pid": f"{pid}\n",
        f"/proc/{pid}/cmdline": f"/usr/bin/qemu-system-x86_64\0-name\0guest={name.replace(',', ',,')},debug-threads=on\0",
        **task(pid, pid, "qemu-system-x86", "0"),
    }
    for vcpu, cpu in enumerate(cpus):
        counted = {"switches": 3 + vcpu, "run": 2_500_000_000, "waited": 1_000_000, "policy": int(vcpu > 0)}
        files.update(task(pid, pid + 1 + vcpu, f"CPU {vcpu}/KVM", cpu, **counted))
    return files


def node(root, *more, partition=PARTITION):
    """A node with a partition and further files below a root; return a look at it."""
    files = {**machine_files(isolated="1-3"), **documented(partition), "/proc/": None}
    for part in more:
        files.update(part)
    fill(root, files)
    return look_at(root)


def look_at(root, runner=None):
    def nobody(words):
        raise AssertionError(f"{words} was started")

    return Look(writable(root, check_mode=True), runner or nobody, "r1")


def samples_of(source, look):
    """What a source says, as mapping of names to samples."""
    out = Samples()
    source(look, out)
    return found(out)


def found(out):
    return {short: out.of(short) for short in FAMILIES if out.of(short)}


class Server:
    """Answers each connection with the next of its answers; None: never."""

    def __init__(self, root, path, *answers):
        full = Path(f"{root}{path}")
        full.parent.mkdir(parents=True, exist_ok=True)
        self.answers, self.requests = list(answers), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(full))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        kept = []
        for answer in self.answers:
            connection, _address = self.listener.accept()
            with contextlib.suppress(OSError):
                self.requests.append(json.loads(connection.recv(1 << 16)))
                if answer is not None:
                    connection.sendall(
                        answer if isinstance(answer, bytes) else json.dumps({"id": 1, "error": None, **answer}).encode()
                    )
            kept.append(connection)  # a server that hangs does not close

    def close(self):
        self.listener.close()


def large_node(root, cores, guests, programs=300):
    """A node of some size: guests with two vCPUs each, programs, kernel threads, interrupts, idle states; return a look at it."""
    partition = plan(Intent(smt="together"), cores=cores, threads=2)
    cpus, mine = 2 * cores, iter(sorted(partition.sets["realtime"]))
    files = {**machine_files(cores=cores, threads=2), **memory_files({0: 65536}, pages={(0, "1G"): (32, 4)})}
    files["/proc/sys/kernel/osrelease"] = "6.12.0-rt\n"
    for number in range(guests):
        pid = 1000 + 10 * number
        files.update(guest(f"plc{number}", pid, [str(next(mine, 0)), str(next(mine, 0))]))
        for thread in range(3, 9):
            files.update(task(pid, pid + thread, "worker", "0"))
    for number in range(programs):
        files.update(task(20000 + number, 20000 + number, "program", "0"))
    for number in range(6 * cpus):
        files.update(task(40000 + number, 40000 + number, "ksoftirqd", str(number // 6), kernel=True))
    rows = [f"{number:4}: {'0 ' * (cpus - 1)}1234  PCI-MSI {number}-edge  nvme{number}" for number in range(60 + 2 * cpus)]
    head = "      " + " ".join(f"CPU{cpu:<8}" for cpu in range(cpus))
    files["/proc/interrupts"] = "\n".join([head, *rows, f" LOC: {'99 ' * cpus} Local timer interrupts", ""])
    for cpu in range(cpus):
        base = f"/sys/devices/system/cpu/cpu{cpu}"
        files[f"{base}/cpufreq/scaling_cur_freq"] = "2400000\n"
        for state in range(4):
            values = {"name": f"C{state}\n", "usage": "100\n", "time": "100000\n"}
            files.update({f"{base}/cpuidle/state{state}/{name}": text for name, text in values.items()})
    return node(root, files, partition=partition)
