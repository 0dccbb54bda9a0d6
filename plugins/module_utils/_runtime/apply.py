# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel files and the values that they must hold. Edge."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from .._host.change import Change
from .._host.errors import HostError
from .._host.host import Host
from .settings import Setting


def plan_settings(host: Host, settings: Iterable[Setting]) -> None:
    """Plan every file that does not hold its value; a pattern covers all the files that match."""
    done: set[str] = set()
    for setting in settings:
        for path in host.glob(setting.path):
            current = host.value(path)
            if current is None:
                host.notes.append(f"{path} cannot be read, so it was left alone (is the kernel locked down?)")
            if path in done or current is None or setting.holds(current):
                continue
            done.add(path)
            before = setting.simplify(current)
            change = Change(path, before, setting.value, setting.disruption, setting.reason)
            host.change(change, partial(_set, host, setting, path), kind="value")


def _set(host: Host, setting: Setting, path: str) -> None:
    host.write_value(path, setting.value)
    current = host.value(path)
    if current is not None and not setting.holds(current):
        raise HostError(f"{path}: {setting.value!r} was written, but the kernel shows {current!r}")
