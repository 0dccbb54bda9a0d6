# SPDX-License-Identifier: GPL-3.0-or-later
"""The features: run-time values of a node.

Edge. The modules and the node's boot service share these functions. A module keeps a feature's options in
``/etc/realtime-kvm/<feature>.json``; after a reboot the boot service reads them and makes the same values again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.errors import HostError
from .._host.host import Host
from .cache import CACHE
from .cpus import CPUS
from .interrupts import INTERRUPTS
from .options import read_options
from .pages import PAGES
from .power import POWER

#: Features by name, which is their module's (cpu_cache is cpu_partition's), in the order in which the boot service makes them.
FEATURES = {feature.name: feature for feature in (CPUS, CACHE, POWER, INTERRUPTS, PAGES)}


def configured_features(host: Host) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Return the features whose options are on the node, with their options; and those with a damaged file, with the reason."""
    found: dict[str, Mapping[str, Any]] = {}
    damaged: dict[str, str] = {}
    for name in FEATURES:
        try:
            options = read_options(host, FEATURES[name])
        except HostError as error:
            damaged[name] = str(error)
            continue
        if options is not None:
            found[name] = options
    return found, damaged
