# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's rules for the extra specs of a flavor, so that a wrong one is refused before the cloud is asked. Pure.

Sources: nova 34, ``nova/api/validation/extra_specs`` (names and values) and ``nova/virt/hardware.py``, ``numa_get_constraints``
(what goes together; Nova says that only when an instance is made of the flavor).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import closest

from .cells import check_cells, check_pages
from .errors import SpecError
from .nova_names import NAMES, PARAMETERS

#: oslo.utils, ``strutils.bool_from_string``.
_TRUE, _FALSE = ("1", "t", "true", "on", "y", "yes"), ("0", "f", "false", "off", "n", "no")
#: Nova's tables hold a name and a value of at most this many characters (``flavor_extra_specs``).
MOST = 255
#: Nova's schema of the API, ``nova/api/validation/parameter_types.py``, ``extra_specs_with_no_spaces_key``... and what it always took.
_KEY = re.compile(r"[a-zA-Z0-9_:. -]{1,255}")
#: Traits and resource classes of Nova's libraries, which the cloud knows and this table does not.
_STANDARD = re.compile(r"(trait|resources)[a-zA-Z0-9_-]{0,64}:(?!CUSTOM_)[A-Z][A-Z0-9_]*")
_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BRACES = re.compile(r"\{(\w+)\}")


def is_true(value: str) -> bool:
    """Whether Nova takes the value of a switch as on."""
    return value.strip().lower() in _TRUE


def text_of(value: Any) -> str:
    """Return the value of an extra spec as Nova keeps it: text; YAML's true and 2048 are its "true" and "2048"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    found = []
    for name, parts in PARAMETERS.items():
        pattern = _BRACES.sub(lambda match, parts=parts: f"({parts[match[1]]})", name.replace(".", r"\."))  # type: ignore[misc]
        found.append((re.compile(pattern), name))
    return found


def _known(name: str) -> str:
    """Return the name in Nova's table, empty for one that is not in it."""
    if name in NAMES and name not in PARAMETERS:
        return name
    return next((known for pattern, known in _patterns() if pattern.fullmatch(name)), "")


def check_name(name: str) -> None:
    """Refuse a name that Nova refuses, or takes without a meaning; what was probably meant is named."""
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        raise SpecError(
            f"extra spec {plain(str(name), 80)!r}: a name has 1 to {MOST} letters, digits, blanks and the characters _ : . - only"
        )
    if name.startswith("traits:"):  # Nova takes the s for the name of a group that asks for nothing else, and finds no host
        raise SpecError(f"extra spec {name}: did you mean trait:{name.partition(':')[2]}?")
    if _known(name) or _STANDARD.fullmatch(name):
        return
    near = _meant(name)
    hint = f", did you mean {near}?" if near else "; docs.openstack.org/nova has the list, Configuration, Extra Specs"
    raise SpecError(f"extra spec {name} does not exist in Nova{hint}")


def _meant(name: str) -> str:
    known = [other for other in NAMES if "{" not in other]
    space, _colon, rest = name.partition(":")
    if rest:  # within its namespace first, since hw: alone is most of a short name
        own = {other.partition(":")[2]: other for other in known if other.startswith(f"{space}:")}
        if own and (near := closest(rest, own)):
            return own[near]
        same = [other for other in known if other.endswith(f":{rest}")]
        if same:
            return same[0]
        if space != "trait" and closest(space, ["trait"], cutoff=0.7):
            return f"trait:{rest}"
        if space.startswith("trait") and closest(rest.split("_")[0], ["CUSTOM"], cutoff=0.7):
            return f"{space}:CUSTOM_{rest.partition('_')[2]}"
    else:  # hw_cpu_policy is the property of an image, cpu_policy lacks its namespace
        bare = name.removeprefix("hw_")
        own = {other.partition(":")[2]: other for other in known if other.startswith("hw:")}
        if near := closest(bare, own, cutoff=0.8):
            return own[near]
    return closest(name, known)


def check_value(name: str, value: str) -> None:
    """Refuse a value that Nova refuses for the name."""
    if len(value) > MOST:
        raise SpecError(f"extra spec {name}: the value has {len(value)} characters; Nova keeps at most {MOST}")
    rule = NAMES.get(_known(name))
    if rule is None:  # a standard trait or resource class
        rule = {"type": "int"} if name.startswith("resources") else {"type": "str", "enum": ["required", "forbidden"]}
    wrong = _CHECKS[rule["type"]](rule, value)
    if wrong:
        raise SpecError(f"extra spec {name}: {plain(value, 80)!r} {wrong}")


def _wrong_bool(rule: Mapping[str, Any], value: str) -> str:
    del rule
    return "" if value.strip().lower() in (*_TRUE, *_FALSE) else "is neither true nor false"


def _wrong_int(rule: Mapping[str, Any], value: str) -> str:
    if not _NUMBER.fullmatch(value.strip()):
        return "is not a whole number"
    low, high = rule.get("min"), rule.get("max")
    if low is not None and int(value) < low:
        return f"is less than {low}"
    return f"is more than {high}" if high is not None and int(value) > high else ""


def _wrong_str(rule: Mapping[str, Any], value: str) -> str:
    if "pattern" in rule:
        return "" if re.fullmatch(rule["pattern"], value) else "has not the form that Nova takes"
    if "enum" in rule and value not in rule["enum"]:
        near = closest(value, rule["enum"])
        return f"is not one of {', '.join(rule['enum'])}" + (f"; did you mean {near}?" if near else "")
    return ""


_CHECKS: dict[str, Callable[[Mapping[str, Any], str], str]] = {"bool": _wrong_bool, "int": _wrong_int, "str": _wrong_str}


def read_mask(text: str, vcpus: int, name: str) -> frozenset[int]:
    """Return the vCPUs of a mask in any of Nova's forms: ``^0``, ``^0-1``, ``0``, ``1-2``, ``0-3,^2``; alone, exclusions mean all others."""
    try:
        found = parse_cpulist(f"0-{vcpus - 1},{text}" if text.strip().startswith("^") else text)
    except CpuListError as error:
        raise SpecError(f"{name}: {error}") from None
    beyond = [vcpu for vcpu in sorted(found) if vcpu >= vcpus]
    if beyond:
        raise SpecError(
            f"{name} {plain(text, 80)!r} names vCPU {format_cpulist(beyond)}, but the flavor has vCPUs {format_cpulist(range(vcpus))}"
        )
    if not found:
        raise SpecError(f"{name} {plain(text, 80)!r} leaves no vCPU; name at least one")
    return found


def check_extra_specs(specs: Mapping[str, str], vcpus: int, memory: int = 0, *, vhost_user: bool = False) -> None:
    """Refuse extra specs that Nova refuses, by name, by value and together, and those with which a real-time instance is none.

    ``memory`` (MiB) is the flavor's; 0: how vCPUs and memory are parted is not looked at.
    """
    for name, value in specs.items():
        check_name(name)
        check_value(name, value)
    _check_policies(specs, vcpus)
    if is_true(specs.get("hw:locked_memory", "")) and not specs.get("hw:mem_page_size"):
        raise SpecError("hw:locked_memory needs hw:mem_page_size; set it too")
    check_pages(specs, realtime=is_true(specs.get("hw:cpu_realtime", "")), vhost_user=vhost_user)
    if memory:
        check_cells(specs, vcpus, memory)


def _check_policies(specs: Mapping[str, str], vcpus: int) -> None:
    policy = specs.get("hw:cpu_policy", "")
    realtime = is_true(specs.get("hw:cpu_realtime", ""))
    emulator = specs.get("hw:emulator_threads_policy", "")
    counted = [name for name in specs if re.fullmatch(r"resources[a-zA-Z0-9_-]*:[VP]CPU", name)]
    if counted:
        raise SpecError(f"{counted[0]}: hw:cpu_policy says which CPUs the vCPUs take, and Nova refuses both together; remove it")
    if any(map(_is_threads, specs)) and "hw:cpu_thread_policy" in specs:
        raise SpecError("trait:HW_CPU_HYPERTHREADING beside hw:cpu_thread_policy: Nova refuses both together; remove one")
    if policy not in ("dedicated", "mixed"):
        _check_floating(specs, realtime, emulator)
    masks = [name for name in ("hw:cpu_realtime_mask", "hw:cpu_dedicated_mask") if name in specs]
    if "hw:cpu_dedicated_mask" in masks and policy != "mixed":
        raise SpecError("hw:cpu_dedicated_mask needs hw:cpu_policy=mixed; with dedicated every vCPU is pinned")
    if policy == "mixed":
        _check_mixed(specs, vcpus, masks, realtime)
    if "hw:cpu_realtime_mask" in masks and not realtime:
        raise SpecError(
            "hw:cpu_realtime_mask without hw:cpu_realtime=true is ignored by Nova: no vCPU would be real-time; set it"
        )
    if realtime:
        mask = specs.get("hw:cpu_realtime_mask", "")
        chosen = read_mask(mask, vcpus, "hw:cpu_realtime_mask") if mask else frozenset(range(vcpus))
        if len(chosen) == vcpus and not emulator:
            raise SpecError(
                f"all {vcpus} vCPUs are real-time, and hw:emulator_threads_policy is not given: the emulator's threads would wait "
                "behind them, so Nova refuses it; set isolate (one more host CPU of the same NUMA node) or share, or leave a vCPU "
                "out with hw:cpu_realtime_mask"
            )


def _is_threads(name: str) -> bool:
    """Whether Nova takes a trait as a thread policy."""
    return re.match(r"trait([1-9][0-9]*)?:HW_CPU_HYPERTHREADING", name) is not None


def _check_floating(specs: Mapping[str, str], realtime: bool, emulator: str) -> None:
    policy = specs.get("hw:cpu_policy", "") or "not given (shared)"
    if realtime:
        raise SpecError(f"hw:cpu_realtime needs pinned vCPUs, but hw:cpu_policy is {policy}; set dedicated or mixed")
    threads = [name for name in specs if name == "hw:cpu_thread_policy" or _is_threads(name)]
    if threads:
        raise SpecError(f"{threads[0]} needs pinned vCPUs, but hw:cpu_policy is {policy}; set dedicated or mixed, or remove it")
    if emulator == "isolate":
        raise SpecError(
            f"hw:emulator_threads_policy=isolate needs pinned vCPUs, but hw:cpu_policy is {policy}; set dedicated or mixed"
        )


def _check_mixed(specs: Mapping[str, str], vcpus: int, masks: list[str], realtime: bool) -> None:
    if len(masks) == 2 and realtime:
        raise SpecError(
            "hw:cpu_realtime_mask and hw:cpu_dedicated_mask beside hw:cpu_policy=mixed: Nova takes only one of them; "
            "the real-time vCPUs are the pinned ones, so remove hw:cpu_dedicated_mask"
        )
    if not masks:
        raise SpecError(
            "hw:cpu_policy=mixed needs hw:cpu_realtime_mask or hw:cpu_dedicated_mask, which says which vCPUs are pinned"
        )
    for name in masks:
        if len(read_mask(specs[name], vcpus, name)) == vcpus:
            raise SpecError(f"{name} {specs[name]!r} names all {vcpus} vCPUs, so none is mixed in; use hw:cpu_policy=dedicated")
