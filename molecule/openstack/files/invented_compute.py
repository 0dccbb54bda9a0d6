# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nova-compute on an invented machine: invented_compute.py NAME FOLDER XML-FOLDER --config-file=... [--config-file=...].

Driver, resource tracker, placement and scheduler are Nova's own. Only the libvirt module is Nova's functional-test double, which shows the
CPUs, cores and NUMA nodes of the files below FOLDER, and starts nothing. The XML of each instance is kept in XML-FOLDER.
"""

import nova.monkey_patch

# ruff: noqa: E402, I001
import sys
from pathlib import Path
from unittest import mock

NAME, MACHINE, XML = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
del sys.argv[1:4]
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "collections"))

import nova.conf
import nova.cmd.compute
import nova.virt.libvirt.utils
from nova.tests.fixtures import libvirt as double
from nova.tests.fixtures import libvirt_imagebackend
from nova.virt.libvirt import config as capabilities

from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology

KIB_PER_NODE = 65536 * 1024
#: Half of each node in 2 MiB pages.
PAGES = [(4, KIB_PER_NODE // 2 // 4), (2048, KIB_PER_NODE // 2 // 2048)]
DISK = {"total": 10000, "used": 0, "free": 10000}


def cell(topology, node, cpus):
    """A NUMA node as libvirt's capabilities show it."""
    shown = capabilities.LibvirtConfigCapsNUMACell()
    shown.id = node
    shown.memory = KIB_PER_NODE
    shown.mempages = double.create_mempages(PAGES)
    for number in sorted(cpus):
        cpu = capabilities.LibvirtConfigCapsNUMACPU()
        cpu.id = number
        cpu.socket_id = topology.cpus[number].package
        cpu.core_id = min(topology.cpus[number].siblings)
        cpu.siblings = set(topology.cpus[number].siblings)
        shown.cpus.append(cpu)
    return shown


def host_info(topology):
    """The machine as the double has it; Nova takes the double's memory as MiB."""
    nodes, threads = len(topology.nodes), topology.threads_per_core
    info = double.HostInfo(cpu_nodes=nodes, cpu_sockets=1, cpu_cores=len(topology.cores) // nodes, cpu_threads=threads)
    info.kB_mem = nodes * KIB_PER_NODE // 1024
    info.numa_topology.cells = [cell(topology, node, cpus) for node, cpus in sorted(topology.nodes.items())]
    return info


class Libvirt(double.Connection):
    """The double, which keeps what it is told to define."""

    def defineXML(self, xml):  # noqa: N802  libvirt's name
        domain = super().defineXML(xml)
        (XML / f"{NAME}-{domain.name()}.xml").write_text(xml)
        return domain


def main():
    XML.mkdir(parents=True, exist_ok=True)
    info = host_info(read_topology(Host(str(MACHINE), captured=True)))
    double.LibvirtFixture(stub_os_vif=True).setUp()
    libvirt_imagebackend.LibvirtImageBackendFixture().setUp()
    nova.virt.libvirt.utils.get_fs_info.return_value = {"total": 10**13, "free": 10**13, "used": 0}
    connection = Libvirt("qemu:///system", version=11003000, hv_version=10000000, host_info=info, hostname=NAME)
    mock.patch("nova.virt.libvirt.host.Host.get_connection", return_value=connection).start()
    mock.patch("nova.virt.libvirt.host.Host.get_hostname", return_value=NAME).start()
    mock.patch("nova.privsep.libvirt.get_pmem_namespaces", create=True).start()
    mock.patch("nova.virt.libvirt.driver.LibvirtDriver._get_local_gb_info", return_value=DISK, create=True).start()
    nova.cmd.compute.main()


if __name__ == "__main__":
    main()
