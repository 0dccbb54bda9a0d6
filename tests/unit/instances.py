# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of instances of Nova: the fixtures, and ones with CPUs of a test's own."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_or_empty
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import SETS, Partition
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "nova"
FILES = sorted(FOLDER.glob("*.xml"))
UUID = "0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a{:02x}"
NAMESPACE = "http://openstack.org/xmlns/libvirt/nova/1.1"


def fixture(number):
    """The text of a fixture by its number."""
    (path,) = FOLDER.glob(f"{number:02d}-*.xml")
    return path.read_text(encoding="utf-8")


def instance_xml(
    number, pins, emulator="0", sched="", *, name="web", floating="", node="0", io=None, backing=None, project="grid"
):
    """An instance whose vCPUs have these CPUs, as texts; ``sched``: the vCPUs that are fifo 1, as ``0-1``."""
    vcpus = len(pins) or 1
    rows = [f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins)]
    rows += [f"<emulatorpin cpuset='{emulator}'/>"] * bool(emulator)
    rows += [f"<iothreadpin iothread='1' cpuset='{io}'/>"] * bool(io)
    rows += [f"<vcpusched vcpus='{sched}' scheduler='fifo' priority='1'/>"] * bool(sched)
    if backing is None:
        page = f"<page size='2048' unit='KiB' nodeset='{node}'/>"
        backing = f"<memoryBacking><hugepages>{page}</hugepages><nosharepages/><locked/></memoryBacking>" if sched else ""
    cpuset = f" cpuset='{floating}'" if floating else ""
    numa = f"<numatune><memory mode='strict' nodeset='{node}'/></numatune>" if pins else ""
    return f"""<domain type='kvm'><name>instance-{number:08x}</name><uuid>{UUID.format(number)}</uuid>
<metadata><nova:instance xmlns:nova="{NAMESPACE}"><nova:name>{name}</nova:name><nova:creationTime>2026-11-28 09:10:11</nova:creationTime>
<nova:flavor name="rt.small"/><nova:owner><nova:user uuid="u1">ops</nova:user><nova:project uuid="p1">{project}</nova:project></nova:owner>
</nova:instance></metadata><memory unit='MiB'>64</memory><vcpu{cpuset}>{vcpus}</vcpu>{"<iothreads>1</iothreads>" if io else ""}{backing}
<cputune>{"".join(rows)}</cputune>{numa}<os><type arch='x86_64' machine='q35'>hvm</type></os><devices/></domain>"""


def instance_tree(*arguments, **options):
    return parse(instance_xml(*arguments, **options))


def partition_of(isolation="boot", **sets):
    """A partition of one NUMA node with these sets, as CPU lists."""
    cpus = {name: parse_or_empty(sets.get(name)) for name in SETS}
    return Partition(isolation, "together", "0", cpus, frozenset(), {0: frozenset().union(*cpus.values())})
