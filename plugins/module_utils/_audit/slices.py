# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of the slices of guests, whoever defined these. Edge, read-only."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from .._cpus.partition import Partition
from .._guests.domain_xml import read_pins
from .._guests.kvm import SLICE, SliceError, check_slice
from .._guests.libvirt import Domain
from .._host.host import Host
from .findings import Finding


def with_own_cpus(domains: Iterable[Domain], partition: Partition) -> list[ET.Element]:
    """Return the definitions of the domains that use isolated CPUs."""
    trees = [domain.tree for domain in domains]
    return [tree for tree in trees if any(cpus & partition.isolated for cpus in read_pins(tree).values())]


def slice_findings(host: Host, partition: Partition, unit: str = SLICE) -> list[Finding]:
    """A slice must reach the CPUs of guests and of their emulators."""
    try:
        check_slice(host, partition, unit)
    except SliceError as error:
        remedy = (
            f"remove the limit (systemctl revert {error.unit}); otherwise the guest never finishes booting, "
            "since its emulator waits behind vCPUs that never yield"
        )
        return [Finding("slice-limit", error.unit, "the CPUs of guests and emulators", str(error), remedy)]
    return []
