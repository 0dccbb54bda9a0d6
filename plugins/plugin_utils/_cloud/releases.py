# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nova-compute a control plane accepts. Pure.

Nova's API says nothing of a compute service's version, only its own newest microversion; the node has the version of its package. Where the
computes are too old, nova-scheduler and nova-conductor do not start, and nova-api only writes a warning (``nova.utils.raise_if_old_compute``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .errors import CloudError


@dataclass(frozen=True)
class Release:
    """A release of Nova. ``service`` is the version of its compute service, ``microversion`` the newest of its API."""

    number: int
    name: str
    service: int
    microversion: tuple[int, int]
    oldest: int  # number of the oldest release whose computes its control plane takes


#: ``SERVICE_VERSION_ALIASES`` and ``OLDEST_SUPPORTED_SERVICE_VERSION`` in nova/objects/service.py (of 31 and 34 read; of the others by
#: the rule that stands there: the previous SLURP release), microversions by nova's rest_api_version_history.rst.
RELEASES = (
    Release(22, "Victoria", 52, (2, 87), 21),
    Release(23, "Wallaby", 54, (2, 88), 22),
    Release(24, "Xena", 57, (2, 90), 23),
    Release(25, "Yoga", 61, (2, 90), 24),
    Release(26, "Zed", 64, (2, 93), 25),
    Release(27, "2023.1 Antelope", 66, (2, 95), 25),
    Release(28, "2023.2 Bobcat", 66, (2, 95), 27),
    Release(29, "2024.1 Caracal", 66, (2, 96), 27),
    Release(30, "2024.2 Dalmatian", 67, (2, 96), 29),
    Release(31, "2025.1 Epoxy", 68, (2, 100), 29),
    Release(32, "2025.2 Flamingo", 70, (2, 100), 31),
    Release(33, "2026.1 Gazpacho", 72, (2, 103), 31),
    Release(34, "2026.2 Hibiscus", 74, (2, 104), 33),
)
_BY_NUMBER = {release.number: release for release in RELEASES}
_PACKAGE = re.compile(r"nova-(\d{1,3})\.\d+[^/]*\.(?:dist|egg)-info/?")
_VERSION = re.compile(r"(?:\d+:)?(\d{1,3})(?:\.\d.*)?")


def package_release(paths: Iterable[str]) -> int:
    """Return the number of the oldest nova among installed Python packages (``nova-31.0.0.egg-info``), 0 where none is one."""
    names = (str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)
    return min((int(match[1]) for name in names if (match := _PACKAGE.fullmatch(name))), default=0)


def read_version(text: str) -> int:
    """Return the release number of a version of nova (``31``, ``31.0.0``, ``2:31.0.0-6+deb13u3``), 0 for an empty text."""
    if not text.strip():
        return 0
    match = _VERSION.fullmatch(text.strip())
    if not match:
        raise CloudError(
            f"openstack_cloud_compute_version: {text[:40]!r} is no version of nova; give it as nova-compute --version prints it, 31.0.0"
        )
    return int(match[1])


def control_plane(newest: tuple[int, int]) -> tuple[Release, ...]:
    """Return the releases whose API has this newest microversion, the oldest first; those of a later Nova have the last one's rule."""
    found = tuple(release for release in RELEASES if release.microversion == newest)
    if found or newest < RELEASES[0].microversion:
        return found
    return (max((release for release in RELEASES if release.microversion <= newest), key=lambda release: release.number),)


def too_old(computes: Mapping[str, int], newest: tuple[int, int]) -> list[str]:
    """Return the nodes whose nova-compute is too old for the control plane, in words; ``computes`` is node to release number, 0 unknown.

    Two releases share a microversion where the later one is no SLURP release; the more patient of them counts.
    """
    releases = control_plane(newest)
    if not releases:
        return []
    oldest = releases[0].oldest
    plane = " or ".join(f"{release.number} ({release.name})" for release in releases)
    if newest > RELEASES[-1].microversion:
        plane += " or newer"
    found = []
    for node, number in computes.items():
        if not number or number >= oldest:
            continue
        found.append(
            f"{node} has nova-compute {_described(number)}, but the cloud's Nova is {plane}, with API microversion {newest[0]}.{newest[1]}, which takes "
            f"{_described(oldest)}, and newer"
        )
    return found


def _described(number: int) -> str:
    release = _BY_NUMBER.get(number)
    return f"{number} ({release.name}), service version {release.service}" if release else str(number)
