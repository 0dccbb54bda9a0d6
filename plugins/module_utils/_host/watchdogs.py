# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's watchdogs in hardware, and what systemd must be told to serve one. Edge, read-only.

systemd opens ``/dev/watchdog0`` unless ``WatchdogDevice=`` names another device, and serves none at all where the device does
not take the time (systemd-system.conf(5); watchdog_timeout_invalid() of the kernel's watchdog.h).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .host import Host

_DEVICES = "/sys/class/watchdog"
_DEFAULT = "watchdog0"
#: Where systemd looks for its own configuration, the weakest first (systemd-system.conf(5)).
_PLACES = ("/lib/systemd", "/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
_CONFIGURATION = tuple(f"{place}/system.conf{below}" for below in ("", ".d/*.conf") for place in _PLACES)
#: The shortest time that systemd is to keep; it serves the device twice in that time.
LEAST_S = 10


@dataclass(frozen=True)
class Watchdog:
    """A watchdog in hardware."""

    path: str  #: its folder below /sys
    identity: str
    chosen: bool = False  #: by an administrator's WatchdogDevice=
    least: int = 0  #: seconds that it takes; 0: any
    most: int = 0

    def fitting(self, seconds: int) -> int:
        """Return the time nearest to ``seconds`` that the device takes; 0 where that is too short to be served."""
        fits = max(min(seconds, self.most or seconds), self.least)
        return fits if fits >= LEAST_S else 0

    def settings(self, seconds: int) -> str:
        """Return systemd's settings that serve it."""
        name = self.path.rpartition("/")[2]
        device = "" if self.chosen or name == _DEFAULT else f"WatchdogDevice=/dev/{name}\n"
        return f"[Manager]\nRuntimeWatchdogSec={seconds}\n{device}"


def find_watchdog(host: Host, ours: str) -> Watchdog | None:
    """Return the device that an administrator chose, else the first in hardware; None where that is no hardware.

    ``ours``: the file of systemd's that this collection writes. The kernel's timer in software ends with the kernel that it watches.
    """
    named = set_by_others(host, "WatchdogDevice", ours)
    if named:
        name = os.path.basename(os.path.realpath(host.path(named[0])))  # a link of udev's has the same name after each boot
        paths = [f"{_DEVICES}/{_DEFAULT if name == 'watchdog' else name}"]
    else:
        paths = host.glob(f"{_DEVICES}/watchdog[0-9]*")
    for path in paths:
        identity = host.value(f"{path}/identity")
        if host.exists(path) and identity != "Software Watchdog":
            least, most = (host.value(f"{path}/{bound}_timeout") or "" for bound in ("min", "max"))
            return Watchdog(path, identity or path.rpartition("/")[2], named is not None, _number(least), _number(most))
    return None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def set_by_others(host: Host, setting: str, ours: str) -> tuple[str, str] | None:
    """Return what another file of systemd's configuration sets, and the file."""
    found = None
    for pattern in _CONFIGURATION:
        for path in host.glob(pattern):
            values = re.findall(rf"^[ \t]*{setting}[ \t]*=[ \t]*(\S+)", host.read(path) or "", re.MULTILINE)
            if path != ours and values:
                found = (values[-1], path)
    return found
