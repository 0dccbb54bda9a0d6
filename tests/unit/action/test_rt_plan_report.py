# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the plan's files go: below the project's folder, where they are told to, or nowhere."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.realtime.kvm.plugins.action.rt_plan_report import folder_of_files
from ansible_collections.realtime.kvm.plugins.plugin_utils import _project


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch):
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", None)


@pytest.mark.parametrize(
    ("given", "folder"),
    [(None, "/plant/results/plan"), ("pages", "/plant/pages"), ("/srv/plan", "/srv/plan"), ("~/plan", "/home/me/plan"), ("", "")],
)
def test_the_folder(monkeypatch, given, folder):
    monkeypatch.setenv("HOME", "/home/me")
    assert folder_of_files(given, {"playbook_dir": "/plant/playbooks"}) == folder


def test_a_folder_below_no_project_is_refused_with_both_ways_out():
    with pytest.raises(
        AnsibleActionFail,
        match=r'^realtime_plan_folder: .* to an absolute path, or to "" to write no files\. Nothing was changed on any node$',
    ):
        folder_of_files(None, {"playbook_dir": "/"})
