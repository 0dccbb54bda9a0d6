# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a cloud has to what is wanted: the changes, in the order in which they are made. Pure.

Only what the variables name is compared; whatever else the cloud has stays. What is made stands in order of need (traits before flavors, networks
before ports), what is removed afterwards in the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .changes import Change, Current, Step, differing, module, request
from .errors import CloudError
from .plan_networks import network_change, policy_change, port_change
from .wanted import Item, Wanted


def settle(wanted: Wanted, current: Current) -> None:
    """Leave flavors as they are in what depends on nodes that did not answer in this run (``--limit``)."""
    name = "hw:emulator_threads_policy"
    for item in wanted.flavors:
        has = (current.flavors.get(item.name) or {}).get("extra_specs", {}).get(name)
        if item.flavor and item.flavor.undecided and has == "share" and item.flavor.extra_specs.get(name) == "isolate":
            item.flavor.set(
                name, has, "as the cloud has it: not all nodes have answered, so the number of their NUMA nodes is not known"
            )


def plan(wanted: Wanted, current: Current, hosts: Mapping[str, str], kept_out: Iterable[str] = ()) -> list[Change]:
    """Return the changes in their order.

    ``hosts`` is node to compute host (empty: unknown to the cloud); ``kept_out`` are nodes that serve plainly pinned instances too, and therefore are
    not in the isolated aggregate.
    """
    kinds: list[tuple[list[Item], Callable[[Item], Change | None]]] = [
        (wanted.traits, lambda item: _trait(item, current)),
        (wanted.flavors, lambda item: _flavor(item, current)),
        ([wanted.aggregate] if wanted.aggregate else [], lambda item: _aggregate(item, current, hosts, frozenset(kept_out))),
        (wanted.qos_policies, lambda item: policy_change(item, current)),
        (wanted.networks, lambda item: network_change(item, current, wanted)),
        (wanted.ports, lambda item: port_change(item, current, wanted)),
    ]
    made = [change(item) for items, change in kinds for item in items if item.present]
    gone = [change(item) for items, change in reversed(kinds) for item in items if not item.present]
    return [found for found in [*made, *gone] if found]


def _trait(item: Item, current: Current) -> Change | None:
    if item.present == (item.name in current.traits):
        return None
    if item.present:
        why = "placement must know every trait before a flavor asks for it, or scheduling fails for all"
        return Change("trait", item.name, None, {}, module("trait", id=item.name), why)
    return Change("trait", item.name, {}, None, module("trait", id=item.name, state="absent"))


#: What a flavor keeps where the variables do not name it, by the module's argument, and what a new one has.
_KEPT = {"is_public": True, "swap": 0, "ephemeral": 0, "rxtx_factor": 1.0}


def _flavor(item: Item, current: Current) -> Change | None:
    found = current.flavors.get(item.name)
    _refuse_flavor_id(item, current)
    if not item.present:
        if found is None:
            return None
        return Change("flavor", item.name, _flavor_view(found), None, module("compute_flavor", name=item.name, state="absent"))
    if item.flavor is None:  # read_wanted makes it
        return None
    wanted: dict[str, Any] = {"vcpus": item.flavor.vcpus, "ram": item.flavor.ram, "disk": item.flavor.disk}
    if found and "disk" not in item.values:
        wanted["disk"] = found["disk"]
    if "public" in item.values:
        wanted["is_public"] = item.values["public"]
    description = item.values.get("description")
    arguments = {"name": item.name, **wanted, "extra_specs": dict(item.flavor.extra_specs)}
    view = {**wanted, "extra_specs": dict(item.flavor.extra_specs)}
    if found is None:
        more = {} if description is None else {"description": description}
        return Change("flavor", item.name, None, {**view, **more}, module("compute_flavor", **arguments, **more))
    fixed, _after = differing({name: found.get(name) for name in wanted}, wanted)
    before, after = differing({**{name: found.get(name) for name in wanted}, "extra_specs": dict(found["extra_specs"])}, view)
    described = description is not None and description != (found.get("description") or "")
    if described:
        before["description"], after["description"] = found.get("description") or "", description
    if fixed:
        said = description if description is not None else found.get("description")
        return Change("flavor", item.name, before, after, _flavor_again(found, current, arguments, said), _again(fixed, found))
    steps: tuple[Step, ...] = module("compute_flavor", **arguments) if set(after) - {"description"} else ()
    if described:
        steps += request("describe_flavor", id=found["id"], description=description)
    why = "instances that exist keep the extra specs that they were made with, until they are resized"
    return Change("flavor", item.name, before, after, steps, why) if steps else None


def _refuse_flavor_id(item: Item, current: Current) -> None:
    """The module looks for an id before it looks for a name."""
    other = next(
        (name for name, flavor in current.flavors.items() if flavor["id"] == _looked_up(item.name) and name != item.name), ""
    )
    if other:
        raise CloudError(
            f"openstack_cloud_flavors: {plain(item.name, 60)} is the id of the flavor {plain(other, 60)}, which would be taken for it; give another name"
        )


def _looked_up(name: str) -> str:
    """Return what a service takes for the id in the path that a module makes of a name."""
    return name.partition("?")[0].partition("#")[0]


def _flavor_again(
    found: Mapping[str, Any], current: Current, arguments: Mapping[str, Any], description: str | None
) -> tuple[Step, ...]:
    kept = {name: found[name] for name, usual in _KEPT.items() if found.get(name, usual) != usual}
    if found["id"] not in current.flavors:  # else the module would take the other flavor for it
        kept["id"] = found["id"]
    given = {**kept, **arguments, **({"description": description} if description else {})}
    access = found.get("access") or [] if given.get("is_public") is False else []
    return (
        *request("delete_flavor", id=found["id"]),
        *module("compute_flavor", **given),
        *(step for project in access for step in request("flavor_access", flavor=given["name"], project=project)),
    )


def _again(fixed: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    lost = " Access of single projects means nothing then." if found.get("access") and "is_public" in fixed else ""
    return f"{', '.join(fixed)} of a flavor cannot be changed, so it is made again, with what it has else; instances keep what they have.{lost}"


def _flavor_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in ("vcpus", "ram", "disk", "extra_specs")}


def _aggregate(item: Item, current: Current, hosts: Mapping[str, str], kept_out: frozenset[str]) -> Change | None:
    found = current.aggregates.get(item.name)
    _refuse_aggregate_id(item, current)
    if not item.present:
        if found is None:
            return None
        if foreign := foreign_hosts(item, current, hosts):
            raise CloudError(
                f"openstack_cloud_aggregate_state: absent, but {plain(item.name, 60)} also holds {plain(', '.join(foreign), 200)}, which no node of "
                "the inventory is and which would lose its isolation; take it out first (openstack aggregate remove host)"
            )
        before = {"hosts": sorted(found["hosts"]), "metadata": dict(found["metadata"])}
        return Change("aggregate", item.name, before, None, module("host_aggregate", name=item.name, state="absent"))
    ours = {host for host in hosts.values() if host}
    belong = {host for node, host in hosts.items() if host and node not in kept_out}
    members = sorted(belong | (set(found["hosts"]) - ours if found else set()))
    own = {name: value for name, value in found["metadata"].items() if name != "availability_zone"} if found else {}
    after_all = {"hosts": members, "metadata": {**own, **item.values["metadata"]}}
    steps = module("host_aggregate", name=item.name, **after_all)
    why = "with [scheduler] enable_isolated_aggregate_filtering its hosts take only instances whose flavor asks for the trait"
    if found is None:
        return Change("aggregate", item.name, None, after_all, steps, why)
    before, after = differing({"hosts": sorted(found["hosts"]), "metadata": own}, after_all)
    return Change("aggregate", item.name, before, after, steps, why) if before or after else None


def _refuse_aggregate_id(item: Item, current: Current) -> None:
    """The module looks for an id before it looks for a name; Nova takes for an id whatever is a number."""
    try:
        number = int(_looked_up(item.name))
    except ValueError:
        return
    other = next((name for name, found in current.aggregates.items() if found["id"] == number and name != item.name), "")
    if other:
        raise CloudError(
            f"openstack_cloud_aggregate: {plain(item.name, 60)} is the id of the aggregate {plain(other, 60)}, which would be taken for it; give another name"
        )


def foreign_hosts(item: Item | None, current: Current, hosts: Mapping[str, str]) -> list[str]:
    """Return the hosts in the aggregate that are no node of the inventory; they stay."""
    found = current.aggregates.get(item.name) if item else None
    return sorted(set(found["hosts"]) - set(hosts.values())) if found else []
