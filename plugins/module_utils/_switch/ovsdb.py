# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch's database on the node. Edge: only this file talks to it.

One transaction reads it and one writes it (RFC 7047, JSON over the server's socket; a command line could not hold the
ports of some hundred guests). The writing transaction checks that the rows it changes are as they were read, so that a
change by another user in between makes it fail as a whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._cpus.answers import AnswerError, answering, decode, plain
from .._cpus.errors import HostError
from .._host.host import Host, Runner
from .rows import DATABASE, FINISH, ROOT, Database, parse_database, select_operations
from .rpc import ask, connect, unreadable

SOCKET = "/run/openvswitch/db.sock"
#: Debian keeps the file in /var/lib with a link in /etc, other distributions in /etc.
FILES = ("/var/lib/openvswitch/conf.db", "/etc/openvswitch/conf.db")
TOOL = "/usr/bin/ovsdb-tool"
#: Timeouts in seconds: for the server's answer, and for the daemon to apply the database.
ANSWER_S = 15.0
SETTLE_S = 90.0


class Ovsdb:
    """The database, through the server's socket, or read from its file while the server is down."""

    def __init__(self, host: Host, runner: Runner) -> None:
        self.host = host
        self.runner = runner

    def running(self) -> bool:
        """Whether the server listens."""
        connection = connect(self.host.path(SOCKET), SOCKET, ANSWER_S)
        if connection is not None:
            connection.close()
        return connection is not None

    def read(self) -> Database:
        """Return the configuration; an empty database where Open vSwitch is not installed."""
        operations = select_operations()
        results = self._call(operations)
        if results is None:
            results = self._read_file(operations)
        with answering(_unreadable):
            return parse_database(results) if results is not None else Database()

    def _read_file(self, operations: Sequence[Mapping[str, Any]]) -> list[Any] | None:
        """Read the file itself while the server is down."""
        file = next((path for path in map(self.host.path, FILES) if os.path.isfile(path) and not os.path.islink(path)), None)
        if file is None or not os.path.exists(TOOL):
            return None
        code, out, err = self.runner([TOOL, "query", file, json.dumps([DATABASE, *operations])])
        try:
            return _checked(decode(out if code == 0 else "", [dict]))
        except AnswerError as error:
            raise HostError(f"{file} cannot be read: {plain((err or out).strip()[-300:]) or error}") from None

    def transact(self, operations: Sequence[Mapping[str, Any]]) -> int:
        """Make a transaction that ends with ``FINISH``; return its number for the daemon."""
        results = self._call(operations)
        if results is None:
            raise HostError(f"ovsdb-server does not listen on {SOCKET}; start it: systemctl start ovsdb-server")
        with answering(_unreadable):
            return int(results[-2]["rows"][0]["next_cfg"])

    def _call(self, operations: Sequence[Mapping[str, Any]]) -> list[Any] | None:
        request = {"method": "transact", "params": [DATABASE, *operations], "id": 1}
        answer = ask(self.host.path(SOCKET), SOCKET, "ovsdb-server", request, ANSWER_S)
        if answer is None:
            return None
        if answer.get("error"):
            raise HostError(f"ovsdb-server refused the request: {_reason(answer['error'])}")
        if not isinstance(answer.get("result"), list):
            raise _unreadable("its result is no list")
        return _checked(answer["result"])

    def settle(self, number: int) -> None:
        """Wait until the daemon has applied a transaction."""
        end = time.monotonic() + SETTLE_S
        while True:
            results = self._call([{"op": "select", "table": ROOT, "where": [], "columns": ["cur_cfg"]}])
            with answering(_unreadable):
                if results is not None and int(results[0]["rows"][0]["cur_cfg"]) >= number:
                    return
            if time.monotonic() > end:
                raise HostError(
                    f"ovs-vswitchd has not applied the database within {SETTLE_S:.0f} s; look at its log "
                    "(/var/log/openvswitch/ovs-vswitchd.log, journalctl -u ovs-vswitchd)"
                )
            time.sleep(0.1)

    def note(self, operations: Sequence[Mapping[str, Any]]) -> int:
        """Write something that the comparison does not see; return the number to settle for."""
        return self.transact([*operations, *FINISH])


def _unreadable(reason: str) -> HostError:
    return unreadable("ovsdb-server", SOCKET, reason)


def _checked(results: Sequence[Any]) -> list[Any]:
    """Return the results of the operations; an error among them means that nothing was changed."""
    for result in results:
        if isinstance(result, Mapping) and result.get("error"):
            if result["error"] == "timed out":
                raise HostError(
                    "another user has changed the switch's configuration while this run was planned, "
                    "so nothing was changed; run it again"
                )
            raise HostError(f"ovsdb-server refused the transaction, so nothing was changed: {_reason(result)}")
    return list(results)


def _reason(error: Any) -> str:
    if isinstance(error, Mapping):
        return ": ".join(str(error[key]) for key in ("error", "details") if error.get(key))
    return str(error)


class Once:
    """Lets several changes share one action: the first change does it for all."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self.act()
