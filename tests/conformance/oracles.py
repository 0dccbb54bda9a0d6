# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other programs say of a captured machine: hwloc (expected outputs, and lstopo itself) and lscpu (likewise)."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass(frozen=True)
class Oracle:
    """The online CPUs, the cores as sets of them, and the NUMA nodes; None where the program does not tell."""

    cpus: frozenset
    cores: frozenset | None = None
    nodes: dict | None = None
    complete: bool = True  # False: CPUs and nodes outside the observer's cgroup are left out

    def differences(self, topology):
        """Return what the topology has otherwise, in words; the observer's CPUs only."""
        seen = self.cpus
        if (self.complete and topology.online != seen) or not seen <= topology.online:
            yield f"online: we {sorted(topology.online)}, they {sorted(seen)}"
        if self.cores is not None:
            ours = {core & seen for core in topology.cores} - {frozenset()}
            for core in sorted(map(sorted, ours ^ self.cores)):
                yield f"core {core} is only {'ours' if frozenset(core) in ours else 'theirs'}"
        if self.nodes is not None:
            for node, members in topology.nodes.items():
                # A node without CPUs has in hwloc those that are nearest to its memory.
                known = self.complete or node in self.nodes
                if known and members & seen and members & seen != self.nodes.get(node):
                    yield f"node {node}: we {sorted(members & seen)}, they {sorted(self.nodes.get(node, ()))}"


def bits(mask):
    """CPUs of a hwloc bitmap: 0x00000001,,0x0000ffff - an empty group is zero."""
    number = 0
    for group in mask.split(","):
        number = number << 32 | int(group or "0", 16)
    return frozenset(bit for bit in range(number.bit_length()) if number >> bit & 1)


def from_hwloc_xml(text, *, complete):
    found = defaultdict(dict)
    cores = set()
    for item in ElementTree.fromstring(text).iter("object"):
        cpus = bits(item.get("cpuset", "0x0"))
        if item.get("type") == "Core":
            cores.add(cpus)
        elif item.get("type") in ("PU", "NUMANode"):
            found[item.get("type")][int(item.get("os_index"))] = cpus
    return Oracle(frozenset(found["PU"]), frozenset(cores) or None, found["NUMANode"] or None, complete)


def from_hwloc_console(text, *, complete):
    """The tree that lstopo draws: two blanks deeper is a child. A node's CPUs are those of what it hangs from."""
    stack, members, cores, homes = [], defaultdict(set), [], {}
    for line in text.splitlines():
        if line.startswith("depth"):
            break
        match = re.match(r"( *)(\w+)(?:.*? \(P#(\d+))?", line)
        depth, kind, number = len(match[1]) // 2, match[2], match[3]
        identity = len(members), kind
        del stack[depth:]
        stack.append(identity)
        members[identity] = set()
        if kind == "Core":
            cores.append(identity)
        elif kind == "NUMANode":
            homes[int(number)] = next((up for up in reversed(stack[:-1]) if up[1] != "MemCache"), identity)
        elif kind == "PU":
            for above in stack:
                members[above].add(int(number))
    everyone = frozenset(cpu for (_rest, kind), cpus in members.items() if kind == "PU" for cpu in cpus)
    nodes = {number: frozenset(members[home]) for number, home in homes.items()}
    return Oracle(everyone, frozenset(frozenset(members[core]) for core in cores) or None, nodes or None, complete)


def run_lstopo(root):
    """Ask the installed lstopo, as a stranger to the machine, with all CPUs that any cgroup may hide."""
    environment = {
        **os.environ,
        "HWLOC_FSROOT": str(root),
        "HWLOC_COMPONENTS": "linux,stop",
        "HWLOC_THISSYSTEM": "0",
        "HWLOC_SHOW_ERRORS": "none",
        "HWLOC_HIDE_ERRORS": "2",
    }
    command = ["lstopo-no-graphics", "--of", "xml", "--disallowed", "--no-io"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return from_hwloc_xml(done.stdout, complete=True)


def ranges(text):
    """A CPU list as lscpu prints it: 0-3,8, and 0-62:2 for every second one."""
    found = set()
    for item in filter(None, text.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", item)
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1)))
    return frozenset(found)


def from_lscpu_table(text):
    """The -p table: CPU,Core,Socket,Node; cores are numbered through."""
    cores, nodes, everyone = defaultdict(set), defaultdict(set), set()
    for row in csv.reader(line for line in text.splitlines() if line and not line.startswith("#")):
        cpu = int(row[0])
        everyone.add(cpu)
        if row[1]:
            cores[row[1]].add(cpu)
        if row[3]:
            nodes[int(row[3])].add(cpu)
    return Oracle(
        frozenset(everyone),
        frozenset(map(frozenset, cores.values())) or None,
        {node: frozenset(cpus) for node, cpus in nodes.items()} or None,
    )


def run_lscpu(root):
    """Ask the installed lscpu; None where it crashes or prints rows without a CPU, as 2.38 does on foreign cpuinfo."""
    command = ["lscpu", "--sysroot", str(root), "-p=CPU,CORE,SOCKET,NODE"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "LC_ALL": "C"})
    if done.returncode < 0 or re.search(r"^,", done.stdout, re.MULTILINE):
        return None
    done.check_returncode()
    return from_lscpu_table(done.stdout)


@dataclass(frozen=True)
class Summary:
    """The head of lscpu's output."""

    online: frozenset
    threads_per_core: int
    sockets: int | None
    nodes: dict


def from_lscpu_text(text):
    """The summary, and the first of the -p tables below it as an oracle."""
    head, _rest, rest = text.partition("# The following is the parsable format")
    fields = re.findall(r"^(.*?):[ \t]*(.*?)[ \t]*$", head, re.MULTILINE)
    first = dict(reversed(fields))  # several models: the first counts
    nodes = {int(match[1]): ranges(value) for name, value in fields if (match := re.fullmatch(r"NUMA node(\d+) CPU\(s\)", name))}
    sockets = first.get("Socket(s)")
    summary = Summary(
        ranges(first["On-line CPU(s) list"]), int(first["Thread(s) per core"]), int(sockets) if sockets else None, nodes
    )
    return summary, from_lscpu_table(rest.partition("# The following is the parsable format")[0].partition("\n")[2])
