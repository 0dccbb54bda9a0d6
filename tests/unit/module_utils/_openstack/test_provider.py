# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of traits, and other files that describe the same provider."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.provider import ProviderError, described_by, provider_text

TRAITS = ["CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0"]


def test_what_nova_reads():
    found = yaml.safe_load(provider_text(TRAITS, "why"))
    assert found == {
        "meta": {"schema_version": "1.0"},
        "providers": [{"identification": {"uuid": "$COMPUTE_NODE"}, "traits": {"additional": TRAITS}}],
    }


def test_another_file_that_describes_the_node():
    theirs = provider_text(["CUSTOM_THEIRS"], "theirs")
    with pytest.raises(
        ProviderError,
        match=r"/p/theirs\.yaml describes \$COMPUTE_NODE.*add the traits CUSTOM_REALTIME_KVM, CUSTOM_REALTIME_PHYSNET_RT0",
    ):
        described_by({"/p/theirs.yaml": theirs}, TRAITS)
    both = provider_text(["CUSTOM_THEIRS", TRAITS[0]], "theirs")
    with pytest.raises(ProviderError, match="add the traits CUSTOM_REALTIME_PHYSNET_RT0 to"):
        described_by({"/p/theirs.yaml": both}, TRAITS)
    assert described_by({"/p/theirs.yaml": provider_text(["CUSTOM_THEIRS", *TRAITS], "theirs")}, TRAITS) == "/p/theirs.yaml"


def test_others_do_not_matter():
    other = "providers:\n  - identification: {uuid: 6a1e7f4e-0000-4000-8000-000000000001}\n"
    assert described_by({"/p/a.yaml": other, "/p/b.yaml": "# uuid: $COMPUTE_NODE\n"}, TRAITS) == ""
    assert described_by({}, TRAITS) == ""


def test_a_trait_that_begins_like_another_is_another():
    theirs = provider_text(["CUSTOM_REALTIME_KVM_TOO"], "theirs")
    with pytest.raises(ProviderError):
        described_by({"/p/a.yaml": theirs}, ["CUSTOM_REALTIME_KVM"])
