# Copyright: (c) 2026, realtime.kvm contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symbolic links, as systemd enables units by: made, journalled and put back. Edge."""

from __future__ import annotations

import os
from functools import partial

from .change import Change
from .files import read_link
from .host import Host


def set_link(host: Host, path: str, target: str, *, reason: str = "") -> None:
    """Plan a symbolic link to ``target``."""
    before = read_link(host.path(path))
    if before != target:
        make = partial(_write, host, path, target)
        host.change(Change(path, before, target, reason=reason), make, kind="link", original={"link": before})


def restore_links(host: Host) -> None:
    """Plan to put this owner's symbolic links back."""
    for resource, data in host.entries("link").items():
        current = read_link(host.path(resource))
        change = None if current == data["link"] else Change(resource, current, data["link"], reason="restored")
        host.restore(change, resource, partial(_write, host, resource, data["link"]))


def _write(host: Host, path: str, target: str | None) -> None:
    full = host.path(path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if os.path.lexists(full):
        os.unlink(full)
    if target is None:
        host.remove_empty_parents(os.path.dirname(path))
    else:
        os.symlink(target, full)
