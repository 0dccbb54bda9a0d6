# SPDX-License-Identifier: GPL-3.0-or-later
"""Which time service a node is to have, as the inventory says it. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._cpus.answers import AnswerError, decode, plain
from .._cpus.errors import RefusalError

CHRONY, PTP = "chrony", "ptp"
#: What C(source) may be; empty: the node's time service is left as it is.
SOURCES = ("", CHRONY, PTP, "none")
STAMPING = ("auto", "hardware", "software")
#: Transport and delay mechanism of PTP, each with ptp4l's option.
TRANSPORTS = {"UDPv4": "-4", "UDPv6": "-6", "L2": "-2"}
DELAYS = {"E2E": "-E", "P2P": "-P"}
#: The clock is never stepped.
NEVER = "never"

_SERVER = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?")
_MAKESTEP = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})? -?[0-9]{1,6}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
#: chrony uses more, but a list of this length is a mistake.
_MOST_SERVERS = 16


class TimeSyncError(RefusalError):
    """A time service is refused; the message names the variable and what would work."""


@dataclass(frozen=True)
class Wanted:
    """A time service; the same keys are kept on the node."""

    source: str
    servers: tuple[str, ...] = ()
    makestep: str = ""  # empty: as it is
    interface: str = ""  # name or PCI address
    stamping: str = "auto"
    domain: int = 0
    transport: str = "UDPv4"
    delay: str = "E2E"
    priority: int = 0  # 0: the ordinary policy, else that of SCHED_FIFO
    offset_limit_us: float = 1000.0

    @property
    def text(self) -> str:
        """The text that the node keeps."""
        return json.dumps({**asdict(self), "servers": list(self.servers)}, indent=2, sort_keys=True) + "\n"


_FORM = {
    "source": str, "servers": [str], "makestep": str, "interface": str, "stamping": str, "domain": int, "transport": str, "delay": str,
    "priority": int, "offset_limit_us": (int, float),
}  # fmt: skip


def parse_kept(text: str) -> Wanted:
    """Return what a node keeps; ``AnswerError`` for another text."""
    found = decode(text, _FORM)
    values = {key: found[key] for key in _FORM}
    wanted = Wanted(**{**values, "servers": tuple(values["servers"])})
    try:
        check(wanted, priority_limit=99)
    except TimeSyncError as error:
        raise AnswerError(plain(str(error), 200)) from None
    return wanted


def parse(parameters: Mapping[str, Any]) -> Wanted:
    """Return what the module's options ask for; ``TimeSyncError`` for what cannot be."""
    wanted = Wanted(
        **{key: parameters[key] for key in _FORM if key != "servers"}, servers=tuple(str(name) for name in parameters["servers"])
    )
    check(wanted, priority_limit=parameters["priority_limit"])
    return wanted


def check(wanted: Wanted, *, priority_limit: int) -> None:
    """Refuse values that no service takes, or that have no meaning with this source."""
    if wanted.source not in (CHRONY, PTP):
        raise TimeSyncError(f"time_sync_source: {plain(wanted.source, 40)!r} is no time service; choose chrony, ptp or none")
    _check_priority(wanted.priority, priority_limit)
    _check_limit(wanted.offset_limit_us)
    if wanted.interface and (len(wanted.interface) > 15 or not _INTERFACE.fullmatch(wanted.interface)):
        raise TimeSyncError(
            f"time_sync_interface: {plain(wanted.interface, 80)!r} is neither an interface's name nor a PCI address such as 0000:41:00.0"
        )
    if wanted.source == CHRONY:
        _check_chrony(wanted)
    else:
        _check_ptp(wanted)


def _check_priority(priority: int, limit: int) -> None:
    if not 0 <= priority <= limit:
        raise TimeSyncError(
            f"time_sync_priority: {priority} is not in 0-{limit}; 0 is the ordinary policy, and above realtime_priority_limit ({limit}) the service "
            "would run before ksoftirqd and the threads of RCU"
        )


def _check_limit(limit: float) -> None:
    if not 0 <= limit <= 1e9:
        raise TimeSyncError(f"time_sync_offset_limit_us: {limit} is not in 0-1000000000 µs; 0 is no limit")


def _check_chrony(wanted: Wanted) -> None:
    for name in wanted.servers:
        if not _SERVER.fullmatch(name) and not _is_address(name):
            raise TimeSyncError(
                f"time_sync_servers: {plain(name, 80)!r} is neither a host name nor an address; give one server per item, without options or spaces"
            )
    twice = sorted({name for name in wanted.servers if wanted.servers.count(name) > 1})
    if twice:
        raise TimeSyncError(
            f"time_sync_servers: {', '.join(twice)} is listed twice; a second entry of a server is no second opinion"
        )
    if len(wanted.servers) > _MOST_SERVERS:
        raise TimeSyncError(f"time_sync_servers: {len(wanted.servers)} servers; name at most {_MOST_SERVERS}")
    if wanted.makestep not in ("", NEVER) and not _MAKESTEP.fullmatch(wanted.makestep):
        raise TimeSyncError(
            f"time_sync_makestep: {plain(wanted.makestep, 80)!r} is not chrony's 'seconds updates' (such as '1.0 3') nor never; leave it out "
            "to keep what chrony's own file says"
        )
    if wanted.stamping == "hardware" and not wanted.interface:
        raise TimeSyncError("time_sync_stamping: hardware needs time_sync_interface, the NIC that stamps chrony's packets")
    if (wanted.domain, wanted.transport, wanted.delay) != (0, "UDPv4", "E2E"):
        raise TimeSyncError(
            "time_sync_domain, time_sync_transport and time_sync_delay are PTP's; leave them out with time_sync_source: chrony"
        )


def _is_address(name: str) -> bool:
    """Whether a text is an IPv6 address, which may end with colons; chrony knows no zones of link-local ones."""
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        return False
    return "%" not in name


def _check_ptp(wanted: Wanted) -> None:
    if not wanted.interface:
        raise TimeSyncError("time_sync_interface: PTP needs the interface on which the grandmaster is heard; name one")
    if wanted.servers:
        raise TimeSyncError(
            "time_sync_servers are chrony's; PTP finds its grandmaster by itself: leave them out with time_sync_source: ptp"
        )
    if wanted.makestep not in ("", NEVER):
        raise TimeSyncError(
            f"time_sync_makestep: {plain(wanted.makestep, 80)!r} is chrony's; with PTP it is never, or left out: then the clock is stepped once, "
            "at the start"
        )
    if not 0 <= wanted.domain <= 255:
        raise TimeSyncError(f"time_sync_domain: {wanted.domain} is not in 0-255")
    for name, value, known in (
        ("transport", wanted.transport, TRANSPORTS),
        ("delay", wanted.delay, DELAYS),
        ("stamping", wanted.stamping, STAMPING),
    ):
        if value not in known:
            raise TimeSyncError(f"time_sync_{name}: {plain(value, 40)!r} is not one of {', '.join(known)}")
