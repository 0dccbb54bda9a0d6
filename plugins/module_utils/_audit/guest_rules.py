# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the audit for guests: on their node, as instances of OpenStack's Nova, and inside. Pure."""

from __future__ import annotations

from .rule import CGROUP, KVM_RT, NOVA_CPUS, SITE, Rule

_LIBVIRT = "https://libvirt.org/formatdomain.html"
_NOVA_RT = "Nova, Documentation admin/real-time"

#: The inside of a guest.
INSIDE = (
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
)

#: Guests on their node.
GUESTS = (
    Rule("libvirt-missing", "error", "libvirt answers where the inventory lists guests.", "docs/guests.md", SITE),
    Rule(
        "device-functions",
        "error",
        "Physical functions have as many virtual functions as the inventory says, and give them no driver of the node.",
        "docs/devices.md",
        SITE,
    ),
    Rule("device-driver", "error", "Functions of guests are bound to vfio-pci, and stay so at a boot.", "docs/devices.md", SITE),
    Rule(
        "device-settings",
        "error",
        "Virtual functions of guests have the MAC, VLAN, trust, rate and spoof check of the inventory.",
        "docs/devices.md",
        SITE,
    ),
    Rule("guest-definition", "error", "Guests' definitions agree with the inventory.", "docs/guests.md", SITE),
    Rule("guest-state", "error", "Guests run or are off according to the inventory.", "docs/guests.md", SITE),
    Rule(
        "guest-thread",
        "error",
        "Threads of running guests have the CPUs and the policy that the inventory gives them.",
        "docs/guests.md",
        SITE,
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
    Rule("slice-limit", "error", "The slices of guests reach their CPUs and those of their emulator threads.", CGROUP),
    Rule("vcpu-pin", "error", "Each vCPU of a real-time guest is pinned to one realtime CPU.", KVM_RT),
    Rule("vcpu-overlap", "error", "No CPU has two vCPUs, or a vCPU and a poll-mode thread.", KVM_RT),
    Rule(
        "vcpu-priority",
        "error",
        "vCPUs have lower priorities than ksoftirqd, ktimers and rcuc of their CPU.",
        "tuned, profile realtime-virtual-host",
    ),
    Rule("emulator-pin", "error", "Emulator and I/O threads keep off isolated CPUs that are not their own.", KVM_RT),
    Rule("guest-memory-node", "error", "The memory of a real-time guest is on the NUMA nodes of its CPUs.", _LIBVIRT),
    Rule("guest-memory-unlocked", "warning", "The memory of a real-time guest is locked.", KVM_RT),
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
        SITE,
    ),
    Rule(
        "guest-worker",
        "error",
        "Other threads of QEMU have neither an isolated CPU nor a real-time policy, unless the emulator has.",
        KVM_RT,
    ),
    Rule(
        "vhost-thread",
        "error",
        "vhost's threads of a guest have the CPUs of the thread that `vhost` names and their policy; of other guests, they are beside the emulator "
        "or keep off isolated CPUs.",
        "docs/emulation.md",
        SITE,
    ),
)

#: Instances of OpenStack's Nova.
INSTANCES = (
    Rule(
        "instance-cpus",
        "error",
        "By its live XML, each vCPU of an instance of Nova has one realtime CPU or floats over ordinary ones, and its emulator and I/O "
        "threads have ordinary CPUs or a realtime one without a vCPU.",
        NOVA_CPUS,
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
        NOVA_CPUS,
        "by hand, through Nova",
    ),
    Rule(
        "instance-sibling",
        "info",
        "The real-time vCPUs of an instance of Nova have cores of their own, unless its flavor wants whole cores.",
        NOVA_CPUS,
        "site, with cpu_partition_smt: single",
    ),
    Rule(
        "instance-emulator-node",
        "info",
        "Emulator and I/O threads of Nova's instances stay on the NUMA nodes of the instances' own CPUs.",
        NOVA_CPUS,
        "by hand, through Nova",
    ),
    Rule(
        "nova-power",
        "error",
        "Nova's power management has switched no CPU of the partition off.",
        "nova/virt/libvirt/cpu/api.py, power_down_all_dedicated_cpus",
    ),
)
