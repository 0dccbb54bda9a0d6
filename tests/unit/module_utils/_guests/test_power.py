# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guests shut down together; test_rt_domain_power.py does it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.power import rounds


@pytest.mark.parametrize(
    ("names", "order", "expected"),
    [
        ([], ["db"], []),
        (["b", "a"], [], [["a", "b"]]),
        (["db", "app", "plc"], ["app", "db"], [["plc"], ["app"], ["db"]]),
        (["db"], ["app", "db", "db"], [["db"]]),
    ],
)
def test_who_shuts_down_together(names, order, expected):
    assert rounds(names, order) == expected
