# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the audit for the node itself: what the roles keep there, its CPUs, its kernel, and what it holds while it runs. Pure."""

from __future__ import annotations

from .rule import CGROUP, KVM_RT, NOVA_CPUS, REBOOT, SITE, Rule

_PARAMETERS = "Documentation/admin-guide/kernel-parameters.txt"
_RT_HOST = "Red Hat, Configuring virtualization on RHEL for Real Time"
_RESCTRL = "Documentation/filesystems/resctrl.rst"

#: The partition file, and what the roles keep on the node.
KEPT = (
    Rule("document-missing", "error", "The node has a partition file.", "docs/partition.md", SITE),
    Rule(
        "file-damaged",
        "error",
        "What the roles keep on the node can be read.",
        "docs/undo-and-recovery.md",
        "site; a damaged journal by hand",
    ),
    Rule(
        "topology-changed", "error", "The partition file was made for the CPUs that the node has now.", "docs/partition.md", SITE
    ),
    Rule("unconfigured", "warning", "Every role that the node needs has left its options there.", "docs/concepts.md", SITE),
    Rule(
        "boot-service",
        "error",
        "The boot service, which makes run-time values again, exists and starts at boot.",
        "docs/settings.md",
        SITE,
    ),
    Rule(
        "boot-run",
        "error",
        "The boot service has made the values of every role in this boot, and kept their originals.",
        "docs/undo-and-recovery.md",
        SITE,
    ),
    Rule(
        "guest-gate",
        "warning",
        "Real-time guests are kept off a node whose kernel or boot is not as planned, and may start on others.",
        "docs/undo-and-recovery.md",
    ),
    Rule("boot-service-old", "warning", "The boot service is of the collection's own release.", "docs/settings.md", SITE),
    Rule(
        "metrics",
        "warning",
        "Where rt_metrics is set up, its timers run and its folder is there, safe from others.",
        "roles/rt_metrics/README.md",
        SITE,
    ),
    Rule(
        "options",
        "error",
        "The options kept for the boot service agree with the inventory.",
        "docs/settings.md",
        SITE,
    ),
    Rule("refused", "error", "The node as it is can meet the inventory's requests.", "docs/guests.md"),
    Rule("unchecked", "warning", "Every part of the node can be checked.", "docs/audit.md"),
    Rule("note", "info", "The modules have nothing to note beside their changes.", "docs/audit.md", "none"),
)

#: CPU sets and topology.
SETS = (
    Rule("boot-cpu-isolated", "error", "The boot CPU is a housekeeping CPU.", _PARAMETERS, REBOOT),
    Rule("smt-split", "error", "All threads of a core belong to one set.", _RT_HOST, REBOOT),
    Rule("numa-housekeeping", "error", "Every NUMA node with isolated CPUs has a housekeeping CPU.", "docs/partition.md", REBOOT),
    Rule("housekeeping-overlap", "warning", "Arguments that place ordinary work name no isolated CPU.", _PARAMETERS),
    Rule("isolation", "error", "The kernel isolates the CPUs of the isolated sets.", _PARAMETERS, REBOOT),
    Rule(
        "cpuset",
        "error",
        "Cpuset partitions are valid and hold the CPUs that they should.",
        CGROUP,
        "site; other programs' cgroups by hand",
    ),
    Rule("cpuset-root", "error", "CPUs isolated at boot are in no cpuset partition of type root.", CGROUP),
    Rule(
        "nova-sets",
        "error",
        "Nova's dedicated CPUs are neither shared nor dataplane CPUs.",
        NOVA_CPUS,
    ),
)

#: The kernel and its arguments.
KERNEL = (
    Rule(
        "kernel",
        "error",
        "The running kernel is the requested one, with PREEMPT_RT.",
        "Documentation/core-api/real-time",
        REBOOT,
    ),
    Rule(
        "kernel-argument",
        "error",
        "The running kernel has the planned arguments and no other value of them.",
        "docs/kernel-arguments.md",
        REBOOT,
    ),
    Rule(
        "boot-configuration",
        "error",
        "The boot loader boots the planned kernel and arguments next time too.",
        "docs/kernel-arguments.md",
        SITE,
    ),
    Rule("reboot-pending", "warning", "The running kernel is the one that boots next.", "docs/kernel-arguments.md", REBOOT),
    Rule(
        "argument-conflict", "error", "No file of the boot loader contradicts the planned arguments.", "docs/kernel-arguments.md"
    ),
    Rule("argument-unknown", "warning", "Every argument is known to a mainline kernel.", _PARAMETERS),
    Rule("argument-duplicate", "info", "No argument is given twice.", _PARAMETERS),
    Rule("argument-redundant", "info", "No argument is without effect beside another.", _PARAMETERS),
    Rule("isolcpus-flags", "warning", "isolcpus= has the flag managed_irq.", "kernel/sched/isolation.c", REBOOT),
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
        SITE,
    ),
    Rule(
        "rt-throttling",
        "warning",
        "Real-time threads are hardly throttled (kernels before 6.12).",
        "Documentation/scheduler/sched-rt-group.rst",
        SITE,
    ),
)

#: What the node holds while it runs.
RUNNING = (
    Rule("setting", "error", "Kernel settings have the values of the roles.", "docs/settings.md", SITE),
    Rule("kthread", "error", "Kernel threads have their priorities, and keep off isolated CPUs.", "docs/settings.md", SITE),
    Rule(
        "hugepages",
        "error",
        "Every NUMA node has the huge pages that guests and switch need.",
        "Documentation/admin-guide/mm/hugetlbpage.rst",
        SITE,
    ),
    Rule(
        "cache-mount",
        "error",
        "resctrl is mounted where caches are divided, with code and data apart where that is asked.",
        _RESCTRL,
        SITE,
    ),
    Rule(
        "cache-group",
        "error",
        "Each isolated set has its group of resctrl, with the CPUs of the set, and not exclusive.",
        _RESCTRL,
        SITE,
    ),
    Rule("cache-mask", "error", "The groups have their portions of the caches, the other CPUs have the rest.", _RESCTRL, SITE),
    Rule(
        "memory-bandwidth",
        "warning",
        "The other CPUs have their limit of memory bandwidth, and isolated ones have none (Intel).",
        _RESCTRL,
        SITE,
    ),
    Rule(
        "cache-foreign",
        "error",
        "No group of another program has CPUs of the isolated sets, or portions of caches that these need alone.",
        _RESCTRL,
    ),
    Rule("cache-absent", "info", "The machine can do what the inventory asks of caches.", "docs/cache.md", "none"),
    Rule("host-file", "error", "Files of the roles hold what the roles wrote.", "docs/undo-and-recovery.md", SITE),
    Rule(
        "governor", "warning", "Isolated CPUs run at a steady frequency.", "Documentation/core-api/real-time/hardware.rst", SITE
    ),
    Rule(
        "cstate-depth",
        "warning",
        "Isolated CPUs have a limit on how deep they sleep.",
        "Documentation/ABI/testing/sysfs-devices-power",
        SITE,
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
        SITE,
    ),
    Rule(
        "device-interrupt",
        "error",
        "Interrupts of guests' devices go to the CPU of the vCPU that the guest's list names.",
        "docs/devices.md",
        SITE,
    ),
    Rule(
        "interrupt-default",
        "warning",
        "New interrupts start on housekeeping CPUs.",
        "Documentation/core-api/irq/irq-affinity.rst",
        SITE,
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
        SITE,
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
    Rule("starved", "error", "Work that is runnable on an isolated CPU runs.", "docs/policies.md", SITE),
    Rule("cpu-contended", "error", "A CPU of a vCPU or poll-mode thread has no other program.", KVM_RT),
    Rule("smt-sibling", "error", "Threads beside a vCPU's, and threads left idle, run no program.", _RT_HOST),
)
