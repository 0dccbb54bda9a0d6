# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal keeps how much the changes of a resource have disturbed; its undo disturbs at least as much."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.trees import fill, writable

X, Y = "thread:x:1:10:affinity", "thread:y:2:20:affinity"


@pytest.fixture(name="root")
def _root(tmp_path):
    fill(tmp_path, {BOOT_ID: "boot-1\n", "/var/lib/": None})
    return tmp_path


def change(root, disruption, resource=X):
    host = writable(root)
    with host.locked():
        host.change(Change(resource, "0", "1", disruption), lambda: None, kind="thread")
        host.commit()


def document(root):
    return json.loads(Path(f"{root}{JOURNAL}").read_text())


def undo(root, disruption="none"):
    host = writable(root)
    host.restore(Change(X, "new", "old", disruption), X, lambda: None)
    return host.changes[0].disruption


def test_the_worst_class_is_kept(root):
    change(root, "none", Y)
    for class_, worst in (("none", "none"), ("guest", "guest"), ("stall", "guest"), ("none", "guest"), ("reboot", "reboot")):
        change(root, class_)
        assert document(root)["entries"][X]["disruption"] == worst
        assert undo(root) == worst
    assert document(root)["entries"][Y]["disruption"] == "none"
    assert undo(root, "reboot") == "reboot"


def test_a_class_that_is_known_writes_nothing(root):
    change(root, "guest")
    before = os.stat(f"{root}{JOURNAL}").st_ino
    change(root, "stall")
    assert os.stat(f"{root}{JOURNAL}").st_ino == before


@pytest.mark.parametrize("told", [None, "odd", ""])
def test_entries_that_name_no_class_count_as_none(root, told):
    change(root, "guest")
    found = document(root)
    found["entries"][X]["disruption"] = told
    if told is None:
        del found["entries"][X]["disruption"]
    fill(root, {JOURNAL: json.dumps(found)})
    assert undo(root) == "none"
    assert undo(root, "stall") == "stall"
    change(root, "stall")
    assert document(root)["entries"][X]["disruption"] == "stall"


def test_what_is_not_in_the_journal_disturbs_as_it_says(root):
    assert undo(root, "stall") == "stall"
