# SPDX-License-Identifier: GPL-3.0-or-later
"""package_origins: which packages and daemons a node had before the roles installed theirs, and the way back."""

from __future__ import annotations

from typing import Any

from .._cpus.errors import HostError
from .._host.daemons import record_daemons, restore_daemons
from .._host.packages import plan_packages, record_packages, recorded_roles, removal_command
from .._host.replaced import plan_return, record_replaced
from .._switch.diff import plan_removal
from ._common import Outcome
from ._switch_edges import SwitchEdges

#: The most names that a sentence lists.
_NAMED = 10


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Record what is there before an installation; or plan the way back, and say what stays."""
    host, runner = edges.host, edges.runner
    if parameters["state"] == "present":
        record_packages(host, runner, parameters["role"], parameters["names"])
        record_replaced(host, runner, parameters["role"], parameters["names"])
        record_daemons(host, runner, parameters["role"])
        host.perform(lambda: None)  # the record is written although nothing changes
        return Outcome({"packages": [], "stays": [], "remove_by_hand": ""})
    used = _used(edges)
    back = plan_return(host, runner, remove=parameters["remove"])
    stays = restore_daemons(host, runner, used, going=back.done, stuck=back.stuck)
    stays += back.stuck.values()
    packages = plan_packages(host, runner, {**used, **back.stuck}, remove=parameters["remove"], without=back.done)
    if packages:
        why = "" if not parameters["remove"] else ", since their daemons stay"
        stays.append(f"packages that the roles installed stay{why}: {_listed(packages)}")
    return Outcome({"packages": packages, "stays": stays, "remove_by_hand": removal_command(host, packages) if packages else ""})


def _used(edges: SwitchEdges) -> dict[str, str]:
    """Return the roles whose daemons others use, with the reason.

    Undo removes guests and switch before. In check mode they are still there, so those of this collection do not count then.
    """
    recorded = recorded_roles(edges.host)
    found = {role: look(edges) for role, look in (("kvm_host", _guests), ("ovs_dpdk", _bridges)) if role in recorded}
    return {role: why for role, why in found.items() if why}


def _guests(edges: SwitchEdges) -> str:
    host = edges.host
    adopted = {name.split(": ")[0].removeprefix("domain ") for name in host.journal.of("rt_domain", "domain")}
    try:
        existing = edges.libvirt.existing(host)
    except HostError as error:
        return str(error)
    names = sorted(one.name for one in existing if not (host.dry and one.ours and one.name not in adopted))
    return f"it has the guests {_listed(names)}" if names else ""


def _bridges(edges: SwitchEdges) -> str:
    host = edges.host
    try:
        database = edges.ovsdb(host, edges.runner).read()
    except HostError as error:
        return str(error)
    going = {difference.resource for difference in plan_removal(database, {}).differences} if host.dry and database.root else ()
    names = sorted(name for name in database.bridges if f"ovs:Bridge/{name}" not in going)
    return f"it has the bridges {_listed(names)}" if names else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
