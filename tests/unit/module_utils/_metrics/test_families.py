# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics are named as Prometheus' conventions have it, and their number is bounded."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import COUNTER, FAMILIES, GAUGE, INFO, PREFIX

#: The units of https://prometheus.io/docs/practices/naming/ that are used here, and what they stand for in other texts.
UNITS = ("seconds", "hertz")
OTHERS = ("milliseconds", "microseconds", "_ms", "_us", "_khz", "minutes", "hours", "kibibytes", "_kb", "percent")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_metric_is_named_by_the_conventions(family):
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", family.short)
    assert family.name.startswith(PREFIX)
    assert family.kind in (GAUGE, COUNTER, INFO)
    assert family.name.endswith("_total") is (family.kind == COUNTER)
    assert (family.name.endswith("_info")) is (family.kind == INFO)
    assert not any(other in family.short for other in OTHERS)
    assert family.unit == next((unit for unit in UNITS if family.short.endswith(f"_{unit}")), "")
    assert not any(word in family.short.split("_") for word in ("gauge", "counter", "total"))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_metric_says_what_it_means_and_how_many_there_are(family):
    assert family.help.endswith(".")
    assert not re.search(r'[\\\n"]', family.help), "it would need codes in one of the two texts"
    assert family.bound
    assert (family.bound == "one") is (not family.labels or family.short in ("info", "kernel_info"))
    assert all(re.fullmatch(r"[a-z_]+", label) for label in family.labels)
    assert len(set(family.labels)) == len(family.labels)


def test_names_are_told_apart():
    assert len({family.name for family in FAMILIES.values()}) == len(FAMILIES)
    bare = [re.sub(r"_(total|info)$", "", family.name) for family in FAMILIES.values()]
    assert len(set(bare)) == len(bare), "OpenMetrics names a family without its suffix"
