# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the audit: what must hold, the severity if it does not, and the source. Pure.

The same table makes docs/audit.md.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Worst first. An error breaks a promise of the node; a warning may do so, or will after the next reboot or restart; an
#: information never makes a run fail.
SEVERITIES = ("error", "warning", "info")

_PARAMETERS = "Documentation/admin-guide/kernel-parameters.txt"
_CGROUP = "Documentation/admin-guide/cgroup-v2.rst"
_LIBVIRT = "https://libvirt.org/formatdomain.html"
_KVM_RT = "https://libvirt.org/kbase/kvm-realtime.html"
_RT_HOST = "Red Hat, Configuring virtualization on RHEL for Real Time"
_PMD = "Open vSwitch, Documentation/topics/dpdk/pmd.rst"

_NOVA_CPUS = "Nova, Documentation admin/cpu-topologies"
_NOVA_RT = "Nova, Documentation admin/real-time"

_RESCTRL = "Documentation/filesystems/resctrl.rst"

_SITE, _REBOOT = "site", "site, with a reboot"


@dataclass(frozen=True)
class Rule:
    """One rule; ``meaning`` is what must hold, ``repair`` the playbook or person that restores it."""

    id: str
    severity: str
    meaning: str
    source: str
    repair: str = "by hand"


_TABLE = (
    # the partition file, and what the roles keep on the node
    Rule("document-missing", "error", "The node has a partition file.", "docs/partition.md", _SITE),
    Rule(
        "file-damaged",
        "error",
        "What the roles keep on the node can be read.",
        "docs/undo-and-recovery.md",
        "site; a damaged journal by hand",
    ),
    Rule(
        "topology-changed", "error", "The partition file was made for the CPUs that the node has now.", "docs/partition.md", _SITE
    ),
    Rule("unconfigured", "warning", "Every role that the node needs has left its options there.", "docs/concepts.md", _SITE),
    Rule(
        "boot-service",
        "error",
        "The boot service, which makes run-time values again, exists and starts at boot.",
        "docs/settings.md",
        _SITE,
    ),
    Rule(
        "boot-run",
        "error",
        "The boot service has made the values of every role in this boot, and kept their originals.",
        "docs/undo-and-recovery.md",
        _SITE,
    ),
    Rule(
        "guest-gate",
        "warning",
        "Real-time guests are kept off a node whose kernel or boot is not as planned, and may start on others.",
        "docs/undo-and-recovery.md",
    ),
    Rule("boot-service-old", "warning", "The boot service is of the collection's own release.", "docs/settings.md", _SITE),
    Rule(
        "options",
        "error",
        "The options kept for the boot service agree with the inventory.",
        "docs/settings.md",
        _SITE,
    ),
    Rule("refused", "error", "The node as it is can meet the inventory's requests.", "docs/guests.md"),
    Rule("unchecked", "warning", "Every part of the node can be checked.", "docs/audit.md"),
    Rule("note", "info", "The modules have nothing to note beside their changes.", "docs/audit.md", "none"),
    # the inside of a guest
    Rule(
        "guest-os-vcpus",
        "error",
        "The partition file of a guest is its own; its realtime CPUs are the real-time vCPUs of its definition, and its idle policy is `guest_os_idle`.",
        "docs/guest-os.md",
        "guest_os, with a reboot",
    ),
    Rule(
        "guest-os-clock",
        "warning",
        "A guest's clock is the TSC or the hypervisor's, and it has its node's clock.",
        "docs/guest-os.md",
        "guest_os",
    ),
    Rule(
        "guest-os-steal",
        "warning",
        "Nothing else runs on the node's CPUs while a guest's real-time vCPUs want to run.",
        "Documentation/filesystems/proc.rst",
    ),
    # CPU sets and topology
    Rule("boot-cpu-isolated", "error", "The boot CPU is a housekeeping CPU.", _PARAMETERS, _REBOOT),
    Rule("smt-split", "error", "All threads of a core belong to one set.", _RT_HOST, _REBOOT),
    Rule(
        "numa-housekeeping", "error", "Every NUMA node with isolated CPUs has a housekeeping CPU.", "docs/partition.md", _REBOOT
    ),
    Rule("housekeeping-overlap", "warning", "Arguments that place ordinary work name no isolated CPU.", _PARAMETERS),
    Rule("isolation", "error", "The kernel isolates the CPUs of the isolated sets.", _PARAMETERS, _REBOOT),
    Rule(
        "cpuset",
        "error",
        "Cpuset partitions are valid and hold the CPUs that they should.",
        _CGROUP,
        "site; other programs' cgroups by hand",
    ),
    Rule("cpuset-root", "error", "CPUs isolated at boot are in no cpuset partition of type root.", _CGROUP),
    Rule(
        "nova-sets",
        "error",
        "Nova's dedicated CPUs are neither shared nor dataplane CPUs.",
        _NOVA_CPUS,
    ),
    # kernel and its arguments
    Rule(
        "kernel",
        "error",
        "The running kernel is the requested one, with PREEMPT_RT.",
        "Documentation/core-api/real-time",
        _REBOOT,
    ),
    Rule(
        "kernel-argument",
        "error",
        "The running kernel has the planned arguments and no other value of them.",
        "docs/kernel-arguments.md",
        _REBOOT,
    ),
    Rule(
        "boot-configuration",
        "error",
        "The boot loader boots the planned kernel and arguments next time too.",
        "docs/kernel-arguments.md",
        _SITE,
    ),
    Rule("reboot-pending", "warning", "The running kernel is the one that boots next.", "docs/kernel-arguments.md", _REBOOT),
    Rule(
        "argument-conflict", "error", "No file of the boot loader contradicts the planned arguments.", "docs/kernel-arguments.md"
    ),
    Rule("argument-unknown", "warning", "Every argument is known to a mainline kernel.", _PARAMETERS),
    Rule("argument-duplicate", "info", "No argument is given twice.", _PARAMETERS),
    Rule("argument-redundant", "info", "No argument is without effect beside another.", _PARAMETERS),
    Rule("isolcpus-flags", "warning", "isolcpus= has the flag managed_irq.", "kernel/sched/isolation.c", _REBOOT),
    Rule("nohz-mismatch", "error", "nohz_full= and isolcpus=nohz name the same CPUs.", "kernel/sched/isolation.c"),
    Rule(
        "idle-poll",
        "error",
        "idle=poll is not used where cores have several threads.",
        "Documentation/admin-guide/pm/cpuidle.rst",
    ),
    Rule("mce-off", "warning", "Uncorrected memory errors are reported.", _PARAMETERS),
    Rule(
        "rt-group-sched", "error", "The kernel does not limit real-time by cgroup.", "Documentation/scheduler/sched-rt-group.rst"
    ),
    Rule(
        "lockdown",
        "warning",
        "The kernel is in no lockdown that hides the settings a real-time node needs.",
        "kernel_lockdown(7)",
    ),
    Rule(
        "fair-server",
        "warning",
        "Fair servers take little time from real-time threads on isolated CPUs.",
        "kernel/sched/deadline.c",
        _SITE,
    ),
    Rule(
        "rt-throttling",
        "warning",
        "Real-time threads are hardly throttled (kernels before 6.12).",
        "Documentation/scheduler/sched-rt-group.rst",
        _SITE,
    ),
    # what the node holds while it runs
    Rule("setting", "error", "Kernel settings have the values of the roles.", "docs/settings.md", _SITE),
    Rule("kthread", "error", "Kernel threads have their priorities, and keep off isolated CPUs.", "docs/settings.md", _SITE),
    Rule(
        "hugepages",
        "error",
        "Every NUMA node has the huge pages that guests and switch need.",
        "Documentation/admin-guide/mm/hugetlbpage.rst",
        _SITE,
    ),
    Rule(
        "cache-mount",
        "error",
        "resctrl is mounted where caches are divided, with code and data apart where that is asked.",
        _RESCTRL,
        _SITE,
    ),
    Rule(
        "cache-group",
        "error",
        "Each isolated set has its group of resctrl, with the CPUs of the set, and not exclusive.",
        _RESCTRL,
        _SITE,
    ),
    Rule("cache-mask", "error", "The groups have their portions of the caches, the other CPUs have the rest.", _RESCTRL, _SITE),
    Rule(
        "memory-bandwidth",
        "warning",
        "The other CPUs have their limit of memory bandwidth, and isolated ones have none (Intel).",
        _RESCTRL,
        _SITE,
    ),
    Rule(
        "cache-foreign",
        "error",
        "No group of another program has CPUs of the isolated sets, or portions of caches that these need alone.",
        _RESCTRL,
    ),
    Rule("cache-absent", "info", "The machine can do what the inventory asks of caches.", "docs/cache.md", "none"),
    Rule("host-file", "error", "Files of the roles hold what the roles wrote.", "docs/undo-and-recovery.md", _SITE),
    Rule(
        "governor", "warning", "Isolated CPUs run at a steady frequency.", "Documentation/core-api/real-time/hardware.rst", _SITE
    ),
    Rule(
        "cstate-depth",
        "warning",
        "Isolated CPUs have a limit on how deep they sleep.",
        "Documentation/ABI/testing/sysfs-devices-power",
        _SITE,
    ),
    Rule(
        "cstate-entered",
        "error",
        "Isolated CPUs enter no idle state beyond their limit.",
        "Documentation/admin-guide/pm/cpuidle.rst",
    ),
    Rule(
        "interrupt",
        "error",
        "No movable interrupt may fire on an isolated CPU.",
        "Documentation/core-api/irq/irq-affinity.rst",
        _SITE,
    ),
    Rule(
        "device-interrupt",
        "error",
        "Interrupts of guests' devices go to the CPU of the vCPU that the guest's list names.",
        "docs/devices.md",
        _SITE,
    ),
    Rule(
        "interrupt-default",
        "warning",
        "New interrupts start on housekeeping CPUs.",
        "Documentation/core-api/irq/irq-affinity.rst",
        _SITE,
    ),
    Rule(
        "interrupt-managed", "info", "Interrupts that the kernel manages keep off isolated CPUs.", "kernel/irq/manage.c", "none"
    ),
    Rule(
        "interrupt-thread",
        "warning",
        "No interrupt's thread is bound to an isolated CPU while the interrupt is elsewhere.",
        "kernel/irq/manage.c",
    ),
    Rule(
        "interrupt-watcher",
        "error",
        "The watcher, which moves interrupts again after drivers have set them, runs on housekeeping CPUs.",
        "docs/settings.md",
        _SITE,
    ),
    Rule(
        "irqbalance",
        "error",
        "irqbalance leaves the isolated CPUs alone.",
        "irqbalance(1)",
        "site; one started by other means than its unit by hand",
    ),
    Rule(
        "tuned",
        "error",
        "tuned does not tune a node that this collection tunes.",
        "docs/traps.md",
        "site, with cpu_partition_tuned: take_over",
    ),
    Rule(
        "tuned-cores",
        "warning",
        "An active tuned profile isolates the CPUs that the kernel isolates.",
        "tuned, profile cpu-partitioning",
    ),
    Rule("tuning-daemon", "warning", "No other daemon changes settings that real-time nodes depend on.", "docs/traps.md"),
    Rule("task", "error", "A program runs only on isolated CPUs, or on none of them.", "docs/traps.md"),
    Rule("starved", "error", "Work that is runnable on an isolated CPU runs.", "docs/policies.md", _SITE),
    Rule("cpu-contended", "error", "A CPU of a vCPU or poll-mode thread has no other program.", _KVM_RT),
    Rule("smt-sibling", "error", "Threads beside a vCPU's, and threads left idle, run no program.", _RT_HOST),
    # guests
    Rule("libvirt-missing", "error", "libvirt answers where the inventory lists guests.", "docs/guests.md", _SITE),
    Rule(
        "device-functions",
        "error",
        "Physical functions have as many virtual functions as the inventory says, and give them no driver of the node.",
        "docs/devices.md",
        _SITE,
    ),
    Rule("device-driver", "error", "Functions of guests are bound to vfio-pci, and stay so at a boot.", "docs/devices.md", _SITE),
    Rule(
        "device-settings",
        "error",
        "Virtual functions of guests have the MAC, VLAN, trust, rate and spoof check of the inventory.",
        "docs/devices.md",
        _SITE,
    ),
    Rule("guest-definition", "error", "Guests' definitions agree with the inventory.", "docs/guests.md", _SITE),
    Rule("guest-state", "error", "Guests run or are off according to the inventory.", "docs/guests.md", _SITE),
    Rule(
        "guest-thread",
        "error",
        "Threads of running guests have the CPUs and the policy that the inventory gives them.",
        "docs/guests.md",
        _SITE,
    ),
    Rule("guest-live", "warning", "A running guest's pins and policies are those of its definition.", _LIBVIRT),
    Rule(
        "guest-restart",
        "warning",
        "No running guest waits for a restart to have its new definition.",
        "docs/guests.md",
        "site, with rt_guest_restart: true",
    ),
    Rule("guest-unlisted", "info", "Every guest of this collection is in the inventory.", "docs/guests.md"),
    Rule("slice-limit", "error", "The slices of guests reach their CPUs and those of their emulator threads.", _CGROUP),
    Rule("vcpu-pin", "error", "Each vCPU of a real-time guest is pinned to one realtime CPU.", _KVM_RT),
    Rule("vcpu-overlap", "error", "No CPU has two vCPUs, or a vCPU and a poll-mode thread.", _KVM_RT),
    Rule(
        "vcpu-priority",
        "error",
        "vCPUs have lower priorities than ksoftirqd, ktimers and rcuc of their CPU.",
        "tuned, profile realtime-virtual-host",
    ),
    Rule("emulator-pin", "error", "Emulator and I/O threads keep off isolated CPUs that are not their own.", _KVM_RT),
    Rule("guest-memory-node", "error", "The memory of a real-time guest is on the NUMA nodes of its CPUs.", _LIBVIRT),
    Rule("guest-memory-unlocked", "warning", "The memory of a real-time guest is locked.", _KVM_RT),
    Rule(
        "vhost-user-memory",
        "error",
        "A guest on a vhost-user port shares its memory.",
        "Open vSwitch, Documentation/topics/dpdk/vhost-user.rst",
    ),
    Rule(
        "nx-recovery",
        "warning",
        "KVM's large-page thread has neither an isolated CPU nor a real-time policy, unless its guest's emulator has.",
        "Documentation/admin-guide/hw-vuln/multihit.rst",
        _SITE,
    ),
    Rule(
        "guest-worker",
        "error",
        "Other threads of QEMU have neither an isolated CPU nor a real-time policy, unless the emulator has.",
        _KVM_RT,
    ),
    Rule(
        "vhost-thread",
        "error",
        "vhost's threads of a guest have the CPUs of the thread that `vhost` names and their policy; of other guests, they are beside the emulator "
        "or keep off isolated CPUs.",
        "docs/emulation.md",
        _SITE,
    ),
    # instances of OpenStack's Nova
    Rule(
        "instance-cpus",
        "error",
        "By its live XML, each vCPU of an instance of Nova has one realtime CPU or floats over ordinary ones, and its emulator and I/O "
        "threads have ordinary CPUs or a realtime one without a vCPU.",
        _NOVA_CPUS,
        "by hand, through Nova",
    ),
    Rule(
        "instance-policy",
        "error",
        "Real-time vCPUs of Nova's instances are fifo at the priority of nova_compute_priority.",
        "nova/virt/libvirt/designer.py, set_vcpu_realtime_scheduler",
        "by hand, through Nova",
    ),
    Rule(
        "instance-memory",
        "warning",
        "The memory of Nova's real-time instances is locked and of huge pages.",
        _NOVA_RT,
        "by hand, through Nova",
    ),
    Rule(
        "instance-plain-pinned",
        "info",
        "No plainly pinned instance of Nova shares a host with real-time guests, unless nova_compute_plain_pinned says so.",
        _NOVA_CPUS,
        "by hand, through Nova",
    ),
    Rule(
        "instance-sibling",
        "info",
        "The real-time vCPUs of an instance of Nova have cores of their own, unless its flavor wants whole cores.",
        _NOVA_CPUS,
        "site, with cpu_partition_smt: single",
    ),
    Rule(
        "instance-emulator-node",
        "info",
        "Emulator and I/O threads of Nova's instances stay on the NUMA nodes of the instances' own CPUs.",
        _NOVA_CPUS,
        "by hand, through Nova",
    ),
    Rule(
        "nova-power",
        "error",
        "Nova's power management has switched no CPU of the partition off.",
        "nova/virt/libvirt/cpu/api.py, power_down_all_dedicated_cpus",
    ),
    # switch
    Rule("switch-missing", "error", "Open vSwitch with DPDK is installed where networks are real-time.", "docs/switch.md", _SITE),
    Rule(
        "switch",
        "error",
        "Settings, bridges, ports and threads of the switch agree with the inventory.",
        "docs/switch.md",
        _SITE,
    ),
    Rule("switch-unlisted", "info", "Every port and bridge of this collection is in the inventory.", "docs/switch.md"),
    Rule("pmd-pin", "error", "Each poll-mode thread is bound to one dataplane CPU.", _PMD),
    Rule("rxq-placement", "error", "Each queue is served by the poll-mode thread that it is pinned to.", _PMD),
    Rule(
        "port-link",
        "warning",
        "The ports of running guests and the physical ports of the switch have a link.",
        "ovs-vswitchd.conf.db(5), link_state",
    ),
    Rule("pmd-policy", "warning", "Poll-mode threads have the ordinary policy.", _PMD),
    Rule("pmd-remote", "info", "Ports are polled from their own NUMA node.", _PMD),
    # the clock, where time_sync has set up its source
    Rule("time-service", "error", "The time service that time_sync has set up runs, and starts at boot.", "docs/time.md", _SITE),
    Rule(
        "time-cpus",
        "error",
        "The time service runs on housekeeping CPUs, with the policy and files that it was given.",
        "docs/time.md",
        _SITE,
    ),
    Rule("time-conflict", "error", "Nothing else steers the clock.", "docs/time.md", "site, with time_sync_take_over: true"),
    Rule("time-source", "warning", "The clock follows a source.", "docs/time.md"),
    Rule("time-offset", "warning", "The clock is within time_sync_offset_limit_us of its source.", "docs/time.md"),
    Rule("time-priority", "warning", "The time service runs below the kernel's threads.", "docs/policies.md"),
    Rule("time-stamping", "info", "PTP's packets are stamped by the NIC.", "docs/time.md"),
    # the cloud's view of the node
    Rule("placement-provider", "error", "The cloud has a nova-compute of the node's name.", "docs/openstack-cloud.md"),
    Rule(
        "placement-cpus",
        "error",
        "Placement counts as many pinned and floating CPUs of the node as its partition file gives Nova.",
        "Nova, Documentation admin/cpu-topologies",
        "openstack",
    ),
    Rule(
        "placement-traits",
        "error",
        "Placement has the traits of the node and of its physical networks, and no other of this collection.",
        "Placement API reference, Resource provider traits",
        "openstack",
    ),
    Rule(
        "placement-bandwidth",
        "warning",
        "Placement counts the bandwidth of each physical network of the node.",
        "Neutron, Documentation admin/config-qos-min-bw",
        "openstack",
    ),
    Rule("cloud-service", "warning", "The node's nova-compute is up and enabled.", "Compute API reference, os-services"),
)

#: Rules by id.
RULES = {rule.id: rule for rule in _TABLE}


def rank(severity: str) -> int:
    """Return a severity's place in the order, the worst first."""
    return SEVERITIES.index(severity)
