# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a node back the CPUs of its partition. Edge."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from functools import partial

from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.paths import KEPT
from .._host.runner import plan_reload
from .._host.threads import restore_threads
from .._host.tuning_daemons import restore_tuned
from .._isolation.cgroups import DROP_INS, restore_controllers, restore_partitions
from .._isolation.hotplug import left_off, plan_recovery
from .cpus import ALL_MADE
from .feature import undo_feature


def undo_partition(host: Host, partition: Partition | None, runner: Runner, units: Collection[str] = ()) -> None:
    """Plan to restore what the owner of ``host`` changed; ``units`` are further files that systemd has read."""
    read_by_systemd = bool(set(host.entries("file")) & {*units, *DROP_INS.values()} or host.entries("cgroup"))
    left = left_off(host)
    plan_recovery(host, until_boot=True)
    restore_tuned(host, runner)
    restore_partitions(host, partition, left)
    restore_threads(host)
    undo_feature(host)
    if host.exists(KEPT):
        host.restore(Change(KEPT, "kept code", None, reason="a cache of this collection"), KEPT, partial(_forget_kept, host))
    if f"after:{ALL_MADE}" in host.entries("after"):  # of a run that failed or was killed
        host.restore(None, f"after:{ALL_MADE}", lambda: None)
    plan_reload(host, runner, due=read_by_systemd)
    if read_by_systemd:
        restore_controllers(host)


def _forget_kept(host: Host) -> None:
    try:
        shutil.rmtree(host.path(KEPT))
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{KEPT} cannot be removed: {error.strerror}") from None
