# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, lists and messages of Redfish, and anything else in their place."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.odata import last, link, listed, messages_of, nearest, uri
from unit.hostile import VALUES, variants

MESSAGES = {
    "error": {"@Message.ExtendedInfo": [{"Message": "no", "RelatedProperties": ["#/Attributes/A"], "MessageArgs": ["B"]}]}
}


def test_links_and_lists():
    assert link({"@odata.id": "/redfish/v1/x"}) == "/redfish/v1/x"
    assert (uri({"@odata.id": "/x"}), uri("/y")) == ("/x", "/y")
    assert last("/redfish/v1/Systems/1/") == "1"
    assert listed([1]) == [1]
    assert nearest("BIOS.v1", ["/a/other", "/a/bios.V1"]) == "/a/bios.V1"
    assert nearest("Bios.v1.2", ["/a/other", "/a/Bios.v1.3"]) == "/a/Bios.v1.3"
    assert nearest("x", ["/a/other", "/a/BiosAttributeRegistry9"]) == "/a/BiosAttributeRegistry9"
    assert nearest("x", ["/a/other"]) is None


def test_messages_with_the_attributes_they_are_about():
    assert messages_of(MESSAGES) == [("no", ["A", "B"])]
    assert messages_of({"A@Message.ExtendedInfo": [{"MessageId": "id"}]}) == [("id", [])]
    assert messages_of({"error": {"message": "short"}}) == [("short", [])]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_anything_else_is_no_link_and_no_list(value):
    assert isinstance(link(value), str)
    assert isinstance(listed(value), list)
    assert isinstance(uri(value), str)


def test_messages_are_printable_and_short_whatever_is_sent():
    for body in [*variants(MESSAGES), {"error": {"message": "\x1b[2J" * 1000}}]:
        for text, attributes in messages_of(body):
            assert text.isprintable()
            assert len(text) <= 500
            assert all(isinstance(name, str) for name in attributes)
