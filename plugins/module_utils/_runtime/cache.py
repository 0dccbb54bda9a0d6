# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature cpu_cache of module cpu_partition: caches, memory bandwidth and uncore frequency. Edge.

It has its own options file and its own owner in the journal, so that its failure, at boot too, leaves the partition's other values alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from .._cache.groups import make_again, plan_resctrl, undo_resctrl, wanted_now
from .._cache.masks import CacheError
from .._cache.read import is_mounted, lacking, possible, read_cores, read_domains, read_tree
from .._cache.wanted import REST_KEY, asked_levels, describe_groups, isolated_sets, parse_given
from .._cpus.cpulist import format_cpulist
from .._cpus.partition import ISOLATED_SETS, Partition
from .._host.host import Host
from .._host.kernel import read_online
from .._host.paths import config_path
from .._isolation.hotplug import is_switch
from .._tables import text_table
from .cpu_settings import uncore_setting
from .feature import Feature, one_of, plan_feature, plan_settings
from .settings import Setting

_UNCORE = "/sys/devices/system/cpu/intel_uncore_frequency"
UNCORE_FILES = f"{_UNCORE}/*/min_freq_khz"


def uncore_settings(host: Host) -> list[Setting]:
    """Return the settings that keep the uncore (L3, mesh and memory controllers) at its highest frequency."""
    folders = host.glob(f"{_UNCORE}/uncore[0-9]*") or host.glob(f"{_UNCORE}/package_*_die_*")
    found = [(folder, host.value(f"{folder}/max_freq_khz") or "") for folder in folders]
    return [uncore_setting(folder, most) for folder, most in found if most.isdecimal()]


def _plan_cpu_cache(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    groups = plan_resctrl(host, partition, options)
    if groups and any(is_switch(change.resource) for change in host.changes):
        host.perform(partial(make_again, host, groups))
    settings = uncore_settings(host) if options["uncore_frequency"] == "max" and partition.isolated else []
    if options["uncore_frequency"] == "max" and not host.glob(UNCORE_FILES):
        host.notes.append(f"cpu_partition_uncore_frequency: {_NO_UNCORE}, so it stays as it is")
    plan_settings(host, settings)
    wanted = {setting.path for setting in settings}
    host.restore_values(only=[path for path in host.entries("value") if path not in wanted])


_NO_UNCORE = f"the kernel has no {_UNCORE} (Intel's servers have it, with the module intel_uncore_frequency)"


def check_masks(variable: str, value: Any) -> None:
    """Raise ``CacheError`` unless a cache is left alone, divided, or divided by masks of isolated sets."""
    if isinstance(value, bool):
        return
    if not isinstance(value, Mapping) or not value:
        raise CacheError(f'{variable}: {str(value)[:40]!r} is neither true, false, nor masks by set, such as {{realtime: "0ff"}}')
    for name, mask in value.items():
        if name not in (*ISOLATED_SETS, REST_KEY):
            raise CacheError(
                f"{variable}: {str(name)[:40]!r} has no group; masks are of {', '.join(ISOLATED_SETS)} and {REST_KEY}, which else gets what is left"
            )
        parse_given(variable, name, mask)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ``CacheError`` for options that no machine can have."""
    check_masks("cpu_partition_cache", options["cache"])
    check_masks("cpu_partition_cache_l2", options["cache_l2"])
    if options["memory_bandwidth"] < 0:
        raise CacheError(f"cpu_partition_memory_bandwidth: {options['memory_bandwidth']} is negative; 0 leaves it as it is")
    if options["cache_code_data"] and not asked_levels(options):
        raise CacheError(
            "cpu_partition_cache_code_data: true divides nothing by itself; set cpu_partition_cache: true with it, or remove it"
        )


def _wrong_masks(value: Any) -> str:
    try:
        check_masks("it", value)
    except CacheError as error:
        return str(error)
    return ""


def _wrong_limit(value: Any) -> str:
    return "" if isinstance(value, int) and value >= 0 else "not a limit"


CACHE = Feature(
    "cpu_cache",
    "cpu_partition",
    _plan_cpu_cache,
    {
        "cache": _wrong_masks,
        "cache_l2": _wrong_masks,
        "memory_bandwidth": _wrong_limit,
        "cache_code_data": one_of(True, False),
        "uncore_frequency": one_of("keep", "max"),
    },
    {"cache": False, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False, "uncore_frequency": "keep"},
)


def is_asked(options: Mapping[str, Any]) -> bool:
    """Whether anything differs from the way it is found."""
    return dict(options) != dict(CACHE.defaults)


@contextmanager
def _owner(host: Host) -> Iterator[None]:
    """Plan as the feature: what it changes is its own in the journal."""
    before, host.owner = host.owner, CACHE.name
    try:
        yield
    finally:
        host.owner = before


def plan_cache(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    """Plan the feature with its options file; without anything asked, what an earlier run has made is restored."""
    check_options(options)
    if not is_asked(options):
        undo_cache(host)
        return
    with _owner(host):
        plan_feature(host, CACHE, partition, options)


def undo_cache(host: Host) -> None:
    """Plan to restore caches, memory bandwidth and uncore frequency, and the options file."""
    with _owner(host):
        undo_resctrl(host)
        host.restore_values()
        host.restore_files(only=[config_path(CACHE.name)])


def cache_lines(host: Host, partition: Partition, options: Mapping[str, Any]) -> list[str]:
    """Return what people are told of the caches: the groups, or what is known before resctrl is mounted, and what the machine lacks."""
    if not is_asked(options):
        return []
    none = [f"{variable}: as it is, since {why}" for variable, why in lacking(host, options).items()]
    if options["uncore_frequency"] == "max" and not host.glob(UNCORE_FILES):
        none.append(f"cpu_partition_uncore_frequency: as it is, since {_NO_UNCORE}")
    left = possible(host, options)
    if not (asked_levels(left) or left["memory_bandwidth"]):
        return none
    if is_mounted(host):
        rows = describe_groups(wanted_now(host, partition, left, read_tree(host)))
        return [*text_table(["group", "CPUs", "resource", "portions (number) by domain"], rows), *none]
    domains, sets = read_domains(host), isolated_sets(partition, read_online(host), read_cores(host))
    known = [
        f"{level} {domain}: {', '.join(f'{name} {format_cpulist(own)}' for name, own in _by_set(sets, cpus).items())}"
        for level in asked_levels(left)
        for domain, cpus in sorted(domains[level].items())
    ]
    told = "resctrl is not mounted: CPUs of each cache are known, its portions and the number of groups only once it is"
    return [told, *known, *none]


def _by_set(sets: Mapping[str, frozenset[int]], cpus: frozenset[int]) -> dict[str, frozenset[int]]:
    here = {name: own & cpus for name, own in sorted(sets.items())}
    return {name: own for name, own in {**here, "rest": cpus - frozenset().union(*here.values())}.items() if own}
