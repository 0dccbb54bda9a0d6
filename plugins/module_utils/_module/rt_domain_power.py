# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain_power: all running guests of a node, off before a reboot and on again after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._guests.libvirt import Connection, Domain, NoConnection
from .._guests.nova import read_instance
from .._guests.power import Power
from .._host.host import Host
from .._host.package_locks import package_manager_at_work
from .._host.stopped_guests import stopped_guests
from .._host.threads import running_guests
from .._switch.ready import require_switch, switch_sockets
from ._common import Outcome, check_seconds
from ._switch_edges import SwitchEdges

#: How long libvirt may take to answer after the boot.
LIBVIRT_S = 60


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan to shut down, or to start again, all guests; their states are read back from libvirt."""
    check_seconds(parameters, shutdown_timeout_s=1, switch_timeout_s=0, packages_timeout_s=0)
    return _stop(edges, parameters) if parameters["state"] == "stopped" else _start(edges, parameters)


def _connect(edges: SwitchEdges) -> Connection:
    return (edges.libvirt.connect(edges.host) if edges.libvirt.installed(edges.host) else None) or NoConnection()


# -- off -------------------------------------------------------------------------------------------


def _stop(edges: SwitchEdges, parameters: Mapping[str, Any]) -> Outcome:
    host, connection = edges.host, _connect(edges)
    domains = connection.domains()
    known = {name for name, domain in domains.items() if domain.running}
    others = [name for name in running_guests(host) if name not in known]
    running = sorted({*known, *others})
    if running and not parameters["allowed"]:
        raise HostError(
            f"guests run on this node, so it is not rebooted: {', '.join(running)}. Move or stop them, or set "
            "rt_kernel_reboot_with_guests: true to have them shut down before the reboot and started after it"
        )
    if others and not parameters["force_off"]:
        raise HostError(
            f"guests {', '.join(others)} run without the node's libvirt (qemu:///system), so only their own program can shut them "
            "down; do that, or set rt_kernel_force_off: true, and the reboot cuts them off"
        )
    known -= _instances(host, [domains[name] for name in sorted(known)], force_off=parameters["force_off"])
    lost = sorted(name for name in known if not domains[name].persistent)
    if lost and not parameters["force_off"]:
        raise HostError(
            f"guests {', '.join(lost)} have no persistent definition, so libvirt forgets them when they end, and nothing could start them "
            "after the reboot; make one (virsh dumpxml NAME > NAME.xml; virsh define NAME.xml) or move them, or set "
            "rt_kernel_force_off: true, and they are lost"
        )
    if lost:
        host.notes.append(f"{', '.join(lost)}: without a persistent definition, so it does not start again after the reboot")
    Power(host, connection, domains).stop(
        sorted(known), parameters["order"], parameters["shutdown_timeout_s"], force=parameters["force_off"]
    )
    names = sorted(known)
    return Outcome({"running": running, "guests": names}, after=partial(_look, connection, names, running=False))


def _instances(host: Host, domains: list[Domain], *, force_off: bool) -> set[str]:
    """Return the names of running instances of Nova, which are left to it; they stop the reboot unless it may cut them off.

    One that libvirt shut down and started again would not last: nova-compute takes the shutdown for the user's wish, and stops an
    instance that runs against its database (nova/compute/manager.py, _sync_instance_power_state).
    """
    found = {domain.name: instance for domain in domains if (instance := read_instance(domain.tree)) is not None}
    if not found:
        return set()
    text, first = ", ".join(map(str, found.values())), next(iter(found.values())).server
    if not force_off:
        raise HostError(
            f"instances of Nova run on this node, so it is not rebooted: {text}. Nova alone stops and starts them: let it move each one "
            f"(openstack server migrate --live-migration {first}) or stop it (openstack server stop {first}); or set "
            "rt_kernel_force_off: true, and the reboot cuts them off"
        )
    host.notes.append(
        f"instances of Nova end with the reboot: {text}. nova-compute starts them again only with resume_guests_state_on_host_boot = true"
    )
    return set(found)


# -- on --------------------------------------------------------------------------------------------


def _start(edges: SwitchEdges, parameters: Mapping[str, Any]) -> Outcome:
    host = edges.host
    record = stopped_guests(host)
    predicted = parameters["guests"] if host.dry else []
    if not record and not predicted:
        return Outcome({"running": [], "guests": []})
    if record and not host.dry:
        _require_packages_at_rest(host, record, parameters["packages_timeout_s"])
    connection = _wait_for_libvirt(edges) if record and not host.dry else _connect(edges)
    domains = connection.domains()
    running = {name for name, domain in domains.items() if domain.running} - set(predicted)
    names = sorted({*record, *predicted} & set(domains) - running)
    gone = sorted(set(record) - set(domains))
    if gone and not host.dry:
        host.notes.append(f"{', '.join(gone)} ran before the reboot, but libvirt does not know it any more")
    Power(host, connection, domains).start(names, parameters["order"], _ready(edges, parameters["switch_timeout_s"]))
    return Outcome(
        {"running": sorted(running | set(names)), "guests": names}, after=partial(_look, connection, names, running=True)
    )


def _require_packages_at_rest(host: Host, names: list[str], timeout_s: int) -> None:
    """Wait for a package manager that may restart the switch, QEMU or libvirt; 0 does not look."""
    at_work = package_manager_at_work(host, timeout_s) if timeout_s else ""
    if at_work:
        raise HostError(
            f"guests {', '.join(names)} are not started, since packages are still changed on this node: {at_work}, also after {timeout_s} s. "
            "Do not kill it; when it has ended, run the playbook again, which starts the guests"
        )


def _wait_for_libvirt(edges: SwitchEdges) -> Connection:
    end = time.monotonic() + LIBVIRT_S
    while not edges.libvirt.installed(edges.host):
        if time.monotonic() > end:
            names = ", ".join(stopped_guests(edges.host))
            raise HostError(
                f"libvirt has not answered {LIBVIRT_S} s after the boot, so guests {names} are not started; see its log"
            )
        time.sleep(1)
    return _connect(edges)


def _ready(edges: SwitchEdges, timeout_s: int) -> Callable[[Domain], None]:
    """Return the function that waits until the switch will connect to a guest."""
    host = edges.host
    return lambda domain: require_switch(
        host, edges.ovsdb(host, edges.runner).read, domain.name, switch_sockets(domain.tree), timeout_s
    )


def _look(connection: Connection, names: list[str], *, running: bool) -> dict[str, Any]:
    """Compare the guests' states with the wanted ones."""
    domains = connection.domains() if names else {}
    wrong = [name for name in names if name in domains and domains[name].running is not running]
    if wrong:
        raise HostError(
            f"{', '.join(wrong)}: {'ended right after the start' if running else 'started again meanwhile'}; see libvirt's log"
        )
    return {}
