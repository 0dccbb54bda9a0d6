# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature of irq_affinity. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition
from .._host.host import Host
from .._interrupts.interrupts import plan_interrupts
from .._interrupts.steering import plan_steering
from .feature import Feature


def _plan_irq_affinity(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    del options  # the plan depends on the partition alone
    plan_interrupts(host, partition)
    plan_steering(host, partition)


INTERRUPTS = Feature("irq_affinity", "irq_affinity", _plan_irq_affinity, {})
