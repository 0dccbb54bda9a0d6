# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose domain it is: ours, nova's, or not told."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_owner import owner_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import NAMESPACE, parse

NOVA = """<domain><metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><!-- x -->
<nova:creationTime>2026-09-10 11:12:13</nova:creationTime><nova:flavor name="rt.small"><nova:memory>1</nova:memory></nova:flavor>
<nova:owner><nova:user uuid="u">ops</nova:user><nova:project uuid="p">grid &amp; co</nova:project></nova:owner></nova:instance></metadata></domain>"""


NAMELESS = {"instance": "", "owner_id": "", "project_id": ""}


def test_ours_tells_its_own_metadata():
    tree = parse(f'<domain><metadata><r:guest xmlns:r="{NAMESPACE}" owner="a" project="b" class="c"/></metadata></domain>')
    assert owner_of(tree) == {
        "owner": "a", "project": "b", "class": "c", "created": "", "manager": "realtime.kvm", **NAMELESS,
    }  # fmt: skip


def test_nova_tells_user_project_flavor_and_creation():
    found = {
        "owner": "ops", "project": "grid & co", "class": "rt.small", "created": "2026-09-10T11:12:13Z", "manager": "nova",
        "instance": "", "owner_id": "u", "project_id": "p",
    }  # fmt: skip
    assert owner_of(parse(NOVA)) == found


def test_nova_of_a_bare_server_tells_nothing_it_does_not_know():
    bare = '<domain><metadata><i:instance xmlns:i="http://openstack.org/xmlns/libvirt/nova/1.0"/></metadata></domain>'
    assert owner_of(parse(bare)) == {"owner": "", "project": "", "class": "", "created": "", "manager": "nova", **NAMELESS}


def test_others_and_comments_tell_nothing():
    for text in ("<domain/>", "<domain><metadata><!-- c --><x xmlns='urn:x'/></metadata></domain>"):
        assert owner_of(parse(text))["manager"] == ""
