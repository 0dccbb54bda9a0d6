# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a mapping holds, the JSON of a seed is YAML of the same."""

from __future__ import annotations

import json

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cloud_init import text_of
from hypothesis import given
from hypothesis import strategies as st

# a key of more than 1024 characters is none in YAML; a number with an exponent and no point is a text there
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_json_of_a_mapping_is_yaml(mapping):
    text = text_of(mapping)
    assert "\n" not in text
    assert yaml.safe_load(text) == json.loads(text) == mapping
