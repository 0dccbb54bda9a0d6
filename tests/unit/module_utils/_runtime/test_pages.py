# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kvm_host: pages and KVM's parameters."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.pages import PAGES
from unit.features import PARTITION, apply
from unit.trees import fill, writable


def test_huge_pages_that_are_off_for_good_stay_so(root):
    fill(root, {"/sys/module/kvm/parameters/nx_huge_pages": "never\n"})
    assert "never" not in str([change.before for change in apply(root, "kvm_host").changes])


def test_pages_and_parameters_follow_the_options(root):
    host = writable(root, "kvm_host")
    PAGES.plan(host, PARTITION, {"pages": {"0": {"2M": 96}}, "nx_huge_pages": "keep", "halt_poll_ns": 5})
    assert [(change.resource.rsplit("/", 1)[1], change.before, change.after) for change in host.changes] == [
        ("nr_hugepages", "64", "96"),
        ("halt_poll_ns", "200000", "5"),
    ]


@pytest.mark.parametrize(
    ("pages", "good"),
    [
        ({}, True),
        ({"0": {"2M": 1, "1G": 2}, "10": {}}, True),
        ({"0": {"2M": 0}}, False),
        ({"0": {"2M": "1"}}, False),
        ({"0": {"4M": 1}}, False),
        ({"0": []}, False),
        ({"x": {}}, False),
        ([], False),
        (None, False),
    ],
)
def test_numbers_of_pages_are_checked(pages, good):
    assert (PAGES.options["pages"](pages) == "") is good


@pytest.mark.parametrize(("value", "good"), [(-1, True), (0, True), (-2, False), ("0", False), (None, False)])
def test_nanoseconds_are_checked(value, good):
    assert (PAGES.options["halt_poll_ns"](value) == "") is good
