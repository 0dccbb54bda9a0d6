# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of a node as one look plans them: each by the body of its own module, in check mode, with the options that its role gives.

A role's options may stand for something that only the node knows: what an earlier layer plans (``{"__planned": [module, key]}``), or what differs
by distribution (``{"__distribution": {name: value}}``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._cpus.errors import HostError
from . import (
    cpu_partition,
    cpu_power,
    guest_os,
    irq_affinity,
    kernel_arguments,
    kvm_host,
    neutron_agent,
    nova_compute,
    ovs_dpdk,
    package_holds,
    rt_domain,
    rt_metrics,
    time_sync,
)
from ._common import Body
from ._converted import finite

PLANNED, DISTRIBUTION = "__planned", "__distribution"


@dataclass(frozen=True)
class Layer:
    """The module of a layer."""

    body: Body
    options: Mapping[str, Any]


#: In the order of planning, by their modules' names.
LAYERS: Mapping[str, Layer] = {
    "cpu_partition": Layer(cpu_partition.run, cpu_partition.OPTIONS),
    "guest_os": Layer(guest_os.run, guest_os.OPTIONS),
    "cpu_power": Layer(cpu_power.run, cpu_power.OPTIONS),
    "irq_affinity": Layer(irq_affinity.run, irq_affinity.OPTIONS),
    "time_sync": Layer(time_sync.run, time_sync.OPTIONS),
    "kvm_host": Layer(kvm_host.run, kvm_host.OPTIONS),
    "ovs_dpdk": Layer(ovs_dpdk.run, ovs_dpdk.OPTIONS),
    "kernel_arguments": Layer(kernel_arguments.run, kernel_arguments.OPTIONS),
    "rt_domain": Layer(rt_domain.run, rt_domain.OPTIONS),
    "rt_metrics": Layer(rt_metrics.run, rt_metrics.OPTIONS),
    "package_holds": Layer(package_holds.run, package_holds.OPTIONS),
    "nova_compute": Layer(nova_compute.run, nova_compute.OPTIONS),
    "neutron_agent": Layer(neutron_agent.run, neutron_agent.OPTIONS),
}


def checked(options: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's options as Ansible would hand them to it; ``HostError`` in its words."""
    found = ArgumentSpecValidator(dict(spec)).validate(finite(options, spec))
    if found.error_messages:
        raise HostError("; ".join(found.error_messages))
    parameters: dict[str, Any] = found.validated_parameters
    return parameters


class UnknownDistributionError(Exception):
    """An option has no value for this distribution; the role has the words for that."""


def resolved(
    options: Mapping[str, Any], planned: Mapping[str, Mapping[str, Any]], distribution: Collection[str]
) -> dict[str, Any]:
    """Return options with their values on this node; what an earlier layer has not planned is left out, as if it were not given.

    ``distribution``: its names, the most special first.
    """
    found = {}
    for name, value in options.items():
        if not isinstance(value, Mapping):
            found[name] = value
        elif PLANNED in value:
            owner, key = value[PLANNED]
            if key in planned.get(owner, {}):
                found[name] = planned[owner][key]
        elif DISTRIBUTION in value:
            names = [one for one in distribution if one in value[DISTRIBUTION]]
            if not names:
                raise UnknownDistributionError
            found[name] = value[DISTRIBUTION][names[0]]
        else:
            found[name] = value
    return found


def waits_for(options: Mapping[str, Any]) -> set[str]:
    """Return the layers without whose plan these options are not those of the run."""
    marks = [value[PLANNED] for value in options.values() if isinstance(value, Mapping) and PLANNED in value]
    return {owner for owner, key in marks if key == "partition"}
