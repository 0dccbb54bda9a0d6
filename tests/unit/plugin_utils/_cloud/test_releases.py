# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nova-compute a control plane takes."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.releases import RELEASES, package_release, read_version, too_old


def test_debian_13_is_too_old_for_2026_2_and_the_numbers_are_said():
    (said,) = too_old({"node1": 31, "node2": 33, "node3": 0}, (2, 104))
    assert said == (
        "node1 has nova-compute 31 (2025.1 Epoxy), service version 68, but the cloud's Nova is 34 (2026.2 Hibiscus), with API microversion 2.104, "
        "which takes 33 (2026.1 Gazpacho), service version 72, and newer"
    )


@pytest.mark.parametrize(
    ("number", "newest", "refused"),
    [
        (31, (2, 100), False),
        (29, (2, 100), False),
        (28, (2, 100), True),
        (31, (2, 103), False),
        (30, (2, 103), True),
        (26, (2, 104), True),
        (33, (2, 120), False),
        (31, (2, 120), True),
        (19, (2, 87), True),
        (31, (2, 30), False),
    ],
)
def test_releases(number, newest, refused):
    assert bool(too_old({"n": number}, newest)) == refused


def test_the_table_is_in_order():
    assert [release.number for release in RELEASES] == sorted(release.number for release in RELEASES)
    assert all(a.service <= b.service and a.microversion <= b.microversion for a, b in zip(RELEASES, RELEASES[1:]))
    assert all(release.oldest < release.number for release in RELEASES)


@pytest.mark.parametrize(
    ("text", "number"), [("31", 31), ("31.0.0", 31), ("2:31.0.0-6+deb13u3", 31), ("", 0), ("33.0.2.dev4", 33)]
)
def test_versions(text, number):
    assert read_version(text) == number


@pytest.mark.parametrize("text", ["epoxy", "31-1", "9999999", "{{ x }}"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(CloudError, match="openstack_cloud_compute_version"):
        read_version(text)


def test_the_oldest_package_counts():
    assert package_release(["/a/nova-33.0.2.dist-info", "/b/nova-31.0.0.egg-info/", "/c/nova-fake.egg-info"]) == 31
    assert package_release([]) == 0
