# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a node back the CPUs of its partition. Edge."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from functools import partial

from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.afterwards import plan_reload
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.paths import KEPT, is_kept
from .._host.threads import restore_threads
from .._host.tuning_daemons import restore_tuned
from .._isolation.cgroups import DROP_INS, restore_controllers, restore_partitions
from .._isolation.hotplug import left_off, plan_recovery
from .cache import undo_cache
from .cpus import ALL_MADE
from .feature import undo_feature


def undo_partition(host: Host, partition: Partition | None, runner: Runner, units: Collection[str] = ()) -> None:
    """Plan to restore what the owner of ``host`` changed; ``units`` are further files that systemd has read."""
    read_by_systemd = bool(set(host.entries("file")) & {*units, *DROP_INS.values()} or host.entries("cgroup"))
    left = left_off(host)
    plan_recovery(host, until_boot=True)
    undo_cache(host)
    restore_tuned(host, runner)
    restore_partitions(host, partition, left)
    restore_threads(host)
    undo_feature(host)
    if kept := _kept(host):
        host.restore(Change(KEPT, ", ".join(kept), None, reason="a cache of this collection"), KEPT, partial(_forget_kept, host))
    if f"after:{ALL_MADE}" in host.entries("after"):  # of a run that failed or was killed
        host.restore(None, f"after:{ALL_MADE}", lambda: None)
    plan_reload(host, runner, due=read_by_systemd)
    if read_by_systemd:
        restore_controllers(host)


def _kept(host: Host) -> list[str]:
    """Return the files of the cache; a link or a file in its place is somebody else's, as is what has another name."""
    return [] if os.path.islink(host.path(KEPT)) else list(filter(is_kept, host.listdir(KEPT)))


def _forget_kept(host: Host) -> None:
    try:
        for name in _kept(host):
            os.unlink(host.path(f"{KEPT}/{name}"))
        with suppress(OSError):  # something else is in it
            os.rmdir(host.path(KEPT))
    except OSError as error:
        raise HostError(f"{KEPT}: what is kept there cannot be removed: {error.strerror}") from None
