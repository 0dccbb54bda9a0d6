# SPDX-License-Identifier: GPL-3.0-or-later
"""The traits by which placement finds real-time hosts and their physical networks. Pure.

A custom trait is ``CUSTOM_`` and characters A-Z, 0-9 and _ (placement, ``placement/handlers/trait.py`` and ``os_traits``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._cpus.errors import RefusalError

#: Every host that this collection has configured for real-time instances.
KVM_TRAIT = "CUSTOM_REALTIME_KVM"

_PHYSNET = "CUSTOM_REALTIME_PHYSNET_"


class TraitError(RefusalError, ValueError):
    """Two physical networks have one trait."""


def physnet_trait(name: str) -> str:
    """Return the trait of a host that has a physical network: its name in capitals, with _ for each other character."""
    return _PHYSNET + re.sub(r"[^A-Z0-9_]", "_", name.upper())


def neutron_trait(name: str) -> str:
    """Return the trait by which Neutron asks for a physical network, for ports with a minimum bandwidth (os_traits.normalize_name)."""
    return "CUSTOM_PHYSNET_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())


def physnet_traits(names: Iterable[str]) -> dict[str, str]:
    """Return physical network to trait, in order of the names; ``TraitError`` names two that have the same."""
    traits: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in sorted(set(names)):
        trait = physnet_trait(name)
        other = owners.setdefault(trait, name)
        if other != name:
            raise TraitError(
                f"realtime_networks: the physical networks {other} and {name} have the same trait, {trait}, so that instances for one "
                "would be scheduled to hosts of the other; rename one, here and in Neutron"
            )
        traits[name] = trait
    return traits
