# SPDX-License-Identifier: GPL-3.0-or-later
"""All running guests of a node, shut down before a reboot and started again after it. Edge.

The names are kept on the node until the guests run again, so that a run that was killed in between loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host
from .._host.stopped_guests import RECORD, keep_stopped, stopped_guests
from .libvirt import Connection, Domain


def rounds(names: Iterable[str], order: Sequence[str]) -> list[list[str]]:
    """Return who shuts down together, round by round: first all that ``order`` does not name, then its guests one by one."""
    running = set(names)
    last = [name for name in dict.fromkeys(order) if name in running]
    first = sorted(running - set(last))
    return [*([first] if first else []), *([name] for name in last)]


class Power:
    """Plans to shut down or start a node's guests on its host."""

    def __init__(self, host: Host, connection: Connection, domains: Mapping[str, Domain]) -> None:
        self.host = host
        self.connection = connection
        self.domains = domains

    # -- down --------------------------------------------------------------------------------------

    def stop(self, names: Sequence[str], order: Sequence[str], timeout_s: int, *, force: bool) -> None:
        """Plan to shut guests down, those of a round at once; if one does not end in time, those that did are started again."""
        planned = rounds(names, order)
        asked = [name for group in planned for name in group]
        before = stopped_guests(self.host)
        if asked:
            self.host.perform(partial(keep_stopped, self.host, [*before, *asked]))
        for group in planned:
            for number, name in enumerate(group):
                change = Change(_resource(name), "running", "shut off", "guest", "before the reboot")
                make = partial(self._stop_round, group, asked, before, timeout_s, force)
                self.host.follow_up(change, make if number == 0 else _nothing)

    def _stop_round(self, names: Sequence[str], asked: Sequence[str], before: Sequence[str], timeout_s: int, force: bool) -> None:
        try:
            self.connection.stop(names, timeout_s, force=force)
        except HostError as error:
            going = asked[: asked.index(names[-1]) + 1]
            try:
                running = {name for name, domain in self.connection.domains().items() if domain.running}
            except HostError:  # the record keeps them all
                raise HostError(
                    f"{error}. The node was not rebooted; which of {', '.join(sorted(going))} run is not known, since libvirt does not "
                    "answer any more: look (virsh list --all), and start those that are off (virsh start)"
                ) from None
            ended = [name for name in going if name not in running]
            lost = [name for name in reversed(ended) if not self._run_again(name)]
            # one that ends later, or did not start, is started after the next reboot
            keep_stopped(self.host, [*before, *lost, *(name for name in names if name in running)])
            parts = {"ended and run again": sorted(set(ended) - set(lost)), "ended and could not be started again": sorted(lost)}
            told = "".join(f"; {', '.join(found)} {what}" for what, found in parts.items() if found)
            raise HostError(f"{error}. The node was not rebooted{told}") from None

    def _run_again(self, name: str) -> bool:
        try:
            self.connection.start(name)
        except HostError:
            return False
        self.host.changes[:] = [change for change in self.host.changes if change.resource != _resource(name)]
        return True

    # -- up ----------------------------------------------------------------------------------------

    def start(self, names: Sequence[str], order: Sequence[str], ready: Callable[[Domain], None]) -> None:
        """Plan to start guests, in the reverse order; ``ready`` waits for what a guest needs, or refuses.

        One that cannot be started does not keep the others from starting; it stays on the record.
        """
        waiting = [name for group in reversed(rounds(names, order)) for name in group]
        failed: dict[str, str] = {}
        for name in waiting:
            change = Change(_resource(name), "shut off", "running", reason="it ran before the reboot")
            self.host.follow_up(change, partial(self._start, name, change, failed, ready))
        if waiting or stopped_guests(self.host):
            self.host.perform(partial(self._finish, failed))

    def _start(self, name: str, change: Change, failed: dict[str, str], ready: Callable[[Domain], None]) -> None:
        try:
            ready(self.domains[name])
            self.connection.start(name)
        except HostError as error:
            failed[name] = str(error)
            self.host.changes.remove(change)

    def _finish(self, failed: Mapping[str, str]) -> None:
        keep_stopped(self.host, list(failed))
        if failed:
            raise HostError(
                f"guests that ran before the reboot do not run: {'; '.join(failed.values())}. Mend that and run the playbook again, "
                f"which starts them, or start them with virsh and remove {RECORD}"
            )


def _resource(name: str) -> str:
    return f"domain {name}: state"


def _nothing() -> None:
    """Do nothing: the first of its round has done it."""
