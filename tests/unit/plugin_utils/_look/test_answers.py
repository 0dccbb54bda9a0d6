# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node answers to a look may be anything."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._look.answers import answer_fault

ASKED = ["cpu_partition", "rt_domain"]
WHOLE = {"planned": {"cpu_partition": {}, "rt_domain": {}}, "refused": [], "open": []}
BY_LAYER, LISTS = "it has no plans by layer", "it does not list what is refused and what is open"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (WHOLE, ""),
        ({**WHOLE, "planned": {}}, "it has no plan of cpu_partition, rt_domain"),
        ({**WHOLE, "planned": {"cpu_partition": {}}}, "it has no plan of rt_domain"),
        ({**WHOLE, "planned": {"cpu_partition": {}}, "open": ["rt_domain"]}, ""),
        ({**WHOLE, "planned": {"cpu_partition": {}}, "refused": ["too few CPUs"]}, ""),
        ({}, BY_LAYER),
        ({"skipped": True}, BY_LAYER),
        ({**WHOLE, "planned": [1]}, BY_LAYER),
        ({**WHOLE, "planned": {"cpu_partition": "x"}}, BY_LAYER),
        ({"planned": {}}, LISTS),
        ({**WHOLE, "refused": "no"}, LISTS),
        ({**WHOLE, "open": None}, LISTS),
        ({**WHOLE, "open": [5]}, LISTS),
    ],
)
def test_the_form_of_an_answer(answer, fault):
    assert answer_fault(answer, ASKED) == fault
