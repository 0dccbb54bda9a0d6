# SPDX-License-Identifier: GPL-3.0-or-later
"""IOMMU groups: the kernel gives a group as a whole, so every member of it must be free. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .functions import Function

#: What may hold other devices of a group that is given away (drivers/iommu/iommu.c: driver_managed_dma), beside vfio's own.
_HARMLESS = ("", "pci-stub")


def described(function: Function) -> str:
    """Return a function with its interfaces and its driver."""
    words = " ".join([*function.interfaces, function.driver or ("bridge" if function.bridge else "no driver")])
    return f"{function.address} ({words})"


def in_use(members: Iterable[Function], given: Collection[str]) -> list[Function]:
    """Return the members that the kernel uses; bridges have no part in that, and ``given`` are those that vfio gets."""
    return [item for item in members if item.address not in given and not item.bridge and not _harmless(item)]


def bridges(members: Iterable[Function]) -> list[Function]:
    """Return the bridges that are no root ports: what is behind one reaches the others without the IOMMU."""
    return [item for item in members if item.bridge and not item.root_port]


def _harmless(function: Function) -> bool:
    return function.driver in _HARMLESS or "vfio" in function.driver  # vfio-pci, mlx5_vfio_pci and the like
