# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that all modules have converged, as a tree: kernel, boot loader, settings, huge pages, switch, running guests.

libvirt and the switch's database are what ``FakeLibvirt`` and ``FakeSwitch`` remember; whether a real daemon takes what the
modules send it is seen in tests/conformance and on the lab.
"""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase

from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_mask
from ansible_collections.realtime.kvm.plugins.module_utils._guests import kvm as _kvm
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import describe
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import SOCKET_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import PID_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import (
    cpu_partition,
    cpu_power,
    irq_affinity,
    kernel_arguments,
    kvm_host,
    ovs_dpdk,
    rt_audit,
    rt_domain,
)
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._switch import changes as _changes
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import PID_FILE, PROGRAM
from ansible_collections.realtime.kvm.plugins.module_utils._switch.ovsdb import Ovsdb
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import format_affinity
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import GUEST_KEY, NETWORK_KEY, Database, Row
from unit.image_tools import qcow2
from unit.libvirts import FakeLibvirt, FakeLibvirtOf
from unit.menus import MakeConfig
from unit.trees import fill, machine_files, memory_files, snapshot

#: CPUs 0-11, siblings six apart: node 0 has cores 0-2, node 1 cores 3-5. Housekeeping 0,6 and 3,9.
SHAPE = {"nodes": 2, "cores": 3, "threads": 2}
KERNEL = "6.12.1-rt-amd64"
SWITCH = 900  # the daemon's pid
WATCHER_PROCS = "/sys/fs/cgroup/system.slice/realtime-kvm-watch.service/cgroup.procs"
PMDS = {901: 1, 902: 7}  # thread to CPU
NETWORKS = [{"name": "control"}]
PLC1 = {
    "siblings": "any",
    "name": "plc1", "memory_mib": 128, "vcpus": 2, "realtime_vcpus": "1", "hugepages": "2M",
    "disks": [{"path": "/images/plc1.qcow2"}], "networks": [{"network": "control"}],
}  # fmt: skip
PLC2 = {**PLC1, "name": "plc2", "disks": [{"path": "/images/plc2.qcow2"}]}
HISTORIAN = {"name": "historian", "memory_mib": 128, "disks": [{"path": "/images/historian.qcow2"}]}
GUESTS = [PLC1, PLC2, HISTORIAN]
FOREIGN = """<domain type='kvm'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>{more}
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"""
_PARTITION = {
    "state": "present", "housekeeping_cores_per_node": 1, "dataplane_cores_per_node": 0, "dataplane_devices": [], "shared_cores_per_node": 0,
    "realtime": "rest", "smt": "together", "isolation": "boot", "cpus": {"dataplane": "1,7"}, "tuned": "refuse", "rt_throttling": "budget",
    "hardware_watchdog_s": 60,
    "priority_limit": 1, "cycle_cpus": False, "cache": False, "cache_l2": False, "cache_code_data": False, "memory_bandwidth": 0,
    "uncore_frequency": "keep",
}  # fmt: skip
_ARGUMENTS = {
    "state": "present", "arguments": [], "from_partition": True, "partition": None, "nohz_full": "all", "tsc": "nowatchdog", "cstates": "keep",
    "priority_limit": 1, "host_arguments": None, "default_kernel": "*-rt-*", "trial": False, "trial_timeout": 300, "wait_s": 0, "after_install": False,
}  # fmt: skip
_HOST = {"socket_memory_mib": 64, "switch_pages": "2M", "hugepages_reserve": {}, "nx_huge_pages": "keep", "halt_poll_ns": -1}
_SWITCH = {"socket_memory_mib": 64, "pmd_sleep_max_us": 0, "dpdk_extra": "", "socket_group": ""}
_DOMAIN = {
    "state": "present", "restart": False, "shutdown_timeout_s": 1, "force_off": False, "stop_running": False, "priority_limit": 1,
    "site": "n", "switch_timeout_s": 0, "hugepages": None, "partition": None,
}  # fmt: skip


_FOLDERS = (
    "/var/lib",
    "/usr/local",
    "/etc/systemd/system",
    "/etc/default/grub.d",
    "/etc/tmpfiles.d",
    "/etc/modprobe.d",
    "/run/systemd/system",
)
_IDLE = (("POLL", 0), ("C1", 1), ("C6", 133))


def _cpu_files(cpus):
    """Governors, limits, idle states and fair servers, as a kernel starts with them."""
    sysfs, files = "/sys/devices/system/cpu", {}
    for cpu in cpus:
        files[f"{sysfs}/cpu{cpu}/power/pm_qos_resume_latency_us"] = "0\n"
        files[f"{sysfs}/cpufreq/policy{cpu}/scaling_governor"] = "powersave\n"
        files[f"{sysfs}/cpu{cpu}/cpufreq"] = ("link", f"../cpufreq/policy{cpu}")
        files[f"/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime"] = "50000000\n"
        for number, (name, latency) in enumerate(_IDLE):
            told = {"name": name, "latency": latency, "usage": 100, "disable": 0}
            files.update({f"{sysfs}/cpu{cpu}/cpuidle/state{number}/{key}": f"{text}\n" for key, text in told.items()})
    return files


def _irq_files(irqs):
    """Interrupts by number: name, and the CPU that they are allowed on and fire on."""
    files = {}
    for number, (name, cpu) in irqs.items():
        files[f"/proc/irq/{number}/{name}/"] = None
        for kind in ("smp", "effective"):
            files[f"/proc/irq/{number}/{kind}_affinity_list"] = f"{cpu}\n"
    return files


class FakeSwitch:
    """The switch's database, made of what the module wants the switch to be.

    The operations of the module's transaction are not run. So tests with it show what the audit finds once the database or the machine
    differs from that request; they cannot show that the transaction leads to it. tests/conformance/test_ovs_dpdk.py does that, on a real
    ovsdb-server.
    """

    def __init__(self):
        self.rows = Database()

    def take(self, switch):
        """Hold what the module wants the switch to be."""
        config = {key: value for key, value in switch.settings.items() if value is not None}
        root = Row("root", {"other_config": config, "external_ids": {}, "dpdk_initialized": True, "bridges": ("b0",)})
        bridges, ports, interfaces = {}, {}, {}
        for name, network in switch.bridges.items():
            own = [f"p-{port.name}" for port in switch.ports.values() if port.bridge == name]
            marks = {NETWORK_KEY: network}
            bridges[name] = Row(
                "b0", {"name": name, "datapath_type": "netdev", "external_ids": marks, "ports": (f"p-{name}", *own)}
            )
            ports[name] = Row(f"p-{name}", {"name": name, "interfaces": (f"i-{name}",), "external_ids": marks, "tag": None})
            interfaces[name] = Row(
                f"i-{name}", {"name": name, "type": "internal", "external_ids": marks, "options": {}, "other_config": {}}
            )
        for name, port in switch.ports.items():
            marks = {NETWORK_KEY: port.network, GUEST_KEY: port.guest}
            ports[name] = Row(f"p-{name}", {"name": name, "interfaces": (f"i-{name}",), "external_ids": marks, "tag": port.tag})
            columns = {
                "name": name, "type": port.type, "external_ids": marks, "options": dict(port.options), "mtu_request": port.mtu,
                "other_config": {"pmd-rxq-affinity": format_affinity(port.affinity)}, "status": {"status": "connected"},
            }  # fmt: skip
            interfaces[name] = Row(f"i-{name}", columns)
        self.rows = Database(root, bridges, ports, interfaces)

    def set(self, row, column, key, value):
        """ovs-vsctl set."""
        found = self.rows.root if row == "." else self.rows.interfaces[row]
        found.columns[column][key] = value


class Plant:
    """The node, and looks at it."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.libvirt = FakeLibvirt(root)
        self.switch = FakeSwitch()
        self.answers = True  # libvirt does
        self.queues = ""  # what the daemon shows
        self._patch(monkeypatch)
        self._lay_out()
        self._converge()

    # -- making it ---------------------------------------------------------------------------------

    def _patch(self, monkeypatch):
        switch = self.switch
        monkeypatch.setattr(Ovsdb, "read", lambda _self: switch.rows)
        monkeypatch.setattr(_kvm.fcntl, "ioctl", lambda _handle, _request: 12)
        plan = ovs_dpdk.plan_switch

        def planned(database, wanted, *rest, **options):
            self.wanted = wanted
            return plan(database, wanted, *rest, **options)

        monkeypatch.setattr(ovs_dpdk, "plan_switch", planned)
        monkeypatch.setattr(_changes, "_transact", lambda *_arguments: switch.take(self.wanted))
        monkeypatch.setattr(_changes, "_note_start", lambda *_arguments: None)

    def _lay_out(self):
        files = {
            **machine_files(isolated="1-2,4-5,7-8,10-11", **SHAPE),
            **memory_files({0: 4000, 1: 4000}),
            "/proc/sys/kernel/osrelease": f"{KERNEL}\n",
            "/proc/sys/kernel/hostname": "node1\n",
            "/proc/sys/vm/stat_interval": "1\n",
            "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
            "/proc/irq/default_smp_affinity": "fff\n",
            "/proc/cpuinfo": "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm constant_tsc nonstop_tsc\n",
            "/proc/mounts": "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n",
            "/sys/devices/virtual/workqueue/cpumask": "fff\n",
            **_cpu_files(range(12)),
            **_irq_files({9: ("acpi", "0"), 24: ("virtio0-config", "3"), 40: ("nvme0q2", "2")}),
            **{f"{folder}/": None for folder in _FOLDERS},
            "/usr/sbin/grub-mkconfig": "",
            GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
            f"/boot/vmlinuz-{KERNEL}": "",
            f"/boot/initrd.img-{KERNEL}": "",
            f"/boot/config-{KERNEL}": "CONFIG_PREEMPT_RT=y\n# CONFIG_RT_GROUP_SCHED is not set\n",
            "/boot/grub/": None,
            "/dev/kvm": "",
            PROGRAM: "",
            "/usr/lib/systemd/system/openvswitch.service": "",
            "/etc/passwd": f"qemu:x:{os.getuid()}:\n",
            "/etc/group": f"root:x:{os.getgid()}:\n",
            **{f"/images/{guest['name']}.qcow2": qcow2() for guest in GUESTS},
        }
        fill(self.root, files)
        os.chmod(f"{self.root}/proc/irq/40/smp_affinity_list", 0o444)  # the kernel manages it
        self.task(SWITCH, "ovs-vswitchd", "0,3,6,9", pidfile=PID_FILE)
        for tid, cpu in PMDS.items():
            self.task(tid, f"pmd-c{cpu:02d}/id:{tid}", str(cpu), process=SWITCH)
        self.task(700, "sshd", "0-11", last=0)
        for cpu in range(12):
            self.task(20 + cpu, f"ksoftirqd/{cpu}", str(cpu), kernel=True, bound=True, policy=1, priority=2)
        self.task(60, "kcompactd0", "0,3,6,9", kernel=True)

    def _converge(self):
        self.make = MakeConfig(self.root)
        self._command(["/usr/sbin/grub-mkconfig", "-o", f"{self.root}{GRUB_CFG}"])
        self.run(cpu_partition, "cpu_partition", _PARTITION)
        self.run(
            cpu_power,
            "cpu_power",
            {"state": "present", "partition": None, "governor": "performance", "turbo": "keep", "cstates": "C1"},
        )
        self.run(irq_affinity, "irq_affinity", {"state": "present", "partition": None, "irqbalance": True, "watcher": True})
        specs = {"networks": NETWORKS, "guests": GUESTS}
        self.run(kvm_host, "kvm_host", {"state": "present", "partition": None, **specs, **_HOST})
        self.use_pages(free=True)
        self.run(kernel_arguments, "kernel_arguments", _ARGUMENTS)
        arguments = json.loads(self.read("/etc/realtime-kvm/kernel_arguments.json"))["tokens"]
        fill(
            self.root,
            {"/proc/cmdline": f"BOOT_IMAGE=/boot/vmlinuz-{KERNEL} root=UUID=5f1c-77aa ro quiet {' '.join(arguments)}\n"},
        )
        self.run(ovs_dpdk, "ovs_dpdk", {"state": "present", "partition": None, **specs, **_SWITCH, "restart_with_guests": True})
        self.run(rt_domain, "rt_domain", {**_DOMAIN, **specs})
        for guest in GUESTS:
            self.settle_guest(guest["name"])
        self.use_pages()

    def _command(self, command):
        if command[0] == "sh" or command[0].endswith("grub-mkconfig"):
            return self.make(command)
        if command[0] == "ovs-appctl":
            return (0, self.queues, "") if self.queues is not None else (1, "", "ovs-appctl: cannot connect")
        if command == ["systemctl", "restart", "realtime-kvm-watch.service"]:
            self.write(WATCHER_PROCS, "870\n")
            self.task(870, "python3", "0,3,6,9")
        if command[0] == "systemd-tmpfiles":
            os.makedirs(f"{self.root}{SOCKET_DIR}", exist_ok=True)
            os.chmod(f"{self.root}{SOCKET_DIR}", 0o770)
        return 0, "", ""

    def run(self, body, owner, parameters):
        """What a module does; what it wrote is as the kernel would show it."""
        return carry_out(self.edges(Host(str(self.root), owner=owner)), body.run, parameters)

    def edges(self, host):
        """What a module reaches the node by."""
        return SwitchEdges(host, self._command, FakeLibvirtOf(self.libvirt if self.answers else None))

    def settle_guest(self, name, locked="131072", node=None):
        """What /proc shows of a running guest's process beside its threads."""
        pid = self.pid(name)
        domain = describe(self.libvirt.domains()[name].tree)
        where = node if node is not None else (domain.nodes or (0,))[0]
        huge = " huge" if domain.hugepages != "none" else ""
        pages = f"7f00 bind:{where} file=/dev/hugepages2M/x{huge} dirty=64 N{where}=64 kernelpagesize_kB=2048\n"
        fill(self.root, {f"/proc/{pid}/status": f"VmLck:\t{locked} kB\n", f"/proc/{pid}/numa_maps": pages})

    def make_pages(self):
        """The pages that all domains need by now, as the playbooks make them."""
        self.run(kvm_host, "kvm_host", {"state": "present", "partition": None, "networks": NETWORKS, "guests": GUESTS, **_HOST})
        self.use_pages()

    def use_pages(self, *, free=False):
        """Guests and switch have taken their pages, or none."""
        for node in (0, 1):
            base = f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"
            unused = self.read(f"{base}/nr_hugepages") if free else "0\n"
            fill(self.root, {f"{base}/free_hugepages": unused, f"{base}/surplus_hugepages": "0\n"})

    # -- looking at it, and breaking it ------------------------------------------------------------

    def audit(self, **parameters):
        """What the module returns; the node stays as it is."""
        before = snapshot(self.root), dict(self.libvirt.definitions)
        host = Host(str(self.root), owner="rt_audit", check_mode=True)
        given = {
            "networks": NETWORKS, "guests": GUESTS, "host": _HOST, "switch": _SWITCH, "interval": 0.0, "priority_limit": None,
            "nova": {"priority": None, "plain_pinned": False}, **parameters,
        }  # fmt: skip
        self.libvirt.calls.clear()
        result = rt_audit.run(self.edges(host), given).results
        assert (snapshot(self.root), self.libvirt.definitions) == before
        assert (self.libvirt.calls, host.changes) == ([], [])
        assert json.loads(json.dumps(result)) == result  # plain data, as it crosses the wire
        return result

    def findings(self, **parameters):
        return [(item["rule"], item["resource"]) for item in self.audit(**parameters)["findings"]]

    def read(self, path):
        return (self.root / path[1:]).read_text()

    def write(self, path, text):
        fill(self.root, {path: text})

    def edit(self, path, old, new):
        text = self.read(path)
        assert old in text, text
        self.write(path, text.replace(old, new))

    def pid(self, name):
        return int(self.read(f"{PID_DIR}/{name}.pid"))

    def thread(self, name, role):
        """The id of a guest's thread."""
        return self.pid(name) + (0 if role == "emulator" else 10 + int(role[4:]))

    def task(self, tid, name, cpus, *, process=None, kernel=False, bound=False, policy=0, priority=0, last=None, pidfile=""):
        """A thread, of a program of its own unless ``process`` is given."""
        flags = 0x00200000 * kernel | 0x04000000 * bound
        first = cpus.split(",")[0].split("-")[0]
        rest = [
            "S",
            *["0"] * 5,
            str(flags),
            *["0"] * 12,
            "100",
            *["0"] * 16,
            str(first if last is None else last),
            str(priority),
            str(policy),
            "0",
        ]
        files = {
            "stat": f"{tid} ({name}) {' '.join(rest)}\n",
            "status": f"Name:\t{name}\nCpus_allowed_list:\t{cpus}\n",
            "comm": f"{name}\n",
        }
        folders = [f"/proc/{process or tid}/task/{tid}", *([] if process else [f"/proc/{tid}"])]
        fill(self.root, {f"{folder}/{file}": text for folder in folders for file, text in files.items()})
        if pidfile:
            self.write(pidfile, f"{tid}\n")

    def foreign(self, name="theirs", more="", devices="", cpu=None, scheduler=None, locked="65536"):
        """A foreign domain that runs; ``cpu``: where its vCPU is pinned."""
        if cpu is not None:
            policy = f"<vcpusched vcpus='0' scheduler='fifo' priority='{scheduler}'/>" if scheduler else ""
            more += f"<cputune><vcpupin vcpu='0' cpuset='{cpu}'/><emulatorpin cpuset='0'/>{policy}</cputune>"
        self.libvirt.definitions[name] = FOREIGN.format(name=name, more=more, devices=devices)
        self.libvirt.run(name)
        self.settle_guest(name, locked=locked, node=0 if cpu in (None, "2", "7") else 1)


def mask(*cpus):
    return f"{format_mask(cpus)}\n"


def matches(found, expected):
    """Whether each finding is one that was expected, and none is missing."""
    rest = list(expected)
    for rule, resource in found:
        fitting = next((item for item in rest if item[0] == rule and fnmatchcase(resource, item[1])), None)
        if fitting is None:
            return False
        rest.remove(fitting)
    return not rest
