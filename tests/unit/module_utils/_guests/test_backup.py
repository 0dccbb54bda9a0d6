# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays of a removed guest."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import backup as _backup
from ansible_collections.realtime.kvm.plugins.module_utils._guests.backup import BACKUPS, SAVED, keep_backup
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from unit.trees import fill, snapshot, writable

VARIABLES = "/var/lib/libvirt/qemu/nvram/plc1_VARS.fd"


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path, {VARIABLES: b"vars", f"{SAVED}/plc1.save": b"state"}))


def kept(host):
    return {name: (mode, content) for name, (_kind, mode, content) in snapshot(host.path(BACKUPS)).items()}


def domain(nvram):
    return parse(f"<domain><name>plc1</name><os>{nvram}</os></domain>")


@pytest.mark.parametrize("nvram", [f"<nvram> {VARIABLES}</nvram>", f"<nvram type='file'><source file='{VARIABLES}'/></nvram>"])
def test_definition_variables_and_saved_state_stay(host, nvram):
    keep_backup(host, "plc1", domain(nvram), saved_state=True)
    found = kept(host)
    assert "<name>plc1</name>" in found["/plc1.xml"][1].decode()
    assert found["/plc1.nvram"] == (0o600, b"vars")
    assert found["/plc1.save"][1] == b"state"
    assert (os.stat(host.path(BACKUPS)).st_mode & 0o777, found["/plc1.xml"][0]) == (0o700, 0o600)
    assert host.exists(VARIABLES)
    assert not host.exists(f"{SAVED}/plc1.save")


def test_the_definition_can_be_defined_again(host):
    tree = parse("<domain><name>plc1</name><devices><graphics type='vnc' passwd='pl4nted'/></devices></domain>")
    keep_backup(host, "plc1", tree, saved_state=False)
    mode, content = kept(host)["/plc1.xml"]
    assert mode == 0o600
    assert parse(content.decode()).find("devices/graphics").get("passwd") == "pl4nted"


@pytest.mark.parametrize("nvram", ["", "<nvram/>", "<nvram>/none</nvram>", "<nvram>relative</nvram>"])
def test_a_guest_without_variables_has_none(host, nvram):
    keep_backup(host, "plc1", domain(nvram), saved_state=False)
    assert list(kept(host)) == ["/plc1.xml"]
    assert host.exists(f"{SAVED}/plc1.save")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_a_regular_file_holds_variables_and_nothing_else_is_opened(host, kind, monkeypatch):
    path = host.path("/x")
    {"pipe": lambda: os.mkfifo(path), "folder": lambda: os.mkdir(path), "device": lambda: os.symlink("/dev/zero", path)}[kind]()
    opened = []
    monkeypatch.setattr(os, "open", lambda found, *more, open_=os.open, **how: opened.append(found) or open_(found, *more, **how))
    keep_backup(host, "plc1", domain("<nvram>/x</nvram>"), saved_state=False)
    assert list(kept(host)) == ["/plc1.xml"]
    assert path not in opened


def test_variables_that_become_a_pipe_while_they_are_looked_at_are_not_waited_for(host, monkeypatch):
    os.mkfifo(host.path("/x"))
    monkeypatch.setattr(os.path, "isfile", lambda _path: True)
    keep_backup(host, "plc1", domain("<nvram>/x</nvram>"), saved_state=False)
    assert list(kept(host)) == ["/plc1.xml"]


def test_what_is_larger_than_variables_is_not_kept(host, monkeypatch):
    monkeypatch.setattr(_backup, "_NVRAM_BYTES", 3)
    keep_backup(host, "plc1", domain(f"<nvram>{VARIABLES}</nvram>"), saved_state=False)
    assert list(kept(host)) == ["/plc1.xml"]


def test_no_name_leads_out_of_the_folder(host):
    keep_backup(host, "..", domain(""), saved_state=True)
    assert list(kept(host)) == ["/...xml"]


def test_a_state_that_cannot_be_kept_keeps_the_guest(host):
    fill(host.root, {f"{BACKUPS}/plc1.save/x": "in the way"})
    with pytest.raises(HostError, match=r"plc1: its saved state .* cannot be moved .*so it is not removed"):
        keep_backup(host, "plc1", domain(""), saved_state=True)
    assert host.exists(f"{SAVED}/plc1.save")
