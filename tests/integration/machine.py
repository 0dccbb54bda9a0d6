# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs where on a node with guests: read from /proc and from what the programs themselves say, never from the collection."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from integration.lab import STATE, ssh, wait_for

#: Runs on the node: every thread of each guest and of the switch, and where each guest's memory lies.
LOOK = r"""
import glob, json, os, re
def threads(pid):
    rows = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/stat") as stream:
                fields = stream.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/task/{task}/status") as stream:
                status = dict(line.split(":", 1) for line in stream if ":" in line)
        except OSError:
            continue
        rows.append([status["Name"].strip(), status["Cpus_allowed_list"].strip(), int(fields[38]), int(fields[37])])
    return rows
guests = {}
for path in glob.glob("/run/libvirt/qemu/*.pid"):
    with open(path) as stream:
        pid = stream.read().strip()
    if path.endswith("/driver.pid") or not os.path.exists(f"/proc/{pid}"):  # libvirt's own, and leftovers
        continue
    with open(f"/proc/{pid}/status") as stream:
        status = dict(line.split(":", 1) for line in stream if ":" in line)
    pages = {}
    with open(f"/proc/{pid}/numa_maps") as stream:
        for line in stream:
            if " huge" in line:
                for node, count in re.findall(r"\bN(\d+)=(\d+)", line):
                    pages[node] = pages.get(node, 0) + int(count)
    shared = False
    with open(f"/proc/{pid}/maps") as stream:
        for line in stream:
            if "/hugepages" in line:
                shared = line.split()[1].endswith("s")
    guests[os.path.basename(path)[:-4]] = {
        "pid": int(pid), "threads": threads(pid), "locked_kib": int(status["VmLck"].split()[0]), "pages": pages, "shared": shared
    }
switch = []
if os.path.exists("/run/openvswitch/ovs-vswitchd.pid"):
    with open("/run/openvswitch/ovs-vswitchd.pid") as stream:
        switch = threads(stream.read().strip())
print(json.dumps({"guests": guests, "switch": switch}))
"""
#: /proc/PID/stat, field policy
SCHED_OTHER, SCHED_FIFO = 0, 1
#: A worker of KVM's: it inherits CPU and policy of the thread that it was first needed in.
KVM_WORKER = "kvm-nx-lpage"


def cpus(text: str) -> set[int]:
    """Read a cpulist; shares nothing with the collection's own reader."""
    found = set()
    for part in filter(None, text.strip().split(",")):
        first, _rest, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@dataclass(frozen=True)
class Thread:
    """One thread: where it may run, and how it is scheduled."""

    name: str
    cpus: frozenset[int]
    policy: int
    priority: int


@dataclass(frozen=True)
class Guest:
    """A running guest."""

    pid: int
    threads: tuple[Thread, ...]
    locked_kib: int
    pages: dict[int, int]  # huge pages by NUMA node
    shared: bool  # whether another process may have them too

    @property
    def vcpus(self) -> dict[int, Thread]:
        """The threads of its vCPUs, by number."""
        return {
            int(thread.name.split()[1].partition("/")[0]): thread for thread in self.threads if thread.name.startswith("CPU ")
        }

    @property
    def others(self) -> list[Thread]:
        """The threads of emulator and I/O."""
        return [thread for thread in self.threads if not thread.name.startswith(("CPU ", KVM_WORKER, "vhost-"))]


def look(node: str) -> tuple[dict[str, Guest], list[Thread]]:
    """Return the node's running guests by name, and the threads of its switch."""
    found = json.loads(ssh(node, "python3 -", stdin=LOOK))

    def threads(rows: list) -> tuple[Thread, ...]:
        return tuple(Thread(name, frozenset(cpus(allowed)), policy, priority) for name, allowed, policy, priority in rows)

    guests = {
        name: Guest(
            guest["pid"],
            threads(guest["threads"]),
            guest["locked_kib"],
            {int(numa): count for numa, count in guest["pages"].items()},
            guest["shared"],
        )
        for name, guest in found["guests"].items()
    }
    return guests, list(threads(found["switch"]))


def link_local(node: str, guest: str) -> str:
    """Return the IPv6 link-local address that a guest makes of the MAC of its first interface."""
    mac = ssh(node, f"virsh domiflist {guest} | awk '/:/ {{ print $5; exit }}'").strip().split(":")
    return f"fe80::{int(mac[0], 16) ^ 2:x}{mac[1]}:{mac[2]}ff:fe{mac[3]}:{mac[4]}{mac[5]}"


#: What shows why a guest is silent: its state, its ports as the switch sees them, and whether its vCPUs run at all.
EVIDENCE = r"""
virsh domstate --reason {guest}
ovs-vsctl --timeout=10 --format=csv --no-headings --columns=name,link_state,error find Interface type=dpdkvhostuserclient
for pid in $(cat /run/libvirt/qemu/{guest}.pid); do
  for second in 0 5; do
    sleep $second
    for task in $(grep -l '^CPU ' /proc/$pid/task/*/comm); do
      task=${{task%/comm}}
      echo "$(cat $task/comm): state, user, system, last CPU: $(cut -d' ' -f4,15,16,40 $task/stat)"
    done
  done
done
tail -n 4 /var/log/libvirt/qemu/{guest}.log /var/log/openvswitch/ovs-vswitchd.log
"""


def answers(node: str, guest: str, bridge: str, seconds: float = 240) -> bool:
    """Whether a guest answers on its bridge. Booting takes it half a minute, with others beside it several times as long.

    A silent guest that does not answer its power button either hangs, as the lab's nodes sometimes do under emulation. It is reset,
    once, and the end of the run names it; one that hangs again, or is alive and silent, is a failure.
    """
    ssh(node, f"ip link set {bridge} up")
    heard = f"ping -6 -q -c 1 -W 3 {link_local(node, guest)}%{bridge} >/dev/null 2>&1"
    if wait_for(node, heard, seconds):
        return True
    found = ssh(node, f"({EVIDENCE.format(guest=guest)}) 2>&1", ok=False)
    print(f"{guest} is silent on {bridge}", *found.splitlines(), sep="\nlab: ")
    ssh(node, f"virsh shutdown {guest}", ok=False)
    if wait_for(node, f"! virsh list --name | grep -qx {guest}", 60):
        print(f"lab: {guest} has answered its power button, so it was alive")
        return False
    with (STATE / node / "crashes").open("a") as crashes:
        crashes.write(f"guest {guest}, silent and without an answer to its power button, reset at {time.ctime()}\n")
    ssh(node, f"virsh reset {guest}")
    return wait_for(node, heard, 240)


def resets(node: str) -> int:
    """How many guests of a node ``answers`` has reset: a test of what a guest must survive does not accept that."""
    crashes = STATE / node / "crashes"
    return sum(line.startswith("guest ") for line in crashes.read_text().splitlines()) if crashes.exists() else 0


def counters(node: str, port: str) -> dict[str, int]:
    """Return the packets that a guest has sent (``rx``, as the switch sees it) and received (``tx``)."""
    received, sent = ssh(node, f"ovs-vsctl --timeout=30 get Interface {port} statistics:rx_packets statistics:tx_packets").split()
    return {"rx": int(received), "tx": int(sent)}


def traffic(node: str, ports: list[str], seconds: float = 90) -> bool:
    """Whether every port's guest sends and receives. The lab's guests ping their neighbours all the time."""
    before = {port: counters(node, port) for port in ports}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = {port: counters(node, port) for port in ports}
        if all(now[port][way] > before[port][way] for port in ports for way in ("rx", "tx")):
            return True
        time.sleep(2)
    return False
