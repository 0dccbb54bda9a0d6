# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the database: values as the protocol writes them."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import decode


@pytest.mark.parametrize(
    ("column", "value", "decoded"),
    [
        ("name", "x", "x"),
        ("tag", ["set", []], None),
        ("tag", 7, 7),
        ("ports", ["uuid", "a"], ("a",)),
        ("ports", ["set", [["uuid", "a"], ["uuid", "b"]]], ("a", "b")),
        ("ports", ["set", []], ()),
        ("options", ["map", [["k", "v"]]], {"k": "v"}),
        ("dpdk_initialized", False, False),
    ],
)
def test_values(column, value, decoded):
    assert decode(column, value) == decoded
