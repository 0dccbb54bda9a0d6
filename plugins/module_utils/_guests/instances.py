# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of OpenStack's Nova on a node, defined and running. Edge, read-only.

libvirt is asked where it answers; its own files hold the same where it is off, and guests go on running without it.
"""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError, RefusalError
from .._cpus.partition import Partition
from .._host.host import Host
from .._host.threads import PID_DIR
from .domain_xml import DomainError, parse
from .nova import NodeInstance, instance_of, read_instance
from .nova_options import read_nova
from .taken import Taken, narrowed_cpus, refusal, taken_cpus

#: Where libvirt keeps the persistent definitions; the status of running guests is below ``PID_DIR``.
DEFINITIONS = "/etc/libvirt/qemu"


class InstanceError(RefusalError):
    """A change would take CPUs from instances of Nova, or they cannot be read; the message names instance, uuid and CPUs."""


#: Connects to libvirt; None where the node has none that answers on a socket. (The node's own tool asks no libvirt.)
Connect = Callable[[], Any]


def read_instances(host: Host, connect: Connect) -> list[NodeInstance]:
    """Return the node's instances by name; ``RefusalError`` where they cannot be known."""
    try:
        connection = connect()
    except HostError:
        if not host.exists(DEFINITIONS):  # of a libvirt in a container the files are elsewhere
            raise
        connection = None
    if connection is None:
        return sorted(_from_files(host), key=lambda item: item.instance.domain)
    found = []
    for _name, domain in sorted(connection.domains().items()):
        if read_instance(domain.tree) is None:
            continue
        tree = domain.tree
        with suppress(HostError):  # it has ended meanwhile; Nova keeps the CPUs of its definition
            tree = domain.live_tree() if domain.running else tree
        found += _instance(tree, running=domain.running)
    return found


def _instance(tree: ET.Element, *, running: bool) -> list[NodeInstance]:
    found = instance_of(tree, running=running)
    return [found] if found else []


def _from_files(host: Host) -> Iterator[NodeInstance]:
    """Yield what libvirt's files hold: ``<domstatus>`` of those that run, ``<domain>`` of the others."""
    running = set()
    for path in _xml_files(host, PID_DIR):
        tree = _read(host, path)
        domain = tree.find("domain") if tree is not None and tree.tag == "domstatus" else None
        if domain is not None:
            running.add(domain.findtext("name"))
            yield from _instance(domain, running=True)
    for path in _xml_files(host, DEFINITIONS):
        tree = _read(host, path)
        if tree is not None and tree.tag == "domain" and tree.findtext("name") not in running:
            yield from _instance(tree, running=False)


def _xml_files(host: Host, folder: str) -> list[str]:
    return [posixpath.join(folder, name) for name in sorted(host.listdir(folder)) if name.endswith(".xml")]


def _read(host: Host, path: str) -> ET.Element | None:
    text = host.read(path)
    if text is None:
        return None  # it has gone meanwhile
    try:
        return parse(text)
    except DomainError as error:
        raise InstanceError(
            f"{path}: {error}; whether a guest of Nova has CPUs cannot be known, so mend or remove the file"
        ) from None


def check_taken(host: Host, connect: Connect, old: Partition | None, new: Partition | None) -> None:
    """Refuse a change of the partition that would take a CPU from an instance; ``new`` is None for undo.

    Instances that float over CPUs which become isolated go on with fewer, which is noted.
    """
    if new is None and old is None:
        return
    shared = parse_or_empty(read_nova(host).shared)
    found = read_instances(host, connect)
    taken = [Taken(item.instance, item.state, roles) for item in found if (roles := taken_cpus(item.cpus, old, new, shared))]
    if taken:
        raise InstanceError(refusal(taken, undo=new is None))
    for item in found:
        fewer = narrowed_cpus(item.cpus, old, new)
        if fewer:
            host.notes.append(
                f"{item.instance}, {item.state}, may also use CPUs {format_cpulist(fewer)}, which leave the ordinary CPUs; Nova pins it to the "
                f"others once it writes its definition again (openstack server reboot --hard {item.instance.server})"
            )
