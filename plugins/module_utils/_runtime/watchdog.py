# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware watchdog: systemd serves it, and the machine resets when systemd no longer runs. Edge.

Lock-up detectors of the kernel are off on a real-time node (``nowatchdog``), since they interrupt isolated CPUs; a
watchdog in hardware does not (Documentation/core-api/real-time/kernel-configuration.rst).
"""

from __future__ import annotations

from .._cpus.errors import RefusalError
from .._host.host import Host
from .._host.watchdogs import LEAST_S, Watchdog, find_watchdog, set_by_others

WATCHDOG = "/etc/systemd/system.conf.d/90-realtime-kvm-watchdog.conf"
_OFF = ("0", "off", "infinity")
_HEADER = """\
# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.
"""


class WatchdogError(RefusalError):
    """A time is refused; the message names the variable."""


def check_seconds(seconds: int) -> int:
    """Return the time after which a node that hangs is reset; ``WatchdogError`` for one that no node could keep."""
    if seconds and not LEAST_S <= seconds <= 600:
        raise WatchdogError(
            f"cpu_partition_hardware_watchdog_s: {seconds} is neither 0 (left alone) nor in {LEAST_S}-600; "
            "systemd serves the watchdog twice in that time"
        )
    return seconds


def plan_watchdog(host: Host, seconds: int) -> str:
    """Plan that systemd serves the hardware watchdog; return in words what the node has (0 seconds: left alone)."""
    device = find_watchdog(host, WATCHDOG) if seconds else None
    why = _why_not(host, device, seconds)
    if why or device is None:
        host.restore_files(only=[WATCHDOG])
        return why
    fits = device.fitting(seconds)
    text = _HEADER + device.settings(fits)
    host.set_file(WATCHDOG, text.encode(), reason="a node that hangs is reset by its hardware watchdog")
    return f"{fits} s{_limits(device, seconds)}, {device.identity}"


def _why_not(host: Host, device: Watchdog | None, seconds: int) -> str:
    """Return why the watchdog is left to others, or to nobody; empty: it is to be served."""
    if not seconds:
        return "left alone"
    if device is None:
        named = set_by_others(host, "WatchdogDevice", WATCHDOG)
        return f"no watchdog in hardware at {named[0]}, which {named[1]} names" if named else "no watchdog device"
    by_others = set_by_others(host, "RuntimeWatchdogSec", WATCHDOG)
    if by_others and by_others[0] not in _OFF:
        return f"{by_others[0]} by {by_others[1]}"
    if host.value(f"{device.path}/state") == "active" and not host.exists(WATCHDOG):
        return "served by another program"
    return "" if device.fitting(seconds) else f"none: {device.identity} keeps at most {device.most} s, too short to be served"


def _limits(device: Watchdog, seconds: int) -> str:
    fits = device.fitting(seconds)
    bound = "most" if fits < seconds else "least"
    return f" (not {seconds}: the device keeps at {bound} {fits} s)" if fits != seconds else ""
