# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads resctrl, and what is known of a machine on which it is not mounted. Edge, read-only.

The kernel shows ``info/`` and the groups only where resctrl is mounted. Before, the flags of the processor tell what it can divide, and sysfs tells the
caches with their CPUs; the number of portions and of groups is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import plain
from .._cpus.cpulist import parse_or_empty
from .._cpus.machine import CPU_ROOT
from .._host.host import Host
from .._host.kernel import read_kernel, read_machine
from .schemata import ROOT, Info, Schemata, parse_info, parse_schemata, with_own
from .wanted import BANDWIDTH, CODE_DATA, PREFIX, VARIABLES, asked_levels

#: Flags in /proc/cpuinfo, and the kernel's argument that takes the feature away, such as ``rdt=!l3cat``.
_FLAGS = {
    "L3": ("cat_l3", "l3cat"),
    "L2": ("cat_l2", "l2cat"),
    "MB": ("mba", "mba"),
    "L3 code": ("cdp_l3", "l3cdp"),
    "L2 code": ("cdp_l2", "l2cdp"),
}
#: Directories beside the groups.
_NO_GROUPS = ("info", "mon_groups", "mon_data")


@dataclass(frozen=True)
class Found:
    """A group that exists; the default group has no name."""

    name: str
    cpus: frozenset[int]
    lines: Schemata
    mode: str = "shareable"

    @property
    def ours(self) -> bool:
        return self.name.startswith(PREFIX)

    @property
    def libvirt(self) -> bool:
        """Whether libvirt made it for vCPUs of a guest (``<cachetune>``): machine's name, then ``vcpus_`` and their numbers."""
        return bool(re.fullmatch(r"(qemu|lxc)-\d+-.+-vcpus_[\d,^-]+", self.name))


@dataclass(frozen=True)
class Tree:
    """A mounted resctrl."""

    info: Info
    groups: Mapping[str, Found]
    options: frozenset[str]
    monitors: tuple[str, ...] = ()  #: groups that only measure, made by other programs

    @property
    def foreign(self) -> list[Found]:
        """Groups of other programs, libvirt's not counted: these are guests'."""
        return [group for name, group in self.groups.items() if name and not group.ours and not group.libvirt]

    @property
    def others(self) -> list[str]:
        """What others have made, libvirt too, and an unmount would end."""
        return [*(name for name, group in self.groups.items() if name and not group.ours), *self.monitors]


def named(groups: Iterable[str]) -> str:
    """Return names of groups for a message; any program may have chosen them."""
    return ", ".join(plain(name, 80) for name in sorted(groups))


def is_mounted(host: Host) -> bool:
    """Whether resctrl is mounted."""
    return host.exists(f"{ROOT}/info")


def group_path(name: str) -> str:
    """Return a group's directory."""
    return f"{ROOT}/{name}" if name else ROOT


def read_group(host: Host, name: str) -> Found:
    """Return a group's CPUs and lines as they are now."""
    base = group_path(name)
    cpus = parse_or_empty(host.value(f"{base}/cpus_list"))
    return Found(name, cpus, parse_schemata(host.read(f"{base}/schemata") or ""), host.value(f"{base}/mode") or "shareable")


def read_tree(host: Host) -> Tree:
    """Return what is mounted."""
    files = {path[len(f"{ROOT}/info/") :]: host.value(path) or "" for path in host.glob(f"{ROOT}/info/*/*")}
    names = [name for name in host.listdir(ROOT) if name not in _NO_GROUPS and host.exists(f"{ROOT}/{name}/schemata")]
    monitors = [path[len(ROOT) + 1 :] for where in ("", "/*") for path in host.glob(f"{ROOT}{where}/mon_groups/*")]
    groups = {name: read_group(host, name) for name in ("", *names)}
    own = [group.lines for group in groups.values() if group.mode == "exclusive" and (group.ours or not group.name)]
    return Tree(with_own(parse_info(files), own), groups, _mount_options(host), tuple(monitors))


def _mount_options(host: Host) -> frozenset[str]:
    for line in (host.read("/proc/self/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[1] == ROOT and fields[2] == "resctrl":
            return frozenset(fields[3].split(","))
    return frozenset()


def read_domains(host: Host) -> dict[str, dict[int, frozenset[int]]]:
    """Return the CPUs of each unified or data cache by level and id, as resctrl names them; caches without an id are left out."""
    found: dict[str, dict[int, frozenset[int]]] = {"L3": {}, "L2": {}}
    for base in host.glob(f"{CPU_ROOT}/cpu[0-9]*/cache/index[0-9]*"):
        level, number = f"L{host.value(f'{base}/level')}", host.value(f"{base}/id") or ""
        if level in found and number.isdecimal() and host.value(f"{base}/type") != "Instruction":
            found[level][int(number)] = parse_or_empty(host.value(f"{base}/shared_cpu_list"))
    return found


def read_cores(host: Host) -> list[frozenset[int]]:
    """Return the threads of each core, of cores that have more than one."""
    shown = {host.value(path) for path in host.glob(f"{CPU_ROOT}/cpu[0-9]*/topology/thread_siblings_list")}
    return sorted((core for core in map(parse_or_empty, shown) if len(core) > 1), key=min)


def why_not(host: Host, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what was asked and a machine without a mounted resctrl cannot do, by variable, with the reason."""
    asked = {VARIABLES[level]: level for level in asked_levels(options)}
    if options["memory_bandwidth"]:
        asked[BANDWIDTH] = "MB"
    reasons = {variable: _why_feature(host, feature) for variable, feature in asked.items()}
    return {**{variable: why for variable, why in reasons.items() if why}, **why_no_code_data(host, options)}


def _why_feature(host: Host, feature: str) -> str:
    flag, argument = _FLAGS[feature]
    if flag not in read_machine(host).cpu_flags:
        return f"the processor does not offer it (no flag {flag} in /proc/cpuinfo)"
    if not host.exists(ROOT):
        return f"the kernel has no {ROOT} (CONFIG_X86_CPU_RESCTRL)"
    asked = _arguments(host)
    if feature.startswith("L3") and "l3cat" not in asked and _without_l3(host):
        return (
            "the kernel leaves L3 caches of this processor (Xeon Scalable of the first two generations, model 85) undivided, unless its command line has "
            "rdt=l3cat"
        )
    off = f"!{argument}" in asked and argument not in asked
    return f"rdt=!{argument} on the kernel command line switches it off" if off else ""


def code_data_levels(host: Host, options: Mapping[str, Any]) -> frozenset[str]:
    """Return the levels whose code and data are to be apart, as far as the processor can do it."""
    levels = asked_levels(options) if options["cache_code_data"] else []
    return frozenset(level for level in levels if not _why_feature(host, f"{level} code"))


def why_no_code_data(host: Host, options: Mapping[str, Any]) -> dict[str, str]:
    """Return why code and data cannot be apart, where that was asked."""
    levels = asked_levels(options) if options["cache_code_data"] else []
    if not levels or code_data_levels(host, options):
        return {}
    return {CODE_DATA: _why_feature(host, f"{levels[0]} code")}


def _arguments(host: Host) -> set[str]:
    """Return what ``rdt=`` asks for; a name wins over the same with ``!`` (arch/x86/kernel/cpu/resctrl/core.c, rdt_cpu_has)."""
    lists = [token[4:] for token in read_kernel(host).cmdline if token.startswith("rdt=")]
    return {item for text in lists for item in text.split(",")}


def _without_l3(host: Host) -> bool:
    """Whether it is a processor that has the flag and whose L3 caches the kernel does not divide by itself (``__check_quirks_intel``, same file)."""
    cpuinfo = host.read("/proc/cpuinfo") or ""
    shown = dict(re.findall(r"^(vendor_id|cpu family|model)\s*:\s*(\S+)$", cpuinfo, re.MULTILINE))
    return (shown.get("vendor_id"), shown.get("cpu family"), shown.get("model")) == ("GenuineIntel", "6", "85")


def last_status(host: Host) -> str:
    """Return why resctrl refused the last command, in its own words; empty where it says nothing."""
    text = host.value(f"{ROOT}/info/last_cmd_status") or ""
    return "" if text == "ok" else text


def lacking(host: Host, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what was asked and this machine cannot do, by variable, with the reason."""
    if not is_mounted(host):
        return why_not(host, options)
    info, found = read_tree(host).info, {}
    for level in asked_levels(options):
        if not info.of_level(level):
            found[VARIABLES[level]] = f"the machine cannot divide its {level} caches ({ROOT}/info/{level} is missing)"
    if options["memory_bandwidth"] and info.bandwidth is None:
        found[BANDWIDTH] = f"the machine cannot limit the memory bandwidth of CPUs ({ROOT}/info/MB is missing)"
    return {**found, **why_no_code_data(host, options)}


def possible(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that this machine cannot do."""
    none = lacking(host, options)
    keys = {VARIABLES["L3"]: "cache", VARIABLES["L2"]: "cache_l2", BANDWIDTH: "memory_bandwidth", CODE_DATA: "cache_code_data"}
    return {**options, **{key: 0 if key == "memory_bandwidth" else False for variable, key in keys.items() if variable in none}}
