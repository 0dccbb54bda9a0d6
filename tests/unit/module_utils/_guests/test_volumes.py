# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a pool as the files that they are."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.volumes import on_files, volume_of

PATHS = {("default", "a"): "/images/a", ("vg", "a"): "/dev/vg/a", ("ceph", "a"): "pool/a"}
DOMAIN = "<domain><devices><disk type='{}'><source {}/>{}</disk></devices></domain>"


def seen(text):
    tree = parse(text)
    before = to_text(tree)
    found = on_files(tree, lambda volume: PATHS.get(volume, ""))
    assert to_text(tree) == before
    return tree, found


@pytest.mark.parametrize(
    ("pool", "kind", "attributes"),
    [
        ("default", "file", {"file": "/images/a"}),
        ("vg", "block", {"dev": "/dev/vg/a"}),
        ("ceph", "network", {}),
        ("off", "volume", {}),
    ],
)
def test_each_kind_of_pool(pool, kind, attributes):
    _tree, found = seen(DOMAIN.format("volume", f"pool='{pool}' volume='a'", ""))
    disk = found.find("devices/disk")
    assert (disk.get("type"), disk.find("source").attrib) == (kind, {"pool": pool, "volume": "a", **attributes})
    assert volume_of(disk) == (pool, "a")


@pytest.mark.parametrize(
    ("kind", "source"), [("file", "file='/a'"), ("volume", ""), ("volume", "pool='default'"), ("dir", "dir='/a'")]
)
def test_other_disks_stay(kind, source):
    tree, found = seen(DOMAIN.format(kind, source, ""))
    assert to_text(found) == to_text(tree)
    assert volume_of(found.find("devices/disk")) is None


def test_a_domain_without_one_is_itself():
    tree, found = seen(DOMAIN.format("file", "file='/a'", ""))
    assert found is tree
    assert volume_of(parse("<disk type='volume'/>")) is None


def test_what_lies_behind_a_disk_may_be_one():
    inner = "<backingStore type='volume'><format type='raw'/><source pool='default' volume='a'/></backingStore>"
    _tree, found = seen(DOMAIN.format("file", "file='/top'", inner))
    assert found.find("devices/disk/backingStore/source").get("file") == "/images/a"
