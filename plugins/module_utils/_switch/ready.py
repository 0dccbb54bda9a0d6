# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the switch will connect to a guest that starts. Edge, read-only.

QEMU listens on a vhost-user socket and waits there, before the guest's first instruction and without limit, until the
switch has connected (libvirt passes ``server=on`` without ``wait=off``). So the switch is looked at first.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from .._cpus.errors import HostError
from .._guests.network import SOCKET_DIR
from .._host.host import Host
from .daemon import find_daemon, last_errors
from .plan import VHOST
from .rows import Database

Read = Callable[[], Database]
#: Where this collection and Open vSwitch keep the sockets of Open vSwitch's ports; elsewhere, another switch may be meant (VPP, Snabb).
_FOLDERS = (f"{SOCKET_DIR}/", "/run/openvswitch/", "/var/run/openvswitch/")


def switch_sockets(tree: ET.Element) -> list[str]:
    """Return the sockets of a domain on which QEMU waits for the switch."""
    sources = tree.findall("devices/interface[@type='vhostuser']/source[@mode='server']")
    return [source.get("path", "") for source in sources]


def unready(host: Host, read: Read, sockets: Sequence[str]) -> str:
    """Return why the switch will not connect to one of the sockets; empty if it will. One of another switch is not judged."""
    if find_daemon(host) is None:
        return "ovs-vswitchd does not run" if any(socket.startswith(_FOLDERS) for socket in sockets) else ""
    ports = {row.map("options").get("vhost-server-path"): row for row in read().interfaces.values() if row.type == VHOST}
    for socket in sockets:
        row = ports.get(socket)
        if row is None and socket.startswith(_FOLDERS):
            return f"the switch has no port with the socket {socket}"
        if row is not None and row.columns.get("error"):
            return f"the switch could not make port {row.name}: {row.columns['error']}"
    return ""


def require_switch(host: Host, read: Read, guest: str, sockets: Sequence[str], timeout_s: int) -> None:
    """Wait until the switch will connect to a guest's sockets; ``HostError`` after the time-out."""
    end = time.monotonic() + timeout_s
    while sockets:
        reason = unready(host, read, sockets)
        if not reason:
            return
        if time.monotonic() >= end:
            raise HostError(
                f"{guest}: not started, since it would wait for the switch without limit: {reason}, also after {timeout_s} s"
                f"{last_errors(host)}. Start the switch (systemctl start openvswitch-switch, or openvswitch), or run the guests "
                "playbook, which makes the ports"
            )
        time.sleep(1)
