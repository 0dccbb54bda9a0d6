# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of a cache's portions, and how they are divided. Pure.

A bit stands for an equal portion of the cache. The kernel takes only masks whose bits are in a row (unless ``sparse_masks`` is 1), with at least
``min_cbm_bits`` bits (Documentation/filesystems/resctrl.rst).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._cpus.errors import RefusalError

#: A group with a single portion loses lines to itself, so each gets two where the cache has them.
GOOD = 2


class CacheError(RefusalError):
    """A request about caches or memory bandwidth cannot be met; the message names variable, cache and what would work."""


@dataclass(frozen=True)
class Room:
    """The portions of one cache that may be divided: in a row, with those that hardware (I/O) fills as well."""

    mask: int
    shared: int
    least: int  # bits that a mask must have


def bits(mask: int) -> int:
    """Return the number of portions in a mask."""
    return bin(mask).count("1")


def lowest(mask: int) -> int:
    """Return the number of a mask's lowest bit."""
    return (mask & -mask).bit_length() - 1


def is_row(mask: int) -> bool:
    """Whether a mask's bits are in one row, without a hole."""
    row = mask >> lowest(mask) if mask else 0
    return mask > 0 and row & (row + 1) == 0


def longest_row(mask: int) -> int:
    """Return the longest row of bits in a mask, the lowest of equal ones."""
    best = row = 0
    for number in range(mask.bit_length() + 1):
        if mask >> number & 1:
            row |= 1 << number
        else:
            best, row = (row if bits(row) > bits(best) else best), 0
    return best


def divide(room: Room, weights: Mapping[str, int], rest: int) -> tuple[dict[str, int], int] | None:
    """Return each group's mask and that of the rest, in proportion to their CPUs; None where the cache has too few portions.

    ``weights``: the groups' CPUs on this cache; ``rest``: those of the rest, 0 where it has none and gets no mask. Portions that hardware fills as
    well go to the rest, if that leaves enough to the groups; these are at the other end.
    """
    total = bits(room.mask)
    owners = len(weights) + bool(rest)
    good = GOOD if total >= GOOD * owners else 1
    least = max(room.least, good)
    if least * owners > total:
        return None
    below, above = _beside_hardware(room)
    free, upwards = max(below, above), below >= above
    if not rest or free < least * len(weights):
        free, upwards = total, True
    most = min(free, total - (least if rest else 0))
    wanted = total * sum(weights.values()) // (sum(weights.values()) + rest)
    counts = _shares(max(least * len(weights), min(wanted, most)), weights, least)
    masks, used, first = {}, 0, lowest(room.mask)
    for name, count in counts.items():
        start = first + used if upwards else first + total - used - count
        masks[name] = (1 << count) - 1 << start
        used += count
    taken = sum(masks.values())
    return masks, room.mask & ~taken if rest else 0


def _beside_hardware(room: Room) -> tuple[int, int]:
    """Return how many portions lie below and above those that hardware fills."""
    shared, first = room.mask & room.shared, lowest(room.mask)
    if not shared:
        return bits(room.mask), 0
    return lowest(shared) - first, room.mask.bit_length() - shared.bit_length()


def _shares(total: int, weights: Mapping[str, int], least: int) -> dict[str, int]:
    """Return portions in proportion to the weights, each at least ``least``; they sum up to ``total``."""
    counts = dict.fromkeys(weights, least)
    for _portion in range(total - least * len(weights)):
        poorest = min(counts, key=lambda name: counts[name] / weights[name])
        counts[poorest] += 1
    return counts


def halves(mask: int, least: int) -> tuple[int, int]:
    """Return the portions for code and for data; the whole mask for both where it is too small for two."""
    count = bits(mask) // 2
    if count < max(least, 1) or not is_row(mask):
        return mask, mask
    code = (1 << count) - 1 << lowest(mask)
    return code, mask & ~code
