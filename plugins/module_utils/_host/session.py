# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH session by which Ansible came. Edge, read-only."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .host import Host

#: At most so many parents of this process are asked.
_PARENTS = 64


@dataclass(frozen=True)
class Session:
    """The addresses of both ends, and the node's port."""

    client: str
    server: str
    port: int


def ssh_session(host: Host, pid: int = 0) -> Session | None:
    """Return the session that a process (this one) belongs to, by its parents' environment, since sudo keeps it from children.

    None: Ansible came otherwise.
    """
    pid = pid or os.getpid()
    for _parent in range(_PARENTS):
        environment = (host.read(f"/proc/{pid}/environ") or "").split("\0")
        given = next((line.partition("=")[2].split() for line in environment if line.startswith("SSH_CONNECTION=")), [])
        if len(given) == 4 and given[3].isdecimal():
            return Session(given[0], given[2], int(given[3]))
        stat = (host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
        if len(stat) < 2 or not stat[1].isdecimal() or stat[1] == "0":
            return None
        pid = int(stat[1])
    return None
