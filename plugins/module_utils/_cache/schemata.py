# SPDX-License-Identifier: GPL-3.0-or-later
"""What resctrl shows: ``info/`` and the lines of ``schemata``. Pure.

Source: Documentation/filesystems/resctrl.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .._cpus.answers import plain
from .masks import CacheError

ROOT = "/sys/fs/resctrl"
#: A line of schemata by its resource: values by domain.
Schemata = Mapping[str, Mapping[int, int]]

_CACHE = re.compile(r"L([23])(CODE|DATA)?")
#: Letters of bit_usage: hardware fills the portion as well; another group has it for itself, or has locked it.
_HARDWARE, _TAKEN = "HX", "EP"


@dataclass(frozen=True)
class Cache:
    """A cache that can be divided, by a directory of ``info/``."""

    name: str  #: L3, L2, or with code and data apart L3CODE, L3DATA, L2CODE, L2DATA
    full: int
    least: int
    shared: int
    closids: int
    sparse: bool = False
    usage: Mapping[int, str] = field(default_factory=dict)
    beside: Mapping[int, str] = field(default_factory=dict)  #: usage of the same cache for the other of code and data
    own: Mapping[int, int] = field(default_factory=dict)  #: exclusive portions that are ours

    @property
    def level(self) -> str:
        return self.name[:2]

    def hardware(self, domain: int) -> int:
        """Return the portions of a domain that hardware fills as well."""
        return (self.shared | _marked(self.usage.get(domain, ""), _HARDWARE)) & self.full

    def taken(self, domain: int) -> int:
        """Return the portions of a domain that another group has for itself, be it for code or for data: the kernel keeps both."""
        taken = _marked(self.usage.get(domain, ""), _TAKEN) | _marked(self.beside.get(domain, ""), _TAKEN)
        return taken & self.full & ~self.own.get(domain, 0)


@dataclass(frozen=True)
class Info:
    """What the machine offers."""

    caches: Mapping[str, Cache]
    closids: int  #: groups that may exist, the default group included
    bandwidth: tuple[int, int] | None = None  #: of memory: the least value, and the step

    def of_level(self, level: str) -> list[Cache]:
        return [cache for cache in self.caches.values() if cache.level == level]

    @property
    def code_data(self) -> frozenset[str]:
        """The levels whose code and data are apart."""
        return frozenset(name[:2] for name in self.caches if name.endswith("CODE"))


def _marked(usage: str, letters: str) -> int:
    """Return the mask of the portions with these letters; the first letter is the highest portion."""
    return sum(1 << number for number, letter in enumerate(reversed(usage)) if letter in letters)


def parse_info(files: Mapping[str, str]) -> Info:
    """Return what ``info/`` offers, from its files by their path below it; directories of monitoring are left out."""
    caches, counts = {}, []
    for folder in sorted({path.split("/")[0] for path in files}):
        values = {path.split("/")[1]: text.strip() for path, text in files.items() if path.startswith(f"{folder}/")}
        if "num_closids" not in values:
            continue
        counts.append(_number(f"{folder}/num_closids", values["num_closids"], 10))
        if _CACHE.fullmatch(folder) and "cbm_mask" in values:
            caches[folder] = Cache(
                folder,
                _number(f"{folder}/cbm_mask", values["cbm_mask"], 16),
                max(1, _number(f"{folder}/min_cbm_bits", values.get("min_cbm_bits", "1"), 10)),
                _number(f"{folder}/shareable_bits", values.get("shareable_bits", "0"), 16),
                counts[-1],
                values.get("sparse_masks") == "1",
                _usage(values.get("bit_usage", "")),
            )
    steps = [files.get(f"MB/{name}") for name in ("min_bandwidth", "bandwidth_gran")]
    bandwidth = None
    if steps[0] is not None and steps[1] is not None:
        bandwidth = (_number("MB/min_bandwidth", steps[0], 10), max(1, _number("MB/bandwidth_gran", steps[1], 10)))
    for name, cache in caches.items():
        if other := caches.get(name[:2] + {"CODE": "DATA", "DATA": "CODE"}.get(name[2:], "")):
            caches[name] = replace(cache, beside=other.usage)
    # since Linux 6.19 devices may have the last CLOSID
    of_devices = any(files.get(f"{folder}/io_alloc") == "enabled" for folder in caches)
    return Info(caches, min(counts, default=0) - of_devices, bandwidth)


def with_own(info: Info, exclusive: Iterable[Schemata]) -> Info:
    """Return the same, with the portions of groups that are exclusive and ours, of code and data alike."""
    own: dict[str, dict[int, int]] = {}
    for lines in exclusive:
        for name, values in lines.items():
            for domain, mask in values.items():
                level = own.setdefault(name[:2], {})
                level[domain] = level.get(domain, 0) | mask
    return replace(info, caches={name: replace(cache, own=own.get(cache.level, {})) for name, cache in info.caches.items()})


def _usage(text: str) -> dict[int, str]:
    items = (item.partition("=") for item in text.split(";"))
    return {int(domain): letters.strip() for domain, _sign, letters in items if domain.strip().isdecimal()}


def _number(name: str, text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise CacheError(
            f"{ROOT}/info/{name} holds {plain(repr(text), 40)}, which is no number; is {ROOT} the kernel's resctrl?"
        ) from None


def parse_schemata(text: str) -> dict[str, dict[int, int]]:
    """Return the lines of a group's ``schemata``: masks of caches, numbers of everything else; what cannot be read is left out."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        name, _colon, values = line.strip().partition(":")
        base = 16 if _CACHE.fullmatch(name) else 10
        domains = {}
        for item in values.split(";"):
            domain, _sign, value = (part.strip() for part in item.partition("="))
            if domain.isdecimal() and re.fullmatch(r"[0-9a-fA-F]+" if base == 16 else r"\d+", value):
                domains[int(domain)] = int(value, base)
        if domains:
            found[name] = domains
    return found


def format_line(name: str, values: Mapping[int, int]) -> str:
    """Return a line of schemata, as it is written."""
    shown = (f"{domain}={value:x}" if _CACHE.fullmatch(name) else f"{domain}={value}" for domain, value in sorted(values.items()))
    return f"{name}:{';'.join(shown)}"
