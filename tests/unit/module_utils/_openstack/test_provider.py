# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of traits, and other files that describe the same provider."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.provider import (
    ProviderError,
    described_by,
    provider_text,
    read_blocks,
)

TRAITS = ["CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0"]


def test_what_nova_reads():
    found = yaml.safe_load(provider_text(TRAITS, "why"))
    assert found == {
        "meta": {"schema_version": "1.0"},
        "providers": [{"identification": {"uuid": "$COMPUTE_NODE"}, "traits": {"additional": TRAITS}}],
    }


UUID = "6a1e7f4e-0000-4000-8000-000000000001"


def block(known, *traits, inventories=""):
    return f"providers:\n  - identification: {{{known}}}\n    traits: {{additional: [{', '.join(traits)}]}}\n{inventories}"


def described(files, own="", names=("node1",)):
    return described_by(read_blocks(files, yaml.safe_load), TRAITS, names, lambda: own)


@pytest.mark.parametrize(
    ("known", "own", "said"),
    [
        ("uuid: $COMPUTE_NODE", "", r"/p/a\.yaml describes \$COMPUTE_NODE, and nova-compute does not start with a second"),
        (
            "name: node1",
            "",
            r"/p/a\.yaml describes this node by its name, and nova-compute ignores what others say of \$COMPUTE_NODE",
        ),
        (f"uuid: {UUID}", UUID.upper(), "describes this node by its uuid, and nova-compute ignores"),
        (f"uuid: {UUID}", "", "describes a provider by its uuid, and that of this node is not known yet"),
    ],
)
def test_another_file_that_describes_the_node(known, own, said):
    with pytest.raises(ProviderError, match=said):
        described({"/p/a.yaml": block(known, "CUSTOM_THEIRS")}, own)
    if "not known yet" not in said:
        with pytest.raises(ProviderError, match="add the traits CUSTOM_REALTIME_PHYSNET_RT0 to"):
            described({"/p/a.yaml": block(known, "CUSTOM_THEIRS", TRAITS[0])}, own)
        assert described({"/p/a.yaml": block(known, *TRAITS)}, own) == "/p/a.yaml"


def test_traits_of_another_provider_are_not_the_nodes():
    text = (
        block("name: other", *TRAITS)
        + "  - identification: {uuid: $COMPUTE_NODE}\n    inventories: {additional: [{CUSTOM_X: {total: 1}}]}\n"
    )
    with pytest.raises(ProviderError, match="add the traits CUSTOM_REALTIME_KVM, CUSTOM_REALTIME_PHYSNET_RT0"):
        described({"/p/a.yaml": text})


def test_the_nodes_name_wins_over_what_holds_for_all_nodes():
    files = {"/p/a.yaml": block("uuid: $COMPUTE_NODE", *TRAITS), "/p/b.yaml": block("name: node1", "CUSTOM_X")}
    with pytest.raises(ProviderError, match=r"/p/b\.yaml"):
        described(files)


def test_others_do_not_matter():
    other = block(f"uuid: {UUID}", "CUSTOM_X")
    nothing = "providers:\n  - identification: {uuid: $COMPUTE_NODE}\n"
    assert described({"/p/a.yaml": other, "/p/b.yaml": nothing, "/p/c.yaml": block("name: node2", "CUSTOM_X")}, "another") == ""
    assert described({}) == ""


def test_a_trait_that_begins_like_another_is_another():
    with pytest.raises(ProviderError):
        described({"/p/a.yaml": block("uuid: $COMPUTE_NODE", "CUSTOM_REALTIME_KVM_TOO", TRAITS[1])})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "providers: 1",
        "providers: [1]",
        "providers: [{}]",
        "x: 1",
        "providers: [{identification: 1, traits: {additional: [A]}}]",
    ],
)
def test_a_file_that_nova_cannot_read(text):
    with pytest.raises(ProviderError, match=r"/p/a\.yaml is no file of providers that nova-compute can read"):
        described({"/p/a.yaml": text})


def test_without_yaml_nothing_is_guessed():
    with pytest.raises(ProviderError, match="install python3-yaml"):
        read_blocks({"/p/a.yaml": block("name: node2", "CUSTOM_X")}, None)
    assert read_blocks({}, None) == []
