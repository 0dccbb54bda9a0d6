# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit on a converged node: silent when all is right; each thing that is broken by hand has its finding and no other."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.watcher import WATCHER_LINK, WATCHER_UNIT
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import UNIT, WANTS
from ansible_collections.realtime.kvm.plugins.module_utils._node.rtpart_files import MANUAL
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.gate import BOOT_STATE, OVERRIDE
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import PROGRAM
from unit.instances import instance_xml
from unit.irqs import irq
from unit.plants import KERNEL, SWITCH, WATCHER_PROCS, mask, matches
from unit.trees import fill

NODE1 = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB"
CPU = "/sys/devices/system/cpu"
VHOST = (
    "<interface type='vhostuser'><mac address='52:54:00:00:00:09'/><source type='unix' path='/run/x' mode='server'/></interface>"
)


def gone(path):
    def remove(plant):
        (plant.root / path[1:]).unlink()

    return remove


def written(path, text):
    return lambda plant: plant.write(path, text)


def edited(path, old, new):
    return lambda plant: plant.edit(path, old, new)


def task(*arguments, **options):
    return lambda plant: plant.task(*arguments, **options)


def irq_thread(pid, name, cpus, *, bound=False):
    return task(pid, name, cpus, kernel=True, bound=bound, policy=1, priority=50)


def redefined(old, new, name="plc1"):
    def change(plant):
        assert re.search(old, plant.libvirt.definitions[name]), plant.libvirt.definitions[name]
        plant.libvirt.definitions[name] = re.sub(old, new, plant.libvirt.definitions[name])

    return change


def moved(name, role, **options):
    return lambda plant: plant.libvirt.edit_thread(name, role, **options)


def switched(row, column, key, value):
    return lambda plant: plant.switch.set(row, column, key, value)


def foreign(**options):
    return lambda plant: plant.foreign(**options)


def instance(*arguments, locked="65536", **options):
    """An instance of Nova that runs on the second node."""

    def harm(plant):
        name = f"instance-{1:08x}"
        plant.libvirt.definitions[name] = instance_xml(1, *arguments, node="1", **options)
        plant.make_pages()
        plant.libvirt.run(name)
        plant.settle_guest(name, locked=locked, node=1)

    return harm


def both(*harms):
    def harm(plant):
        for one in harms:
            one(plant)

    return harm


def idle_entered(plant):
    """Counters that go on: read as 100 first, then as 103."""
    usage = f"{CPU}/cpu2/cpuidle/state2/usage"
    counts = iter(("100", "103"))
    value = Host.value
    Host.value = lambda host, path: next(counts) if path == usage else value(host, path)


def work_waits(plant):
    """A work item that is runnable behind a thread that never sleeps."""
    for tid, name, policy in ((950, "irq_work/5", 1), (951, "kworker/5:1-kvm-irqfd-cleanup", 0)):
        plant.task(tid, name, "5", kernel=True, bound=True, policy=policy, priority=5 * policy)
        stat = f"/proc/{tid}/task/{tid}/stat"
        plant.write(stat, plant.read(stat).replace(") S ", ") R "))
        plant.write(f"/proc/{tid}/task/{tid}/schedstat", "7 7 7\n")


def worker(name):
    """A thread of a foreign guest, as a real-time vCPU made it."""
    return lambda plant: plant.task(9990, name, "5", process=plant.pid("theirs"), policy=1, priority=1)


def shown(one, other):
    """What ovs-appctl prints where these CPUs serve the two guests' ports."""
    ports = {one: "plc1.control", other: "plc2.control"}
    return "".join(
        f"pmd thread numa_id 0 core_id {cpu}:\n  isolated : false\n  port: {ports[cpu]:<16}  queue-id:  0 (enabled)   pmd usage:  0 %\n  overhead:  0 %\n"
        for cpu in sorted(ports)
    )


def stopped(plant):
    plant.libvirt.stop(["historian"], 0, force=True)


#: What is done to the node, and the findings that it must have: rule and resource, as a pattern.
SABOTAGES = {
    # the partition file, and what the roles keep
    "document gone": (gone(DOCUMENT), [("document-missing", DOCUMENT)]),
    "document damaged": (written(DOCUMENT, "{"), [("file-damaged", DOCUMENT)]),
    "partition file of other CPUs": (edited(DOCUMENT, '"topology_digest": "', '"topology_digest": "x'), [("topology-changed", "partition file")]),
    "journal damaged": (written(JOURNAL, "{"), [("file-damaged", JOURNAL)]),
    "options damaged": (written(config_path("cpu_power"), "{"), [("file-damaged", config_path("cpu_power"))]),
    "options of guests' memory damaged": (written(config_path("kvm_host"), "[]"), [("file-damaged", config_path("kvm_host"))]),
    "arguments on record damaged": (written(config_path("kernel_arguments"), "7"), [("file-damaged", config_path("kernel_arguments"))]),
    "power role never run": (gone(config_path("cpu_power")), [("unconfigured", config_path("cpu_power"))]),
    "kernel role never run": (gone(config_path("kernel_arguments")), [("unconfigured", config_path("kernel_arguments"))]),
    "no journal at boot": (written(BOOT_STATE, '{"cpu_partition": "", "journal": "no room"}'), [("boot-run", "journal of this boot")]),
    "service failed at boot": (
        both(written(BOOT_STATE, '{"cpu_partition": "no room"}'), written("/proc/sys/vm/swappiness", "60\n")),
        [("boot-run", "values of cpu_partition"), ("setting", "/proc/sys/vm/swappiness")],
    ),
    "service failed, role has run since": (written(BOOT_STATE, '{"cpu_partition": "no room"}'), []),
    "gate open": (written(OVERRIDE, ""), [("guest-gate", "real-time guests")]),
    "boot service off": (gone(f"{WANTS}/{os.path.basename(UNIT)}"), [("boot-service", f"{WANTS}/*")]),
    "boot service edited": (edited(UNIT, "Type=oneshot", "Type=simple"), [("boot-service", UNIT)]),
    "boot service of an older release": (written(ARCHIVE, "old"), [("boot-service-old", ARCHIVE)]),
    "boot service and manual of an older release": (
        both(written(ARCHIVE, "old"), written(MANUAL, "old")),
        [("boot-service-old", ARCHIVE)],
    ),
    "manual edited": (written(MANUAL, "mine"), [("boot-service", MANUAL)]),
    # kernel and boot loader
    "another kernel": (written("/proc/sys/kernel/osrelease", "6.12.1-amd64\n"), [("kernel", "running kernel")]),
    "an older kernel": (written("/proc/sys/kernel/osrelease", "6.12.0-rt-amd64\n"), [("reboot-pending", "running kernel")]),
    "no real-time kernel": (written("/proc/sys/kernel/version", "#1 SMP\n"), [("kernel", "running kernel")]),
    "argument lost": (edited("/proc/cmdline", "skew_tick=1", ""), [("kernel-argument", "skew_tick")]),
    "not isolated": (written(f"{CPU}/isolated", "1-2\n"), [("isolation", f"{CPU}/isolated"), ("task", "sshd (pid 700)")]),  # balanced
    "isolcpus edited": (edited(DROP_IN, "isolcpus=managed_irq,domain,", "isolcpus=domain,"), [("boot-configuration", DROP_IN)]),
    "menu edited": (edited(GRUB_CFG, "isolcpus=managed_irq,domain,", "isolcpus=domain,"), [("boot-configuration", GRUB_CFG)]),
    "arguments overruled": (
        written("/etc/default/grub.d/z20-site.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'), [("boot-configuration", "boot loader")],
    ),
    "foreign argument": (
        written("/etc/default/grub.d/50-cloud.cfg", 'GRUB_CMDLINE_LINUX="isolcpus=1"\n'),
        [("argument-conflict", "/etc/default/grub.d/50-cloud.cfg")],
    ),
    "idle=poll": (edited("/proc/cmdline", " quiet", " quiet idle=poll"), [("idle-poll", "idle=poll")]),
    "mce=off": (edited("/proc/cmdline", " quiet", " quiet mce=off"), [("mce-off", "mce")]),
    "kthread_cpus": (edited("/proc/cmdline", " quiet", " quiet kthread_cpus=0"), [("argument-unknown", "kthread_cpus")]),
    "service manager on isolated CPUs": (
        edited("/proc/cmdline", " quiet", " quiet systemd.cpu_affinity=0,2"), [("housekeeping-overlap", "systemd.cpu_affinity")],
    ),
    "rationing kernel": (written(f"/boot/config-{KERNEL}", "CONFIG_RT_GROUP_SCHED=y\n"), [("rt-group-sched", "CONFIG_RT_GROUP_SCHED")]),
    "lockdown": (written("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"), [("lockdown", "/sys/kernel/security/lockdown")]),
    # run-time values
    "sysctl": (written("/proc/sys/vm/stat_interval", "1\n"), [("setting", "/proc/sys/vm/stat_interval")]),
    "throttling": (written("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"), [("setting", "/proc/sys/kernel/sched_rt_runtime_us")]),
    "fair server": (
        written("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000\n"), [("setting", "/sys/kernel/debug/sched/fair_server/cpu4/runtime")],
    ),
    "workqueue": (written("/sys/devices/virtual/workqueue/cpumask", mask(*range(12))), [("setting", "/sys/devices/virtual/workqueue/cpumask")]),
    "governor": (written(f"{CPU}/cpufreq/policy4/scaling_governor", "powersave\n"), [("setting", f"{CPU}/cpufreq/policy4/scaling_governor")]),
    "idle limit": (written(f"{CPU}/cpu2/power/pm_qos_resume_latency_us", "0\n"), [("setting", f"{CPU}/cpu2/power/pm_qos_resume_latency_us")]),
    "idle state entered": (idle_entered, [("cstate-entered", "CPU 2")]),
    "kernel thread's CPUs": (task(60, "kcompactd0", "0-11", kernel=True), [("kthread", "thread:kcompactd0:60:*:affinity")]),
    "kernel thread's priority": (
        task(22, "ksoftirqd/2", "2", kernel=True, bound=True), [("kthread", "thread:ksoftirqd/2:22:*:priority")],
    ),
    "interrupt moved": (written("/proc/irq/24/smp_affinity_list", "2\n"), [("interrupt", "IRQ 24 (virtio0-config)")]),
    "interrupt fires there": (written("/proc/irq/24/effective_affinity_list", "2\n"), []),  # pending: it moves when it fires next
    "interrupt allowed there": (written("/proc/irq/9/smp_affinity_list", "0,2\n"), [("interrupt", "IRQ 9 (acpi)")]),
    "new interrupts": (written("/proc/irq/default_smp_affinity", mask(*range(12))), [("setting", "/proc/irq/default_smp_affinity")]),
    "thread of an interrupt left behind": (
        irq_thread(300, "irq/24-virtio0", "2"), [("interrupt", "thread:irq/24-virtio0:300:*:affinity")],
    ),
    "interrupt moved, and its thread follows": (
        both(written("/proc/irq/24/smp_affinity_list", "2\n"), irq_thread(300, "irq/24-virtio0", "2")), [("interrupt", "IRQ 24 (virtio0-config)")],
    ),
    "interrupt moved, and another's thread is left behind": (
        both(written("/proc/irq/24/smp_affinity_list", "2\n"), irq_thread(301, "irq/9-acpi", "2")),
        [("interrupt", "thread:irq/9-acpi:301:*:affinity"), ("interrupt", "IRQ 24 (virtio0-config)")],
    ),
    # field/11: bound by the kernel, so nothing can move it off the vCPU's CPU
    "thread of an interrupt bound there": (
        both(
            lambda plant: fill(plant.root, irq(167, "0", "0", "pps@12")), irq_thread(300, "irq/167-pps@12", "2", bound=True),
        ),
        [("interrupt-thread", "irq/167-pps@12 (pid 300)")],
    ),
    "thread of a managed interrupt": (irq_thread(300, "irq/40-nvme0q2", "2", bound=True), []),  # it belongs there
    "queue steers to an isolated CPU": (
        written("/sys/class/net/ens1/queues/rx-0/rps_cpus", "6\n"), [("setting", "/sys/class/net/ens1/queues/rx-0/rps_cpus")],
    ),
    "watcher ended": (written(WATCHER_PROCS, ""), [("interrupt-watcher", "realtime-kvm-watch.service")]),
    "watcher elsewhere": (task(870, "python3", "0-2"), [("interrupt-watcher", "realtime-kvm-watch.service"), ("task", "python3 (pid 870)")]),
    "watcher not enabled": (gone(WATCHER_LINK), [("host-file", WATCHER_LINK)]),
    "watcher's unit gone": (both(gone(WATCHER_UNIT), written(WATCHER_PROCS, "")), [("host-file", WATCHER_UNIT)]),
    "irqbalance's list": (gone("/etc/realtime-kvm/irqbalance.env"), [("host-file", "/etc/realtime-kvm/irqbalance.env")]),
    "irqbalance by hand": (task(800, "irqbalance", "0"), [("irqbalance", "irqbalance (pid 800)")]),
    "irqbalance that knows": (
        both(task(800, "irqbalance", "0"), written("/proc/800/environ", "A=1\0IRQBALANCE_BANNED_CPULIST=1-2,4-5,7-8,10-11\0")), [],
    ),
    "tuned enabled": (
        lambda plant: fill(plant.root, {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/lib/tuned.service")}),
        [("tuned", "tuned.service")],
    ),
    "another daemon": (task(801, "numad", "0"), [("tuning-daemon", "numad.service")]),
    "cpuset invalid": (
        both(written("/sys/fs/cgroup/rogue/cpuset.cpus.partition", "root invalid (Cpu list in cpuset.cpus not exclusive)\n")),
        [("cpuset", "/sys/fs/cgroup/rogue")],
    ),
    "cpuset root": (
        both(written("/sys/fs/cgroup/rogue/cpuset.cpus.partition", "root\n"), written("/sys/fs/cgroup/rogue/cpuset.cpus", "5\n")),
        [("cpuset-root", "/sys/fs/cgroup/rogue")],
    ),
    # programs
    "wanderer": (task(810, "make", "0-2"), [("task", "make (pid 810)")]),
    "stray on an isolated CPU": (task(811, "make", "0-11", last=5), [("task", "make (pid 811)")]),
    "bound to a free CPU": (task(812, "plc-sim", "5"), []),  # nobody is beside it
    "beside a vCPU": (both(foreign(cpu="5", scheduler=1), task(812, "make", "11")), [("smt-sibling", "make (pid 812)")]),
    "on a vCPU's CPU": (task(813, "make", "8"), [("cpu-contended", "make (pid 813)")]),
    "on a poll-mode thread's CPU": (task(814, "make", "7"), [("cpu-contended", "make (pid 814)")]),
    # memory
    "pages taken away": (written(f"{NODE1}/nr_hugepages", "10\n"), [("hugepages", f"{NODE1}/nr_hugepages")]),
    "pages taken away in use": (written(f"{NODE1}/surplus_hugepages", "6\n"), [("hugepages", f"{NODE1}/nr_hugepages")]),
    "mount gone": (written("/proc/mounts", ""), [("host-file", "mount:/dev/hugepages2M")]),
    # guests
    "pin live only": (moved("plc1", "vcpu1", cpus="5"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin live to many": (moved("plc1", "vcpu1", cpus="0-11"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin live onto another guest": (moved("plc1", "vcpu1", cpus="4"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin persistent only": (
        redefined('vcpupin vcpu="1" cpuset="8"', 'vcpupin vcpu="1" cpuset="5"'), [("guest-definition", "domain plc1: cputune")],
    ),
    "policy live": (moved("plc1", "vcpu1", scheduler="rr 5"), [("guest-thread", "domain plc1: vcpu1 scheduler")]),
    "policy persistent": (redefined('priority="1"', 'priority="9"'), [("guest-definition", "domain plc1: cputune")]),
    "emulator live": (moved("plc2", "emulator", cpus="4"), [("guest-thread", "domain plc2: emulator cpus")]),
    "emulator live, with its workers": (
        both(moved("plc2", "emulator", cpus="0-5"), moved("plc2", "worker", cpus="0-5")), [("guest-thread", "domain plc2: emulator cpus")],
    ),
    "a worker alone": (moved("plc2", "worker", cpus="0-5"), [("task", "worker (pid *)")]),
    "guest stopped": (stopped, [("guest-state", "domain historian: state")]),
    "autostart off": (lambda plant: plant.libvirt.started_with_node.discard("plc2"), [("guest-definition", "domain plc2: autostart")]),
    "locking undone": (redefined("<locked */>", ""), [("guest-definition", "domain plc1: memoryBacking")]),
    "guest undefined": (lambda plant: (stopped(plant), plant.libvirt.remove("historian")), [("guest-definition", "domain historian")]),
    "disk gone": (gone("/images/plc1.qcow2"), [("refused", "guests")]),
    "memory elsewhere": (lambda plant: plant.settle_guest("plc2", node=0), [("guest-memory-node", "domain plc2")]),
    "memory not locked": (lambda plant: plant.settle_guest("plc2", locked="0"), [("guest-memory-unlocked", "domain plc2")]),
    "slice of one guest limited": (
        both(
            redefined("<os>", "<resource><partition>/machine/rt</partition></resource><os>", "plc1"),
            written("/sys/fs/cgroup/machine.slice/machine-rt.slice/cpuset.cpus", "4-11\n"),
        ),
        [("slice-limit", "machine-rt.slice")],
    ),
    "slice limited": (
        written("/etc/systemd/system/machine.slice.d/x.conf", "[Slice]\nAllowedCPUs=2,4-5,8,10-11\n"), [("slice-limit", "machine.slice")],
    ),
    "libvirt off": (lambda plant: setattr(plant, "answers", False), [("libvirt-missing", "libvirt")]),
    # foreign guests
    "foreign, well-behaved": (foreign(cpu="5", scheduler=1), []),
    "foreign on a guest's CPU": (foreign(cpu="2"), [("vcpu-overlap", "CPU 2")]),
    "foreign on a poll-mode thread's CPU": (foreign(cpu="7"), [("vcpu-pin", "domain theirs: vcpu0")]),
    "foreign above the kernel": (foreign(cpu="5", scheduler=50), [("vcpu-priority", "domain theirs: vcpu0")]),
    "foreign, not locked": (foreign(cpu="5", scheduler=1, locked="0"), [("guest-memory-unlocked", "domain theirs")]),
    "foreign, moved live": (both(foreign(cpu="5", scheduler=1), moved("theirs", "vcpu0", cpus="11")), [("guest-live", "domain theirs: vcpu0")]),
    "foreign, moved live onto a guest's CPU": (both(foreign(cpu="5", scheduler=1), moved("theirs", "vcpu0", cpus="4")), [("vcpu-overlap", "CPU 4")]),
    "foreign emulator": (both(foreign(cpu="5", scheduler=1), moved("theirs", "emulator", cpus="0,5")), [("emulator-pin", "domain theirs: emulator")]),
    "foreign without shared memory": (foreign(cpu="5", scheduler=1, devices=VHOST), [("vhost-user-memory", "domain theirs")]),
    "foreign with shared memory": (
        foreign(cpu="5", scheduler=1, devices=VHOST, more="<memoryBacking><access mode='shared'/></memoryBacking>"), [],
    ),
    "foreign that floats": (foreign(), []),
    # switch
    "mask edited": (switched(".", "other_config", "pmd-cpu-mask", "0x2"), [("switch", "ovs:Open_vSwitch other_config:pmd-cpu-mask")]),
    "queue moved": (switched("plc1.control", "other_config", "pmd-rxq-affinity", "0:4"), [("switch", "ovs:Interface/plc1.control other_config:*")]),
    "switch's memory": (switched(".", "other_config", "dpdk-socket-mem", "32"), [("switch", "ovs:Open_vSwitch other_config:dpdk-socket-mem")]),
    "switch's thread": (task(903, "handler1", "0,2", process=SWITCH), [("switch", "thread:handler1:903:*:affinity")]),
    "switch not installed": (gone(PROGRAM), [("switch-missing", "Open vSwitch")]),
    "work that waits": (work_waits, [("starved", "kworker/5:1-kvm-irqfd-cleanup (thread 951)")]),
    "KVM's worker beside a vCPU": (
        both(foreign(cpu="5", scheduler=1), worker("kvm-nx-lpage-re")), [("nx-recovery", "theirs: kvm-nx-lpage-re (thread 9990)")],
    ),
    "a thread of QEMU beside a vCPU": (
        both(foreign(cpu="5", scheduler=1), worker("vnc_worker")), [("guest-worker", "theirs: vnc_worker (thread 9990)")],
    ),
    "vhost thread beside a vCPU": (
        both(foreign(cpu="5", scheduler=1), worker("vhost-77")), [("vhost-thread", "theirs: vhost-77 (thread 9990)")],
    ),
    "vhost thread on another guest's CPU": (
        both(foreign(cpu="5", scheduler=1), lambda plant: plant.task(9990, "vhost-77", "8", process=plant.pid("theirs"))),
        [("vhost-thread", "theirs: vhost-77 (thread 9990)")],
    ),
    "vhost thread beside the emulator": (
        both(foreign(cpu="5", scheduler=1), lambda plant: plant.task(9990, "vhost-77", "0", process=plant.pid("theirs"))), [],
    ),
    "poll-mode thread moved": (task(901, "pmd-c01/id:901", "5", process=SWITCH), [("pmd-pin", "pmd-c01/id:901 (thread 901)")]),
    "poll-mode thread moved onto a vCPU's CPU": (task(901, "pmd-c01/id:901", "2", process=SWITCH), [("pmd-pin", "pmd-c01/id:901 (thread 901)")]),
    "poll-mode thread freed": (task(901, "pmd-c01/id:901", "1,7", process=SWITCH), [("pmd-pin", "pmd-c01/id:901 (thread 901)")]),
    "poll-mode thread real-time": (task(901, "pmd-c01/id:901", "1", process=SWITCH, policy=1, priority=1), [("pmd-policy", "pmd-c01/id:901*")]),
    "queue served by another thread": (
        lambda plant: setattr(plant, "queues", shown(7, 1)), [("rxq-placement", "port plc1.control queue 0"), ("rxq-placement", "port plc2.control queue 0")],
    ),
    "guest without a link": (
        lambda plant: plant.switch.rows.interfaces["plc1.control"].columns.update(link_state="down"), [("guest-link", "port plc1.control")],
    ),
    "queues as pinned": (lambda plant: setattr(plant, "queues", shown(1, 7)), []),
    "daemon does not tell": (lambda plant: setattr(plant, "queues", None), [("unchecked", "queues of the switch")]),
    # Nova
    "Nova shares": (
        written("/etc/nova/nova.conf", "[DEFAULT]\ncpu_shared_set = 9\n[compute]\ncpu_dedicated_set = 2,8\ncpu_shared_set = 0,8\n"),
        [("nova-sets", "?compute? cpu_dedicated_set")],
    ),
    "an instance of Nova, well-behaved": (instance(["5"], "3", "0"), []),
    "an instance with an emulator of its own": (instance(["5"], "11"), []),
    "an instance that floats": (instance([], "", floating="0,3,6,9"), []),
    "an instance outside the sets": (instance(["3"], "9", "0"), [("instance-cpus", "instance instance-00000001 *: vcpu0")]),
    "an instance on the switch's CPU": (
        instance(["7"], "3"), [("instance-cpus", "instance instance-00000001 *: vcpu0"), ("vcpu-overlap", "CPU 7"), ("guest-memory-node", "*")],
    ),
    "an instance whose emulator is beside a vCPU": (instance(["5"], "3,5", "0"), [("instance-cpus", "instance instance-00000001 *: emulator")]),
    "an instance without huge pages": (instance(["5"], "3", "0", backing=""), [("instance-memory", "instance instance-00000001 *")]),
    "an instance, not locked": (instance(["5"], "3", "0", locked="0"), [("guest-memory-unlocked", "domain instance-00000001")]),
    "an instance of another priority": (
        both(instance(["5"], "3", "0"), written("/etc/nova/nova.conf", "[libvirt]\nrealtime_scheduler_priority = 2\n")),
        [("instance-policy", "instance instance-00000001 *: vCPUs 0")],
    ),
    "an instance, moved live": (
        both(instance(["5"], "3", "0"), moved("instance-00000001", "vcpu0", cpus="11")), [("guest-live", "domain instance-00000001: vcpu0")],
    ),
    "Nova has switched a CPU off": (
        both(written("/sys/devices/system/cpu/online", "0-4,6-11\n"), written("/etc/nova/nova.conf", "[libvirt]\ncpu_power_management = true\n")),
        [("nova-power", "CPUs 5"), ("guest-gate", "real-time guests")],
    ),
    "Nova polls": (written("/etc/nova/nova.conf", "[compute]\ncpu_dedicated_set=1-2,8\n"), [("nova-sets", "?compute? cpu_dedicated_set")]),
}  # fmt: skip


def test_a_converged_node_has_no_finding(plant):
    result = plant.audit()
    assert result["findings"] == []
    assert result["findings_table"] == ["no finding: the machine is as it should be"]
    assert result["unchecked"] == []
    # what is worth knowing: a queue that the kernel manages, and a guest on the node without poll-mode threads
    assert sorted((item["rule"], item["resource"], item["severity"]) for item in result["remarks"]) == [
        ("interrupt-managed", "IRQ 40 (nvme0q2)", "info"), ("pmd-remote", "port plc2.control", "info"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_sabotage_has_its_finding_and_no_other(plant, monkeypatch, name):
    harm, expected = SABOTAGES[name]
    monkeypatch.setattr(Host, "value", Host.value)  # put back whatever the harm does to it
    harm(plant)
    found = plant.findings()
    assert matches(found, expected), found


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (written(f"{CPU}/isolated", "\n"), "isolation"),
        (written("/proc/sys/kernel/osrelease", "6.12.1-amd64\n"), "kernel"),
        (edited(DOCUMENT, '"topology_digest": "', '"topology_digest": "x'), "topology-changed"),
        (written(config_path("kernel_arguments"), "7"), "file-damaged"),
    ],
)
def test_what_keeps_real_time_guests_from_starting_says_so(plant, harm, rule):
    harm(plant)
    (cause,) = [item for item in plant.audit()["findings"] if item["rule"] == rule]
    assert cause["actual"].endswith("; no real-time guest starts")
    plant.write(OVERRIDE, "")
    found = {item["rule"]: item["actual"] for item in plant.audit()["findings"]}
    assert found[rule].endswith(f"; real-time guests start only since {OVERRIDE} exists")
    assert found["guest-gate"].startswith(f"open, since {OVERRIDE} exists, although ")


def test_the_table_has_every_rule_that_a_node_with_a_document_can_break():
    elsewhere = {
        "smt-split", "boot-cpu-isolated", "numa-housekeeping", "options", "unchecked", "guest-restart", "nohz-mismatch", "isolcpus-flags",
        "cstate-depth", "governor", "fair-server", "rt-throttling", "interrupt-default", "tuned-cores",
        "guest-os-vcpus", "guest-os-clock", "guest-os-steal",  # of the inside of a guest
        "placement-cpus", "placement-traits", "placement-provider", "placement-bandwidth", "cloud-service",  # by openstack_cloud_info
        "cache-mount", "cache-group", "cache-mask", "memory-bandwidth", "cache-foreign",  # test_drift.py breaks each, on a kernel's resctrl
        *(f"time-{name}" for name in ("service", "cpus", "conflict", "source", "offset", "priority")),  # test_clock.py breaks each
        *(f"device-{name}" for name in ("driver", "functions", "settings", "interrupt")),  # test_rt_audit_devices.py breaks each
        "metrics", "pmd-mask",  # test_rt_audit_watching.py breaks both
        "port-link",  # of a physical port, which this node's switch does not have: test_switch.py breaks it
    }  # fmt: skip
    covered = {rule for _harm, expected in SABOTAGES.values() for rule, _resource in expected}
    assert covered | elsewhere == {rule.id for rule in RULES.values() if rule.severity != "info"}


# -- a node without a partition file ---------------------------------------------------------------------


def test_a_tuned_node_without_a_document_lacks_the_document_alone(plant):
    os.unlink(f"{plant.root}{DOCUMENT}")
    result = plant.audit()
    assert [item["rule"] for item in result["findings"]] == ["document-missing"]
    assert result["partition"] == {}


def untended(path, text):
    return lambda plant: plant.write(path, text)


#: What a node without a partition file gets beside that: rules that hold for whoever tuned it.
UNTENDED = {
    "governor": (untended(f"{CPU}/cpufreq/policy4/scaling_governor", "powersave\n"), [("governor", "CPUs 4")]),
    "idle limit": (untended(f"{CPU}/cpu4/power/pm_qos_resume_latency_us", "0\n"), [("cstate-depth", "CPUs 4")]),
    "fair server": (untended("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000\n"), [("fair-server", "CPUs 4")]),
    "new interrupts": (untended("/proc/irq/default_smp_affinity", "fff\n"), [("interrupt-default", "/proc/irq/default_smp_affinity")]),
    "interrupt": (untended("/proc/irq/9/smp_affinity_list", "4\n"), [("interrupt", "IRQ 9 (acpi)")]),
    "kernel thread": (
        lambda plant: plant.task(28, "ksoftirqd/8", "8", kernel=True, bound=True), [("vcpu-priority", "domain plc1: vcpu1")],
    ),
    "split cores": (
        both(untended(f"{CPU}/isolated", "1-2,4-5,7-8,10\n"), edited("/proc/cmdline", "10-11", "10")), [("smt-split", "CPUs 5,11")],
    ),
    "boot CPU": (
        untended(f"{CPU}/isolated", "0-2,4-8,10-11\n"),
        [
            ("boot-cpu-isolated", "CPU 0"), ("numa-housekeeping", "NUMA node 0"), ("housekeeping-overlap", "irqaffinity"),
            ("interrupt", "IRQ 9 (acpi)"), ("interrupt-default", "/proc/irq/default_smp_affinity"), ("fair-server", "CPUs 0,6"),
            ("cstate-depth", "CPUs 0,6"), ("emulator-pin", "domain plc1: emulator"), ("task", "sshd*"), ("task", "ovs-vswitchd*"),
        ],
    ),
    "tuned, the same CPUs": (lambda plant: tuned(plant, "1-2,4-5,7-8,10-11"), []),
    "tuned, other CPUs": (lambda plant: tuned(plant, "2-5"), [("tuned-cores", "tuned, profile realtime-virtual-host")]),
}  # fmt: skip


def tuned(plant, cores):
    plant.task(850, "tuned", "0", pidfile="/run/tuned/tuned.pid")
    plant.write("/etc/tuned/active_profile", "realtime-virtual-host\n")
    plant.write("/etc/tuned/realtime-virtual-host-variables.conf", f"isolated_cores={cores}\n")


@pytest.mark.parametrize("name", UNTENDED)
def test_known_conflicts_are_told_without_a_document_too(plant, name):
    harm, expected = UNTENDED[name]
    os.unlink(f"{plant.root}{DOCUMENT}")
    harm(plant)
    found = set(plant.findings(guests=[], networks=[])) - {("document-missing", DOCUMENT)}
    wanted = {item[0] for item in expected}
    assert {rule for rule, _resource in found} == wanted, found
    assert all(any(fnmatchcase(resource, item[1]) for rule, resource in found if rule == item[0]) for item in expected), found


def test_throttling_is_told_on_kernels_that_throttle(plant):
    os.unlink(f"{plant.root}{DOCUMENT}")
    plant.write("/proc/sys/kernel/osrelease", "6.1.0-rt\n")
    plant.write("/proc/sys/kernel/sched_rt_runtime_us", "950000\n")
    assert ("rt-throttling", "/proc/sys/kernel/sched_rt_runtime_us") in plant.findings(guests=[], networks=[])
