# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results are kept in the project's folder, whatever the working directory is."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils import _project
from ansible_collections.realtime.kvm.plugins.plugin_utils._project import project_folder, results_folder, why_unwritable

INSTALLED = "/root/.ansible/collections/ansible_collections/realtime/kvm/playbooks"


@pytest.fixture(name="plant")
def _plant(tmp_path):
    """An inventory as a file, and one as a folder."""
    for name in ("hosts.yml", "inventories/north/hosts.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("playbook", "config", "folder"),
    [
        ("/srv/plant", "", "/srv/plant"),
        ("/srv/plant/playbooks", "", "/srv/plant"),
        ("/srv/plant/playbooks", "/srv/plant/ansible.cfg", "/srv/plant"),
        ("/srv/plant/jobs/night", "/srv/plant/ansible.cfg", "/srv/plant"),
        ("/srv/plant/jobs", "/srv/pla/ansible.cfg", "/srv/plant/jobs"),
        ("/srv/plant", "/etc/ansible/ansible.cfg", "/srv/plant"),
        ("/srv/plant", "/root/.ansible.cfg", "/srv/plant"),
        ("/", "", ""),
        ("/playbooks", "", ""),
        ("/etc/ansible", "", ""),
        (INSTALLED, "/srv/plant/ansible.cfg", "/srv/plant"),
        (INSTALLED, "/etc/ansible/ansible.cfg", ""),
        (INSTALLED, "/root/.ansible.cfg", ""),
        (INSTALLED, "/ansible.cfg", ""),
        (INSTALLED, "", ""),
        ("", "", ""),
        ("", "/srv/plant/ansible.cfg", "/srv/plant"),
    ],
)
def test_playbook_and_configuration_tell_the_project(playbook, config, folder):
    assert project_folder(playbook, ["/nowhere/hosts.yml", "a,b,"], config) == folder


@pytest.mark.parametrize(
    ("sources", "folder"),
    [
        (["hosts.yml"], "."),
        (["inventories/north/hosts.yml"], "inventories/north"),
        (["inventories/north"], "inventories"),
        (["inventories/north", "inventories"], "."),
        (["inventories/north", "inventories/north/hosts.yml"], "inventories"),
        (["absent.yml", "hosts.yml"], "."),
    ],
)
def test_the_inventory_tells_it_and_never_holds_the_results(plant, sources, folder):
    found = project_folder(INSTALLED, [str(plant / source) for source in sources], "")
    assert found == os.path.normpath(plant / folder)


@pytest.mark.parametrize(("config", "folder"), [("ansible.cfg", "."), ("", ".")])
def test_the_collection_s_playbooks_in_a_clone_belong_to_the_project_that_runs_them(plant, config, folder):
    """A project has a link to a clone below its collections/, and Ansible names the clone."""
    found = project_folder(_project.OWN, [str(plant / "hosts.yml")], str(plant / config) if config else "")
    assert found == os.path.normpath(plant / folder)
    assert project_folder(_project.OWN, ["kvm01,"], "") == os.path.dirname(_project.OWN), "nothing but the clone is known"
    assert project_folder(
        _project.OWN, [str(plant / "hosts.yml")], os.path.dirname(_project.OWN) + "/ansible.cfg"
    ) == os.path.dirname(_project.OWN)


def test_the_system_s_inventory_tells_nothing(monkeypatch):
    monkeypatch.setattr(_project.os.path, "exists", lambda _path: True)
    monkeypatch.setattr(_project.os.path, "isdir", lambda _path: False)
    assert project_folder(INSTALLED, ["/etc/ansible/hosts"], "") == ""


@pytest.mark.parametrize("given", ["", "measured/kvm01", "../elsewhere"])
def test_relative_folders_are_below_the_project(plant, monkeypatch, given):
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", None)
    monkeypatch.chdir("/")
    variables = {"playbook_dir": str(plant)}
    expected = os.path.normpath(plant / (given or "results/report"))
    assert results_folder(given, variables, "report", "rt_report_folder") == expected


def test_an_absolute_folder_needs_no_project(monkeypatch):
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", None)
    assert results_folder("/srv/www/", {}, "report", "rt_report_folder") == "/srv/www"


def test_no_project_is_refused_with_the_option(monkeypatch):
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", None)
    with pytest.raises(
        ValueError, match=r"^rt_report_folder: the folder results/report is below .*; set rt_report_folder to an absolute path$"
    ):
        results_folder("", {"playbook_dir": INSTALLED, "ansible_inventory_sources": ["kvm01,"]}, "report", "rt_report_folder")


def test_why_no_file_could_be_made(tmp_path, monkeypatch):
    assert why_unwritable(str(tmp_path / "a" / "b")) == ""
    (tmp_path / "file").write_text("")
    assert why_unwritable(str(tmp_path / "file" / "x")) == f"{tmp_path}/file is not a directory"
    monkeypatch.setattr(_project.os, "access", lambda _path, _mode: False)
    assert why_unwritable(str(tmp_path)) == f"{tmp_path} is not writable"
