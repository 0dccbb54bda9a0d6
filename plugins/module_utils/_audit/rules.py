# SPDX-License-Identifier: GPL-3.0-or-later
"""All rules of the audit: those of switch, clock and cloud, and those of the other files. Pure.

The same table makes docs/audit.md.
"""

from __future__ import annotations

from .guest_rules import GUESTS, INSIDE, INSTANCES
from .node_rules import KEPT, KERNEL, RUNNING, SETS
from .rule import SITE, Rule

_PMD = "Open vSwitch, Documentation/topics/dpdk/pmd.rst"

#: The switch.
_SWITCH = (
    Rule("switch-missing", "error", "Open vSwitch with DPDK is installed where networks are real-time.", "docs/switch.md", SITE),
    Rule(
        "switch",
        "error",
        "Settings, bridges, ports and threads of the switch agree with the inventory.",
        "docs/switch.md",
        SITE,
    ),
    Rule("switch-unlisted", "info", "Every port and bridge of this collection is in the inventory.", "docs/switch.md"),
    Rule("pmd-mask", "error", "The database gives the poll-mode threads the dataplane CPUs.", _PMD, SITE),
    Rule("pmd-pin", "error", "Each poll-mode thread is bound to one dataplane CPU.", _PMD),
    Rule("rxq-placement", "error", "Each queue is served by the poll-mode thread that it is pinned to.", _PMD),
    Rule("port-link", "warning", "The physical ports of the switch have a link.", "ovs-vswitchd.conf.db(5), link_state"),
    Rule("guest-link", "warning", "The ports of running guests have a link.", "ovs-vswitchd.conf.db(5), link_state"),
    Rule("pmd-policy", "warning", "Poll-mode threads have the ordinary policy.", _PMD),
    Rule("pmd-remote", "info", "Ports are polled from their own NUMA node.", _PMD),
)

#: The clock, where time_sync has set up its source.
_CLOCK = (
    Rule("time-service", "error", "The time service that time_sync has set up runs, and starts at boot.", "docs/time.md", SITE),
    Rule(
        "time-cpus",
        "error",
        "The time service runs on housekeeping CPUs, with the policy and files that it was given.",
        "docs/time.md",
        SITE,
    ),
    Rule("time-conflict", "error", "Nothing else steers the clock.", "docs/time.md", "site, with time_sync_take_over: true"),
    Rule("time-source", "warning", "The clock follows a source.", "docs/time.md"),
    Rule("time-offset", "warning", "The clock is within time_sync_offset_limit_us of its source.", "docs/time.md"),
    Rule("time-priority", "warning", "The time service runs below the kernel's threads.", "docs/policies.md"),
    Rule("time-stamping", "info", "PTP's packets are stamped by the NIC.", "docs/time.md"),
)

#: The cloud's view of the node.
_CLOUD = (
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

#: Rules by id, in the order of docs/audit.md.
RULES = {rule.id: rule for rule in (*KEPT, *INSIDE, *SETS, *KERNEL, *RUNNING, *GUESTS, *INSTANCES, *_SWITCH, *_CLOCK, *_CLOUD)}
