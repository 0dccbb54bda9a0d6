# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of a domain with which a real-time guest cannot be."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import DomainError, parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.limits import QUOTAS
from unit.domains import ORDINARY, changed, made, merged


def limited(text, **more):
    return parse(to_text(made(**more)).replace("<os>", f"{text}<os>", 1))


@pytest.mark.parametrize("tag", QUOTAS)
def test_a_real_time_guest_whose_cpu_time_is_limited_is_refused(tag):
    tree = made()
    tree.find("cputune").append(parse(f"<{tag}>50000</{tag}>"))
    with pytest.raises(
        DomainError, match=rf"^realtime_guests: plc1: .*<{tag}> 50000 .*virsh schedinfo plc1 --config --set {QUOTAS[tag]}=-1"
    ):
        merged(tree)
    merged(tree, live=True)  # what its definition has decides
    merged(tree, **ORDINARY, networks=[])


@pytest.mark.parametrize("value", ["-1", "0", "18446744073709551", "x", ""])
def test_a_quota_without_a_limit_is_none(value):
    tree = made()
    tree.find("cputune").append(parse(f"<quota>{value}</quota>"))
    if value.startswith("1"):
        with pytest.raises(DomainError):
            merged(tree)
    else:
        assert changed(tree, merged(tree)) == []


@pytest.mark.parametrize("limit", ["<hard_limit unit='MiB'>256</hard_limit>", "<hard_limit>65536</hard_limit>"])
def test_locked_memory_needs_room(limit):
    tree = limited(f"<memtune>{limit}</memtune>")
    with pytest.raises(DomainError, match=r"memory_mib 256; .*virsh memtune plc1 --config --hard-limit -1"):
        merged(tree)
    merged(tree, **ORDINARY, networks=[])


@pytest.mark.parametrize(
    "limit", ["<hard_limit unit='GiB'>1</hard_limit>", "<soft_limit>1</soft_limit>", "<hard_limit>0</hard_limit>"]
)
def test_a_limit_with_room_stays(limit):
    tree = limited(f"<memtune>{limit}</memtune>")
    assert changed(tree, merged(tree)) == []


def test_a_limit_by_the_key_xml_is_refused_too():
    with pytest.raises(DomainError, match="or from its key xml"):
        merged(made(), xml="<domain><cputune><quota>1000</quota></cputune></domain>")
