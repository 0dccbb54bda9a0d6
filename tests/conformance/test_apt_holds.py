# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates and holds with the real apt and dpkg on a scratch root: what the administrator holds stays held."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import holds, updates
from conformance.apt_root import NEEDS_APT, AptRoot

pytestmark = NEEDS_APT


@pytest.fixture(name="node")
def _node(tmp_path):
    names = ("openvswitch-switch", "vendor-driver")
    return AptRoot(tmp_path, {(name, "1"): "" for name in names}, {(name, "2"): "" for name in names})


def update(node):
    return node.make("package_update", lambda host: updates.plan_updates(host, node.runner, refresh=True))


def test_what_the_administrator_holds_is_updated_and_stays_held(node):
    node.runner(["apt-mark", "hold", "vendor-driver"])
    assert [(change.resource, change.after) for change in update(node).changes] == [
        ("package:openvswitch-switch", "2"),
        ("package:vendor-driver", "2"),
    ]
    assert node.selections == {"openvswitch-switch": "install", "vendor-driver": "hold"}


@pytest.mark.parametrize("mine", ["hold", "unhold"])
def test_undo_after_an_update_leaves_what_the_administrator_held(node, mine):
    node.runner(["apt-mark", mine, "openvswitch-switch"])
    before = node.selections
    node.make("package_holds", lambda host: holds.hold(host, node.runner))
    update(node)
    node.make("package_holds", lambda host: holds.hold(host, node.runner))
    assert node.selections["openvswitch-switch"] == "hold"
    node.make("package_holds", lambda host: holds.release(host, node.runner))
    assert node.selections == before
