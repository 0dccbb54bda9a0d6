# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether real-time guests may start: the running kernel and this boot's run-time values must be the documented ones. Edge.

A FIFO vCPU on a CPU that the kernel does not isolate starves the ordinary tasks there, the kernel's own too. libvirt's hook
asks before each start, and ``verify`` reports what it would answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .._cpus.cpulist import parse_or_empty
from .._cpus.errors import HostError, RefusalError
from .._cpus.partition import Partition
from .._host.current import check_current
from .._host.document import read_partition
from .._host.host import Host
from .._host.paths import config_path
from .._host.sysfs import read_topology
from .._host.trial import trial_of
from .cpus import ALL_MADE, CPUS
from .feature import ISOLATED, Feature, must_wait, why_waiting
from .options import read_options

#: What the boot service did in this boot: each configured feature with the reason why its values are missing, or an empty text.
BOOT_STATE = "/run/realtime-kvm/boot.json"
#: While this file exists, real-time guests start whatever the gate finds; it ends with the boot.
OVERRIDE = "/run/realtime-kvm/allow-guests"
#: How it is made; the folder is the boot service's, which may not have run.
ALLOW = f"mkdir -p {OVERRIDE.rpartition('/')[0]} && touch {OVERRIDE}"
_UNFINISHED = "the boot service has not finished"
_NOT_RUN = "the boot service did not run (systemctl status realtime-kvm), nor has its role made them since"
#: The features without whose values a real-time guest harms the node.
_NEEDED = (CPUS,)


def why_closed(host: Host, cpus: frozenset[int] | None = None) -> str:
    """Return why real-time guests must not start, with an empty text where they may.

    ``cpus``: those on which a guest's real-time threads may run; None: all that the partition file isolates.
    """
    try:
        partition = read_partition(host)
        if partition is None:
            return ""  # a node that this collection does not manage
        check_current(partition, read_topology(host))
        return _kernel(host, partition, cpus) or _values(host, partition)
    except RefusalError as error:
        return str(error)


def explain(why: str) -> str:
    """Return a reason with what to do about it."""
    return (
        f"{why}. A real-time guest would stop the node's own work on its CPUs, so none starts. Boot the node as planned, or "
        "run the site playbook; the verify playbook shows what differs. To start real-time guests in this boot even so: "
        f"{ALLOW}"
    )


def overridden(host: Host) -> bool:
    """Whether an operator allows real-time guests in this boot."""
    return host.exists(OVERRIDE)


def _kernel(host: Host, partition: Partition, cpus: frozenset[int] | None) -> str:
    pattern, release = _wanted_kernel(host), host.value("/proc/sys/kernel/osrelease") or ""
    if pattern and not fnmatchcase(release, pattern):
        return f"the running kernel is {release}, not one of {pattern}"
    if partition.isolation == "boot" and (cpus is None or cpus & partition.isolated - parse_or_empty(host.value(ISOLATED))):
        return why_waiting(host, partition)
    return ""


def _wanted_kernel(host: Host) -> str:
    path = config_path("kernel_arguments")
    text = host.read(path)
    if text is None:
        return ""
    try:
        return str(json.loads(text)["default_kernel"] or "")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HostError(f"{path} is damaged, so the documented kernel is unknown; run the rt_kernel role") from None


def _values(host: Host, partition: Partition) -> str:
    """Return which values nobody has made in this boot, as long as they are missing."""
    state = read_boot_state(host)
    for feature in _NEEDED:
        why = _not_made(host, feature.name, state.get(feature.name))
        if why and is_missing(host, partition, feature):
            return why
    return ""


def _not_made(host: Host, name: str, found: str | None) -> str:
    """Return why a feature's values were not made in this boot; ``found``: what the boot service says, None: nothing."""
    if found is None:
        return (
            "" if host.captured or _made_by_others(host, name) else f"the values of {name} were not made in this boot: {_NOT_RUN}"
        )
    return f"the boot service did not make the values of {name}: {found}" if found else ""


def _made_by_others(host: Host, name: str) -> bool:
    """Whether the role, or the boot service of a release that kept no state, has made the values in this boot.

    The journal then has originals, and no word of a run that has not made all of them.
    """
    try:
        entries = host.journal.entries
    except HostError:
        return False  # the values themselves decide
    begun = any(entry["owner"] == name and entry["kind"] in ("value", "thread") for entry in entries.values())
    return begun and f"after:{ALL_MADE}" not in entries


def is_missing(host: Host, partition: Partition, feature: Feature) -> bool:
    """Whether a feature's values are missing still; a role may have made them since."""
    options = read_options(host, feature)
    if options is None or must_wait(host, partition):
        return True
    trial = trial_of(host, feature.name)
    trial.needs_journal = False
    feature.plan(trial, partition, options)
    return bool(trial.changes)


# -- what the boot service did ---------------------------------------------------------------------


def read_boot_state(host: Host) -> dict[str, str]:
    """Return what the boot service did in this boot; an empty mapping where it has not run."""
    text = host.read(BOOT_STATE)
    if text is None:
        return {}
    try:
        found: Any = json.loads(text)
        return {str(name): str(reason) for name, reason in found.items()}
    except (ValueError, AttributeError, RecursionError):
        return dict.fromkeys((feature.name for feature in _NEEDED), f"{BOOT_STATE} is damaged")


def write_boot_state(host: Host, state: Mapping[str, str]) -> None:
    """Keep what the boot service has done so far; a service that is killed leaves features unfinished."""
    host.write_file(BOOT_STATE, (json.dumps(state, indent=1, sort_keys=True) + "\n").encode())


def unfinished(features: Iterable[str]) -> dict[str, str]:
    """Return the state before the first feature."""
    return dict.fromkeys(features, _UNFINISHED)
