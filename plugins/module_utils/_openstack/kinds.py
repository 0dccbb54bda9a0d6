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
class Kind:
    """One of OpenStack's services."""

    project: str
    program: str
    units: Sequence[str]
    role: str
    title: str  # of our file
    elsewhere: Mapping[str, str]  # a path that shows another form, and what works there


_KOLLA = (
    "it is a node of kolla-ansible, whose containers read copies of files; on the deployment host, put `text` of this result into "
    "/etc/kolla/config/{file} and run kolla-ansible reconfigure"
)
_EDPM = "its services are containers that read what the control plane mounts; put `text` of this result into the custom resource of its node set"
_SNAP = "its services are the snap openstack-hypervisor, which writes its files itself; no way to add options is known"

NOVA = Kind(
    project="nova",
    program="nova-compute",
    units=("nova-compute.service", "openstack-nova-compute.service"),
    role="nova_compute",
    title="CPUs, pages and networks of real-time instances, from the node's partition",
    elsewhere={
        "/etc/kolla/nova-compute": _KOLLA.format(file="nova/<host>/nova.conf"),
        "/etc/systemd/system/edpm_nova_compute.service": _EDPM,
        "/etc/systemd/system/tripleo_nova_compute.service": _EDPM,
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
        "/etc/kolla/neutron-openvswitch-agent": _KOLLA.format(file="neutron/<host>/openvswitch_agent.ini"),
        "/etc/systemd/system/edpm_neutron_ovs_agent.service": _EDPM,
        "/snap/openstack-hypervisor": _SNAP,
    },
)
