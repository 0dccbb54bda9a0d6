# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that a plan needs, each with its reason."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.planned_arguments import page_arguments


@pytest.mark.parametrize(
    ("pages", "tokens"),
    [
        ({}, []),
        ({"0": {"2M": 5}}, []),
        ({"0": {"2M": 5, "1G": 4}}, ["hugepagesz=1G", "hugepages=0:4"]),
        ({"10": {"1G": 1}, "2": {"1G": 16}}, ["hugepagesz=1G", "hugepages=2:16,10:1"]),
    ],
)
def test_page_arguments(pages, tokens):
    assert page_arguments(pages) == tokens
