# SPDX-License-Identifier: GPL-3.0-or-later
"""The two services, and the forms of a cloud in which their files are not this node's own. Pure.

Containers read copies that their deployment makes: kolla-ansible (``nova-cell/tasks/config.yml``, ``neutron/tasks/config.yml``) merges
``/etc/kolla/config`` of the deployment host; the operator of RHOSO (edpm-ansible) mounts what its custom resources say; sunbeam's snap has its own
settings. Packages of Debian, Ubuntu and RDO, and the virtual environments of openstack-ansible, are units of the node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Another form of a service than a unit of the node's own."""

    hint: str  # what works there
    files: Sequence[str] = ()  # patterns of the files that its container reads, in their order
    takes_text: bool = True


@dataclass(frozen=True)
class Kind:
    """One of OpenStack's services."""

    project: str
    program: str
    units: Sequence[str]
    role: str
    title: str  # of our file
    elsewhere: Mapping[str, Form]  # a path that shows another form


_KOLLA = (
    "it is a node of kolla-ansible, whose containers read copies of files; on the deployment host, put `text` of this result into "
    "/etc/kolla/config/{file} and run kolla-ansible reconfigure"
)
_EDPM = "its services are containers that read what the control plane mounts; put `text` of this result into the custom resource of its node set"
_TRAITS = "; put `provider` into a file *.yaml of nova-compute's provider_config_location by the same means, or no flavor finds the node"
_SNAP = Form(
    "its services are the snap openstack-hypervisor, which writes its files itself; no way to add options is known",
    takes_text=False,
)
_OVN = Form(
    "it is a node of ML2/OVN, whose ovn-controller owns the integration bridge: do not install an agent of Open vSwitch beside it. This collection does "
    "not configure OVN; its nova_compute role works without the agent's, in a playbook of your own, and external_ids:ovn-bridge-mappings of the node's "
    "Open_vSwitch row needs the networks with a physical_network",
    takes_text=False,
)

NOVA = Kind(
    project="nova",
    program="nova-compute",
    units=("nova-compute.service", "openstack-nova-compute.service"),
    role="nova_compute",
    title="CPUs, pages and networks of real-time instances, from the node's partition",
    elsewhere={
        "/etc/kolla/nova-compute": Form(
            _KOLLA.format(file="nova/<host>/nova.conf") + _TRAITS, ("/etc/kolla/nova-compute/nova.conf",)
        ),
        "/etc/systemd/system/edpm_nova_compute.service": Form(_EDPM + _TRAITS, ("/var/lib/openstack/config/nova/*.conf",)),
        "/etc/systemd/system/tripleo_nova_compute.service": Form(_EDPM + _TRAITS),
        "/snap/openstack-hypervisor": _SNAP,
    },
)
AGENT = Kind(
    project="neutron",
    program="neutron-openvswitch-agent",
    units=("neutron-openvswitch-agent.service",),
    role="neutron_agent",
    title="the switch of real-time instances, from the node's networks",
    elsewhere={
        "/etc/kolla/neutron-openvswitch-agent": Form(
            _KOLLA.format(file="neutron/<host>/openvswitch_agent.ini"),
            tuple(
                f"/etc/kolla/neutron-openvswitch-agent/{name}"
                for name in ("neutron.conf", "ml2_conf.ini", "openvswitch_agent.ini")
            ),
        ),
        "/etc/systemd/system/edpm_neutron_ovs_agent.service": Form(_EDPM),
        "/etc/systemd/system/tripleo_neutron_ovs_agent.service": Form(_EDPM),
        "/snap/openstack-hypervisor": _SNAP,
        **dict.fromkeys(
            (f"{folder}/ovn-controller.service" for folder in ("/usr/lib/systemd/system", "/etc/systemd/system")), _OVN
        ),
        "/etc/kolla/ovn-controller": _OVN,
        "/etc/systemd/system/edpm_ovn_controller.service": _OVN,
    },
)
