# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan's text: the same for the same plan, readable again, refused once it was edited."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.digests import digest
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.document import plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import (
    Kept,
    Unsafe,
    Vaulted,
    check_current,
    check_decisions,
    from_yaml,
    to_flow,
    to_yaml,
)
from unit.placing import host, wish


@pytest.fixture(name="plan")
def _plan():
    hosts = [host("kvm01.example.com", 1, 5), host("no", 1, 5, drained=True)]
    return plan_document(
        place_guests(hosts, [wish("plc1"), wish("on", 9)]), "abc", away={"far": "lost"}, unread={"lost": "it is: away"}
    )


def test_a_plan_is_read_as_it_was_written(plan):
    text = to_yaml(plan)
    assert from_yaml(text, "p") == plan
    assert text.startswith("# A plan of realtime.kvm.place")
    assert "  - {guest: plc1, host: kvm01.example.com, node: 0, change: new, why: " in text


@pytest.mark.parametrize(
    "value", ["a", "on", "1e3", "x: y", "", "plc1.example", "tab\t\x00", "grün", "\U0001f600 x", "- a", "{{ x }}", 3, None, True, [1, {"a": "b c"}], "\u2028"]
)  # fmt: skip
def test_any_value_comes_back(value):
    assert yaml.safe_load(f"key: {to_flow(value)}") == {"key": value}


def test_a_vault_stays_a_vault():
    assert to_flow({"a": Vaulted("$ANSIBLE_VAULT;1.1;AES256\n6162\n")}) == '{a: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6162\\n"}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is no YAML"),
        ("a: 1", "is no plan of place"),
        ("[]", "is no plan of place"),
        ("", "is no plan of place"),
        ("{format: 2, digest: x}", "has format 2, this release knows 1"),
        ("{format: 1, digest: x}", "was edited"),
    ],
)
def test_other_files_are_refused(text, why):
    with pytest.raises(PlacementError, match=f"^p {why}.*run place again"):
        from_yaml(text, "p")


def test_an_edited_plan_is_refused(plan):
    with pytest.raises(PlacementError, match="was edited"):
        from_yaml(to_yaml(plan).replace("plc1", "plc2"), "p")


def test_a_plan_of_other_inputs_is_refused(plan):
    check_current(plan, "abc", "p")
    with pytest.raises(PlacementError, match="p is out of date"):
        check_current(plan, "abd", "p")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"moves": None}, "moves"),
        ({"guests": [{"guest": "plc1"}]}, "guests"),
        ({"hosts": {"a": {}}, "left_out": []}, "hosts, left_out"),
        ({"summary": {}}, "summary"),
    ],
)
def test_a_plan_that_lacks_something_is_refused(plan, change, what):
    """Its digest is right, so place has not written it."""
    other = {key: value for key, value in {**plan, **change}.items() if key != "digest"}
    with pytest.raises(PlacementError, match=f"^p is not whole: {what} is missing, or not what place writes there"):
        from_yaml(to_yaml({**other, "digest": digest(other)}), "p")


def test_what_became_of_the_inputs_counts(plan):
    check_decisions(plan, {**plan, "summary": {}, "hosts": dict.fromkeys(plan["hosts"])}, "p")
    for other in ({"guests": []}, {"hosts": {}}):
        with pytest.raises(PlacementError, match="p is out of date: memory, switch or guests of the nodes have changed"):
            check_decisions(plan, {**plan, **other}, "p")


def test_text_that_is_no_template_stays_none():
    assert to_flow([Unsafe("{{ x }}"), Kept.of("{{ y }}", 1)]) == '[!unsafe "{{ x }}", "{{ y }}"]'


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
