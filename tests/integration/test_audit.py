# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit on a node that hosts guests: silent when all is right; each thing broken by hand has its finding and no other.

A sabotage costs one call of the module. Everything is undone by hand after it; at the end all that ``site`` repairs is broken at once, and
``site`` repairs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml
from integration.conftest import NODES
from integration.lab import FREEZE, ROOT, THAW, lab, module, playbook, ssh
from integration.machine import look

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

_VARIABLES = yaml.safe_load((ROOT / "inventories" / "lab" / "host_vars" / f"{NODE}.yml").read_text())
#: What the role rt_verify passes for this inventory.
ARGUMENTS = {
    "networks": _VARIABLES["realtime_networks"],
    "guests": _VARIABLES["realtime_guests"],
    "host": {"socket_memory_mib": _VARIABLES["ovs_dpdk_socket_memory_mib"]},
    "switch": {
        "socket_memory_mib": _VARIABLES["ovs_dpdk_socket_memory_mib"], "pmd_sleep_max_us": _VARIABLES["ovs_dpdk_pmd_sleep_max_us"],
    },
}  # fmt: skip
#: Worked out by hand from the node's hardware; CPUs 10-11 are free realtime CPUs, 0-1 and 6-7 keep house.
PINS = {"plc1": {0: {4}, 1: {5}}, "plc2": {0: {8}, 1: {9}}}

DOCUMENT = "/etc/ansible/facts.d/realtime_partition.fact"
OPTIONS = "/etc/realtime-kvm"
WANTS = "/etc/systemd/system/multi-user.target.wants"
UNIT = "/etc/systemd/system/realtime-kvm.service"
ARCHIVE = "/usr/local/lib/realtime-kvm/realtime-kvm.pyz"
GRUB = "/etc/default/grub.d/99-realtime-kvm.cfg"
CPU = "/sys/devices/system/cpu"
PAGES = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
OVS = "ovs-vsctl --timeout=30"
CONFIG = f"{OVS} set Open_vSwitch . other_config"
DROP_IN = "/etc/systemd/system/ovs-vswitchd.service.d/realtime-kvm.conf"
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


@dataclass(frozen=True)
class Sabotage:
    """What is done to the node, the findings that it must have (rule and resource, as patterns), and what undoes it."""

    harm: str
    findings: tuple[tuple[str, str], ...]
    repair: str
    site: bool = False  # broken again at the end, for site to repair


def kept(path: str, harm: str) -> tuple[str, str]:
    """Return a harm to a file, and what puts the file back with its times, which the boot loader's menu is held against."""
    keep = f"/root/audit{path.replace('/', '_')}"
    return f"cp -a {path} {keep} && {harm}", f"cp -a {keep} {path}"


def value(path: str, text: str) -> tuple[str, str]:
    """Return another value of a kernel file, and what puts the old one back."""
    keep = f"/root/audit{path.replace('/', '_')}"
    return f"cat {path} > {keep}; echo {text} > {path}", f"cat {keep} > {path}"


def unwatched(pair: tuple[str, str]) -> tuple[str, str]:
    """Return a harm that the watcher of interrupts would mend before it is seen; it is held while the harm lasts."""
    return f"{FREEZE}; {pair[0]}", f"{pair[1]}; {THAW}"


def program(name: str, command: str) -> tuple[str, str]:
    """Return what starts a program as a service, and what ends it."""
    return f"systemd-run -q --unit=audit-{name} {command} && sleep 1", f"systemctl stop audit-{name}"


def task(guest: str, name: str) -> str:
    """The id of a guest's thread."""
    return f"$(grep -l '{name}' /proc/$(cat /run/libvirt/qemu/{guest}.pid)/task/*/comm | cut -d/ -f5 | head -1)"


def polling(cpu: int) -> str:
    """The id of a poll-mode thread."""
    return f"$(grep -l 'pmd-c{cpu:02d}' /proc/$(cat /run/openvswitch/ovs-vswitchd.pid)/task/*/comm | cut -d/ -f5 | head -1)"


def redefined(guest: str, script: str) -> tuple[str, str]:
    """Return a change of a guest's definition by sed, and what puts it back."""
    dump = f"virsh dumpxml --inactive --security-info {guest}"
    return (
        f'{dump} > /root/audit-{guest}.xml && sed "{script}" /root/audit-{guest}.xml > /root/audit-edited.xml && virsh define /root/audit-edited.xml',
        f"virsh define /root/audit-{guest}.xml",
    )


def one(rule: str, resource: str) -> tuple[tuple[str, str], ...]:
    return ((rule, resource),)


def sabotage(pair: tuple[str, str], rule: str, resource: str, *, site: bool = False) -> Sabotage:
    return Sabotage(pair[0], one(rule, resource), pair[1], site)


_INTERRUPT = "$(awk -F: '/virtio0-config/ {print $1 + 0; exit}' /proc/interrupts)"

SABOTAGES = {
    # the partition file, and what the roles keep
    "document gone": sabotage((f"mv {DOCUMENT} /root/", f"mv /root/realtime_partition.fact {DOCUMENT}"), "document-missing", DOCUMENT, site=True),
    "document damaged": sabotage(kept(DOCUMENT, f"echo '{{' > {DOCUMENT}"), "file-damaged", DOCUMENT),  # site: the same as one that is gone
    "partition file of other CPUs": sabotage(
        kept(DOCUMENT, f"sed -i 's/\"topology_digest\": \"/&0/' {DOCUMENT}"), "topology-changed", "partition file"
    ),
    "journal damaged": sabotage(
        kept("/var/lib/realtime-kvm/journal.json", "echo '{' > /var/lib/realtime-kvm/journal.json"), "file-damaged", "/var/lib/realtime-kvm/journal.json"
    ),
    "options damaged": sabotage(
        kept(f"{OPTIONS}/cpu_power.json", f"echo '{{' > {OPTIONS}/cpu_power.json"), "file-damaged", f"{OPTIONS}/cpu_power.json", site=True
    ),
    "half configured": sabotage(
        (f"mv {OPTIONS}/irq_affinity.json /root/", f"mv /root/irq_affinity.json {OPTIONS}/"), "unconfigured", f"{OPTIONS}/irq_affinity.json", site=True
    ),
    "boot service off": sabotage(
        (f"rm {WANTS}/realtime-kvm.service", f"ln -s {UNIT} {WANTS}/realtime-kvm.service"), "boot-service", f"{WANTS}/realtime-kvm.service", site=True
    ),
    "boot service edited": sabotage(kept(UNIT, f"echo '# edited' >> {UNIT}"), "boot-service", UNIT, site=True),
    "boot service of another release": sabotage(kept(ARCHIVE, f"echo >> {ARCHIVE}"), "boot-service-old", ARCHIVE, site=True),
    # boot loader
    "isolcpus edited": sabotage(kept(GRUB, f"sed -i 's/isolcpus=managed_irq,domain,/isolcpus=domain,/' {GRUB}"), "boot-configuration", GRUB, site=True),
    "menu edited": sabotage(
        kept("/boot/grub/grub.cfg", "sed -i 's/skew_tick=1/skew_tick=0/' /boot/grub/grub.cfg"), "boot-configuration", "/boot/grub/grub.cfg"
    ),
    "foreign argument": sabotage(
        ("echo 'GRUB_CMDLINE_LINUX=\"isolcpus=1\"' > /etc/default/grub.d/50-audit.cfg", "rm /etc/default/grub.d/50-audit.cfg"),
        "argument-conflict", "/etc/default/grub.d/50-audit.cfg",
    ),
    # run-time values
    "sysctl": sabotage(value("/proc/sys/vm/stat_interval", "1"), "setting", "/proc/sys/vm/stat_interval", site=True),
    "timers": sabotage(value("/proc/sys/kernel/timer_migration", "1"), "setting", "/proc/sys/kernel/timer_migration", site=True),
    "throttling": sabotage(value("/proc/sys/kernel/sched_rt_runtime_us", "950000"), "setting", "/proc/sys/kernel/sched_rt_runtime_us", site=True),
    "fair server": sabotage(
        value("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000"), "setting", "/sys/kernel/debug/sched/fair_server/cpu4/runtime", site=True
    ),
    "workqueue": sabotage(value("/sys/devices/virtual/workqueue/cpumask", "fff"), "setting", "/sys/devices/virtual/workqueue/cpumask", site=True),
    "idle limit": sabotage(value(f"{CPU}/cpu4/power/pm_qos_resume_latency_us", "0"), "setting", f"{CPU}/cpu4/power/pm_qos_resume_latency_us", site=True),
    "kernel thread's CPUs": sabotage(
        ("taskset -cp 0-11 $(pgrep -x oom_reaper)", "taskset -cp 0-1,6-7 $(pgrep -x oom_reaper)"), "kthread", "thread:oom_reaper:*:affinity", site=True
    ),
    "kernel thread's priority": sabotage(
        ("chrt -o -p 0 $(pgrep -x ksoftirqd/4)", "chrt -f -p 2 $(pgrep -x ksoftirqd/4)"), "kthread", "thread:ksoftirqd/4:*:priority", site=True
    ),
    "interrupt moved": sabotage(
        unwatched((
            f"cat /proc/irq/{_INTERRUPT}/smp_affinity_list > /root/audit_irq; echo 4 > /proc/irq/{_INTERRUPT}/smp_affinity_list",
            f"cat /root/audit_irq > /proc/irq/{_INTERRUPT}/smp_affinity_list",
        )),
        "interrupt", "IRQ * (virtio0-config)", site=True,
    ),
    "new interrupts": sabotage(
        unwatched(value("/proc/irq/default_smp_affinity", "fff")), "setting", "/proc/irq/default_smp_affinity", site=True
    ),
    "pages taken away": sabotage(value(PAGES, "1"), "hugepages", PAGES, site=True),
    # services
    "watcher at a stand": sabotage(
        ("systemctl kill -s STOP realtime-kvm-watch", "systemctl kill -s CONT realtime-kvm-watch"),
        "interrupt-watcher", "realtime-kvm-watch.service", site=True,
    ),
    "watcher stopped": sabotage(
        ("systemctl stop realtime-kvm-watch", "systemctl start realtime-kvm-watch"), "interrupt-watcher", "realtime-kvm-watch.service", site=True
    ),
    "irqbalance's list": sabotage(
        (f"mv {OPTIONS}/irqbalance.env /root/", f"mv /root/irqbalance.env {OPTIONS}/"), "host-file", f"{OPTIONS}/irqbalance.env", site=True
    ),
    "irqbalance by hand": Sabotage(
        "install -m 755 /bin/sleep /usr/local/bin/irqbalance && systemd-run -q --unit=audit-irqbalance irqbalance 600 && sleep 1",
        one("irqbalance", "irqbalance (pid *)"),
        "systemctl stop audit-irqbalance; rm /usr/local/bin/irqbalance",
    ),
    "tuned enabled": sabotage(
        (f"ln -s /usr/lib/systemd/system/tuned.service {WANTS}/", f"rm {WANTS}/tuned.service"), "tuned", "tuned.service"
    ),
    "another daemon enabled": sabotage(
        (f"ln -s /usr/lib/systemd/system/numad.service {WANTS}/", f"rm {WANTS}/numad.service"), "tuning-daemon", "numad.service"
    ),
    "cpuset partition": Sabotage(
        "cd /sys/fs/cgroup; echo +cpuset > cgroup.subtree_control; mkdir audit; echo 10 > audit/cpuset.cpus; echo root > audit/cpuset.cpus.partition",
        one("cpuset*", "/sys/fs/cgroup/audit"),  # invalid, or valid and of the wrong type: as the kernel takes it
        "cd /sys/fs/cgroup; echo member > audit/cpuset.cpus.partition; rmdir audit",
    ),
    "Nova's CPUs": sabotage(
        ("mkdir /etc/nova && printf '[compute]\\ncpu_dedicated_set = 2,4-5\\n' > /etc/nova/nova.conf", "rm -r /etc/nova"),
        "nova-sets", "?compute? cpu_dedicated_set",
    ),
    # programs
    "wanderer": sabotage(program("wander", "taskset -c 0-2 sleep 600"), "task", "sleep (pid *)"),
    "on a vCPU's CPU": sabotage(program("vcpu", "taskset -c 4 sleep 600"), "cpu-contended", "sleep (pid *)"),
    "on a poll-mode thread's CPU": sabotage(program("pmd", "taskset -c 3 sleep 600"), "cpu-contended", "sleep (pid *)"),
    # guests
    "pin live only": sabotage(
        ("virsh vcpupin plc1 1 10 --live", "virsh vcpupin plc1 1 5 --live"), "guest-thread", "domain plc1: vcpu1 cpus", site=True
    ),
    "pin live onto another guest": sabotage(
        ("virsh vcpupin plc1 1 8 --live", "virsh vcpupin plc1 1 5 --live"), "guest-thread", "domain plc1: vcpu1 cpus"
    ),
    "pin persistent only": sabotage(
        ("virsh vcpupin plc1 1 10 --config", "virsh vcpupin plc1 1 5 --config"), "guest-definition", "domain plc1: cputune", site=True
    ),
    "policy live": sabotage(
        (f"chrt -r -p 3 {task('plc2', 'CPU 1/KVM')}", f"chrt -f -p 1 {task('plc2', 'CPU 1/KVM')}"), "guest-thread", "domain plc2: vcpu1 scheduler", site=True
    ),
    "policy persistent": sabotage(redefined("plc2", "s/priority='1'/priority='9'/"), "guest-definition", "domain plc2: cputune", site=True),
    "emulator live": sabotage(
        ("virsh emulatorpin plc1 0-5 --live", "virsh emulatorpin plc1 0-1 --live"), "guest-thread", "domain plc1: emulator cpus", site=True
    ),
    "memory unlocked": sabotage(redefined("plc1", "/<locked\\/>/d"), "guest-definition", "domain plc1: memoryBacking", site=True),
    "autostart off": sabotage(("virsh autostart --disable plc1", "virsh autostart plc1"), "guest-definition", "domain plc1: autostart", site=True),
    "guest off": sabotage(("virsh destroy historian", "virsh start historian"), "guest-state", "domain historian: state", site=True),
    "disk gone": sabotage(
        ("mv /var/lib/libvirt/images/historian.qcow2 /root/", "mv /root/historian.qcow2 /var/lib/libvirt/images/"), "refused", "guests"
    ),
    "slice limited": sabotage(
        (
            "mkdir -p /etc/systemd/system/machine.slice.d && printf '[Slice]\\nAllowedCPUs=4-5,8-11\\n' > /etc/systemd/system/machine.slice.d/audit.conf",
            "rm /etc/systemd/system/machine.slice.d/audit.conf; rmdir --ignore-fail-on-non-empty /etc/systemd/system/machine.slice.d",
        ),
        "slice-limit", "machine.slice",
    ),
    "libvirt off": sabotage((f"systemctl stop {SOCKETS} libvirtd", f"systemctl start {SOCKETS} libvirtd"), "libvirt-missing", "libvirt"),
    # switch
    "mask edited": sabotage((f"{CONFIG}:pmd-cpu-mask=0x4", f"{CONFIG}:pmd-cpu-mask=0xc"), "switch", "ovs:Open_vSwitch other_config:pmd-cpu-mask", site=True),
    "queue moved": Sabotage(
        f"{OVS} get Interface plc1.control other_config:pmd-rxq-affinity > /root/audit_rxq; {OVS} set Interface plc1.control other_config:pmd-rxq-affinity=0:4",
        one("switch", "ovs:Interface/plc1.control other_config:pmd-rxq-affinity"),
        f"{OVS} set Interface plc1.control other_config:pmd-rxq-affinity=$(cat /root/audit_rxq)",
        site=True,
    ),
    "tag edited": sabotage(
        (f"{OVS} set Port plc2.control tag=7", f"{OVS} remove Port plc2.control tag 7"), "switch", "ovs:Port/plc2.control tag", site=True
    ),
    "sockets' folder open": sabotage(
        ("chmod 0777 /run/realtime-kvm/vhost", "chmod 0700 /run/realtime-kvm/vhost"), "switch", "/run/realtime-kvm/vhost", site=True
    ),
    "switch's unit edited": sabotage(kept(DROP_IN, f"echo '# edited' >> {DROP_IN}"), "switch", DROP_IN, site=True),
    "switch's thread": sabotage(
        (
            "taskset -cp 0-5 $(cat /run/openvswitch/ovs-vswitchd.pid)", "taskset -cp 0-1,6-7 $(cat /run/openvswitch/ovs-vswitchd.pid)",
        ),
        "switch", "thread:ovs-vswitchd:*:affinity", site=True,
    ),
    "poll-mode thread moved": sabotage((f"taskset -cp 10 {polling(2)}", f"taskset -cp 2 {polling(2)}"), "pmd-pin", "pmd-c02/* (thread *)"),
    "poll-mode thread real-time": sabotage((f"chrt -f -p 1 {polling(2)}", f"chrt -o -p 0 {polling(2)}"), "pmd-policy", "pmd-c02/* (thread *)"),
    "switch off": sabotage(
        (
            "systemctl stop ovs-vswitchd",
            f"systemctl start openvswitch-switch; timeout 60 sh -c 'until {OVS} get Open_vSwitch . dpdk_initialized | grep -q true; do sleep 1; done'",
        ),
        "switch", "service:ovs-vswitchd",
    ),
}  # fmt: skip

#: A foreign guest, on a free realtime CPU: it is left alone, and checked against the rules for every guest.
FOREIGN = """
<domain type='kvm'><name>theirs</name><memory unit='MiB'>96</memory><vcpu>1</vcpu><memoryBacking><locked/></memoryBacking>
<memtune><hard_limit unit='GiB'>1</hard_limit></memtune><numatune><memory mode='strict' nodeset='1'/></numatune>
<cputune><vcpupin vcpu='0' cpuset='10'/><emulatorpin cpuset='6-7'/><vcpusched vcpus='0' scheduler='fifo' priority='1'/></cputune>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><memballoon model='none'/></devices></domain>
"""
#: What is done to it, the finding, and what undoes it.
FOREIGN_SABOTAGES = {
    "beside its vCPU": sabotage(program("sibling", "taskset -c 11 sleep 600"), "smt-sibling", "sleep (pid *)"),
    "moved live": sabotage(("virsh vcpupin theirs 0 11 --live", "virsh vcpupin theirs 0 10 --live"), "guest-live", "domain theirs: vcpu0"),
    "onto a guest's CPU": sabotage(("virsh vcpupin theirs 0 8 --live", "virsh vcpupin theirs 0 10 --live"), "vcpu-overlap", "CPU 8"),
    "onto housekeeping": sabotage(("virsh vcpupin theirs 0 6 --live", "virsh vcpupin theirs 0 10 --live"), "vcpu-pin", "domain theirs: vcpu0"),
    "above the kernel": sabotage(
        (f"chrt -f -p 10 {task('theirs', 'CPU 0/KVM')}", f"chrt -f -p 1 {task('theirs', 'CPU 0/KVM')}"), "vcpu-priority", "domain theirs: vcpu0"
    ),
    "its emulator": sabotage(
        ("virsh emulatorpin theirs 6-7,11 --live", "virsh emulatorpin theirs 6-7 --live"), "emulator-pin", "domain theirs: emulator"
    ),
}  # fmt: skip


def findings(arguments: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    result = module(NODE, "realtime.kvm.rt_audit", "-a", json.dumps(ARGUMENTS if arguments is None else arguments))
    assert not result["failed"], result.get("msg")
    assert not result["changed"]
    return [(item["rule"], item["resource"]) for item in result["findings"]]


def matches(found: list[tuple[str, str]], expected: tuple[tuple[str, str], ...]) -> bool:
    """Whether each finding is one that was expected, and none is missing."""
    rest = list(expected)
    for rule, resource in found:
        fitting = next((item for item in rest if fnmatchcase(rule, item[0]) and fnmatchcase(resource, item[1])), None)
        if fitting is None:
            return False
        rest.remove(fitting)
    return not rest


def hold(case: Sabotage, arguments: Mapping[str, Any] | None = None) -> None:
    """The node has the findings of a sabotage and no other; ``arguments`` are those of its inventory."""
    ssh(NODE, case.harm)
    try:
        found = findings(arguments)
    finally:
        ssh(NODE, case.repair)
    assert matches(found, case.findings), found


@pytest.fixture(scope="module", autouse=True)
def _hosting() -> None:
    """The node with its guests running, where the sabotages expect them."""
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500)
    guests, switch = look(NODE)
    pins = {name: {vcpu: set(thread.cpus) for vcpu, thread in guests[name].vcpus.items()} for name in PINS}
    assert pins == PINS
    assert {cpu for thread in switch if thread.name.startswith("pmd-") for cpu in thread.cpus} == {2, 3}


def test_a_converged_node_has_no_finding() -> None:
    result = module(NODE, "realtime.kvm.rt_audit", "-a", json.dumps(ARGUMENTS))
    assert result["findings"] == []
    assert result["unchecked"] == []
    # what cannot or need not be repaired
    assert {item["rule"] for item in result["remarks"]} <= {"interrupt-managed", "pmd-remote", "note"}


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_sabotage_has_its_finding_and_no_other(name: str) -> None:
    hold(SABOTAGES[name])


@pytest.fixture(name="theirs", scope="module")
def _theirs() -> Iterator[None]:
    ssh(NODE, "cat > /root/audit-theirs.xml && virsh define /root/audit-theirs.xml && virsh start theirs", stdin=FOREIGN)
    try:
        yield
    finally:
        ssh(NODE, "virsh destroy theirs; virsh undefine theirs; true")


def test_a_foreign_guest_that_behaves_has_no_finding(theirs: None) -> None:
    del theirs
    assert findings() == []


@pytest.mark.parametrize("name", FOREIGN_SABOTAGES)
def test_a_foreign_guest_is_held_against_what_holds_for_all(theirs: None, name: str) -> None:
    del theirs
    hold(FOREIGN_SABOTAGES[name])


def test_site_repairs_what_is_its_own() -> None:
    ours = {name: case for name, case in SABOTAGES.items() if case.site}
    assert len(ours) >= 30
    for case in ours.values():
        ssh(NODE, case.harm)
    assert len(findings()) >= 2  # without its partition file much is not known to be wrong
    playbook("verify.yml", nodes=NODE, ok=False)
    playbook("site.yml", nodes=NODE, timeout=1500)
    assert findings() == []
    ssh(NODE, f"{THAW}; rm -f /root/realtime_partition.fact /root/irq_affinity.json /root/irqbalance.env /root/audit*")


def test_nothing_was_broken_for_good() -> None:
    """The guests are where they were, and the playbook agrees with the module."""
    guests, _switch = look(NODE)
    assert {name: {vcpu: set(thread.cpus) for vcpu, thread in guests[name].vcpus.items()} for name in PINS} == PINS
    playbook("verify.yml", nodes=NODE, extra={"rt_verify_fail_on": "warning"})
