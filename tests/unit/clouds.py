# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compute node of a cloud as a tree: services as Debian and RDO install them, a systemd that runs them, the switch, instances of Nova."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._module import neutron_agent, nova_compute
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from unit.libvirts import FakeLibvirt, FakeLibvirtOf
from unit.switches import Rows
from unit.trees import documented, fill, machine_files, memory_files, plan, task, writable

SECRET = "rabbit://openstack:s3cret@controller"
#: CPUs 0-3 on node 0, 4-7 on node 1: housekeeping 0 and 4, dataplane 1, realtime 2-3 and 5-7.
SHAPE = {"nodes": 2, "cores": 4, "threads": 1}
PARTITION = plan(Intent(cpus={"dataplane": "1"}), **SHAPE)
NETWORK = {"name": "control", "bridge": "br-rt0", "device": "0000:41:00.0", "physical_network": "rt0"}

_COMMON = """# The content after this line comes from openstack-pkg-tools
if [ -z "${CONFIG_FILE}" ] ; then
\tCONFIG_FILE=/etc/${PROJECT_NAME}/${PROJECT_NAME}.conf
fi
DAEMON_ARGS="--config-file=${CONFIG_FILE} ${DAEMON_ARGS}"
[ -r /etc/default/openstack ] && . /etc/default/openstack
[ -r /etc/default/$NAME ] && . /etc/default/$NAME
case "$1" in
show-args)
\techo $DAEMON_ARGS
;;
esac
"""
NOVA_SCRIPT = (
    """#!/bin/sh
### BEGIN INIT INFO
# Provides:          nova-compute
### END INIT INFO
DESC="OpenStack Nova Compute (nova-compute)"
PROJECT_NAME=nova
NAME=${PROJECT_NAME}-compute
DAEMON_ARGS=""
if [ -f '/etc/nova/nova-compute.conf' ] ; then
\tDAEMON_ARGS="--config-file=/etc/nova/nova-compute.conf"
fi
export OS_OSLO_MESSAGING_RABBIT__PROCESSNAME=nova-compute
#!/bin/sh
"""
    + _COMMON
)
AGENT_SCRIPT = (
    """#!/bin/sh
DESC="Openstack Neutron OpenVSwitch Agent (neutron-openvswitch-agent)"
PROJECT_NAME=neutron
NAME=${PROJECT_NAME}-openvswitch-agent
CONFIG_FILE=/etc/neutron/plugins/ml2/openvswitch_agent.ini
DAEMON_ARGS="--config-file=/etc/neutron/neutron.conf"
if [ -e /etc/neutron/agent.conf.d ] ; then
        DAEMON_ARGS="--config-dir=/etc/neutron/agent.conf.d ${DAEMON_ARGS}"
fi
iptables -t raw -L >/dev/null 2>&1 || true
"""
    + _COMMON
)
_UNIT = (
    "[Unit]\nDescription=x\n[Service]\nUser={user}\nGroup={user}\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
)
UNITS = "/usr/lib/systemd/system"
PROGRAMS = {"nova-compute.service": "nova-compute", "neutron-openvswitch-agent.service": "neutron-openvswitch-agent"}
RDO = {"nova-compute": "openstack-nova-compute.service"}
#: What Debian's packages hold besides comments, and connection data.
OPERATOR = {
    "/etc/nova/nova.conf": f"# comment\n[DEFAULT]\ntransport_url = {SECRET}\n\n[keystone_authtoken]\npassword = s3cret\n",
    "/etc/nova/nova-compute.conf": "[DEFAULT]\ncompute_driver=libvirt.LibvirtDriver\n[libvirt]\nvirt_type=kvm\n",
    "/etc/neutron/neutron.conf": f"[DEFAULT]\ntransport_url = {SECRET}\n",
    "/etc/neutron/plugins/ml2/openvswitch_agent.ini": (
        "[ovs]\nintegration_bridge = br-int\nbridge_mappings = external:br-ex\n[securitygroup]\nfirewall_driver = openvswitch\n"
    ),
}


def unit(command, user="nova"):
    return _UNIT.format(command=command, user=user)


DEBIAN = {
    f"{UNITS}/nova-compute.service": unit("/etc/init.d/nova-compute systemd-start"),
    f"{UNITS}/neutron-openvswitch-agent.service": unit("/etc/init.d/neutron-openvswitch-agent systemd-start", "neutron"),
    "/etc/init.d/nova-compute": NOVA_SCRIPT,
    "/etc/init.d/neutron-openvswitch-agent": AGENT_SCRIPT,
    **OPERATOR,
}


class Killed(BaseException):
    """The run ends here."""


class Systemd:
    """Services that run as processes of the tree; a restart makes a new one, with the arguments that its files give then."""

    def __init__(self, root):
        self.root, self.calls, self.pids = root, [], {}
        self.arguments = {}  # of a service, besides those of Debian's defaults
        self.dies = False  # a restarted service ends at once
        self.deaf = False  # a restart does nothing
        self.title = None  # what a process makes of its command line, as Neutron's do once they run
        self.forgetful = False  # a restarted service is told nothing but its own arguments
        self.failed = set()
        self.kill = False  # the run ends before the next restart
        self._next = 1000

    def start(self, name, *arguments):
        self.arguments[name] = arguments
        self._run(name)

    def _run(self, name):
        self._next += 1
        self.failed.discard(name)
        self.pids[name] = self._next
        program = PROGRAMS.get(name, "nova-compute")
        words = [
            "/usr/bin/python3",
            f"/usr/bin/{program}",
            *self.arguments[name],
            *([] if self.forgetful else self._defaults(program)),
        ]
        base = f"/proc/{self._next}"
        shown = self.title(program, words) if self.title else "\0".join(words)
        fill(self.root, {**task(base, program, started=self._next), f"{base}/cmdline": shown + "\0"})

    def _defaults(self, program):
        path = Path(f"{self.root}/etc/default/{program}")
        text = path.read_text() if path.exists() else ""
        return [word.strip('"') for word in text.split() if word.startswith("--")]

    def __call__(self, command):
        verb, name = command[1], command[-1]
        if verb == "show":
            pid = self.pids.get(name, 0)
            state = "active" if pid else "failed" if name in self.failed else "inactive"
            return 0, f"ActiveState={state}\nMainPID={pid}\n", ""
        self.calls.append(" ".join(command[1:]))
        if (verb == "restart" or (verb == "try-restart" and name in self.pids)) and not self.deaf:
            if self.kill:
                raise Killed
            self.pids.pop(name, None)
            self.failed.add(name)
            if not self.dies:
                self._run(name)
        return 0, "", ""


class Switch:
    """A database of the switch that is only read."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, _host, _runner):
        return self

    def read(self):
        return self.rows.database()


def rows(*bridges, datapath="netdev"):
    found = Rows()
    for bridge in bridges or ("br-rt0",):
        found.bridge(bridge, datapath=datapath)
    return found


def instance(name="instance-00000001", pins=None, shared=None, uuid="6a1e7f4e-0000-4000-8000-000000000001", emulator=""):
    """A domain of Nova's: pinned vCPUs to CPU, and the list on which all others float."""
    pinned = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" for vcpu, cpu in (pins or {}).items())
    number = len(pins or {})
    pinned += f"<vcpupin vcpu='{number}' cpuset='{shared}'/>" if shared else ""
    pinned += f"<emulatorpin cpuset='{emulator}'/>" if emulator else ""
    space = "http://openstack.org/xmlns/libvirt/nova/1.1"
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>{number + bool(shared) or 1}</vcpu>"
        f"<metadata><nova:instance xmlns:nova='{space}'><nova:name>x</nova:name></nova:instance></metadata>"
        f"<cputune>{pinned}</cputune><os><type arch='x86_64' machine='q35'>hvm</type></os><devices/></domain>"
    )


NOVA = {
    "state": "present", "partition": None, "networks": [NETWORK], "guests": [], "priority": 1, "priority_limit": 1, "plain_pinned": False,
    "host": "", "hugepages_reserve": {}, "socket_memory_mib": 64, "switch_pages": "2M", "ovsdb_connection": "", "timeout_s": 6,
}  # fmt: skip
AGENT = {"state": "present", "networks": [NETWORK], "host": "", "ovsdb_connection": "", "timeout_s": 6}


class Node:
    """The compute node, and runs of the modules on it."""

    def __init__(self, root, monkeypatch, files=None):
        self.root = root
        monkeypatch.setattr("ansible_collections.realtime.kvm.plugins.module_utils._openstack.restart.SETTLE_S", 0)
        monkeypatch.setattr("ansible_collections.realtime.kvm.plugins.module_utils._openstack.restart._LOOK_S", 0.001)
        self.systemd, self.libvirt, self.switch = Systemd(root), FakeLibvirt(root), Switch(rows())
        self.notes = []
        fill(
            root,
            {
                **machine_files(**SHAPE),
                **memory_files({0: 4000, 1: 4000}),
                **documented(PARTITION),
                "/proc/sys/kernel/hostname": "node1\n",
                "/run/systemd/system/": None,
                "/run/realtime-kvm/vhost/": None,
                "/var/lib/": None,
                "/etc/default/": None,
                "/etc/systemd/system/": None,
                "/etc/passwd": "root:x:0:0::/root:/bin/sh\nnova:x:64060:64060::/var/lib/nova:/bin/sh\nneutron:x:64061:64061::/var/lib/neutron:/bin/sh\n",
                "/etc/group": "root:x:0:\n",
                "/sys/bus/pci/devices/0000:41:00.0/numa_node": "0\n",
                "/sys/bus/pci/devices/0000:41:00.0/class": "0x020000\n",
                **(DEBIAN if files is None else files),
            },
        )

    def run(self, module, given, *, check_mode=False, **more):
        owner = module.__name__.rsplit(".", 1)[1]
        host = writable(self.root, owner, check_mode=check_mode)
        edges = SwitchEdges(host, self.systemd, FakeLibvirtOf(self.libvirt), self.switch)
        try:
            return carry_out(edges, module.run, {**given, **more})
        finally:
            self.notes = host.notes

    def nova(self, **more):
        return self.run(nova_compute, NOVA, **more)

    def agent(self, **more):
        return self.run(neutron_agent, AGENT, **more)

    def text(self, path):
        return Path(f"{self.root}{path}").read_text()

    def define(self, xml, name="instance-00000001", *, running=True):
        self.libvirt.definitions[name] = xml
        if running:
            self.libvirt.live[name] = xml
