# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines in files of others: added once, taken out exactly."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.lines import add_lines, restore_lines
from unit.hosts import apply
from unit.trees import fill, refuse_reads, snapshot

THEIRS = "/etc/theirs.d/theirs.conf"


def add(host):
    add_lines(host, THEIRS, "ours\n")


def take_out(host):
    restore_lines(host)


@pytest.mark.parametrize("text", [None, "", "theirs\n", "no newline"])
def test_lines_are_added_once_and_taken_out_exactly(root, text):
    fill(root, {} if text is None else {THEIRS: text})
    before = snapshot(root)
    assert len(apply(root, add).changes) == 1
    assert (root / THEIRS[1:]).read_text().splitlines() == [*(text or "").splitlines(), "ours"]
    assert apply(root, add).changes == []
    assert len(apply(root, take_out).changes) == 1
    assert snapshot(root) == before
    assert apply(root, take_out).changes == []


def test_a_linked_file_keeps_its_link_and_its_mode(root):
    fill(root, {"/etc/site/theirs": "theirs\n", THEIRS: ("link", "../site/theirs")})
    os.chmod(f"{root}/etc/site/theirs", 0o600)
    before = snapshot(root)
    apply(root, add)
    assert (root / "etc/site/theirs").read_text() == "theirs\nours\n"
    apply(root, take_out)
    assert snapshot(root) == before


def test_what_others_write_beside_our_lines_stays(root):
    fill(root, {THEIRS: "theirs\n"})
    os.chmod(f"{root}{THEIRS}", 0o640)
    apply(root, add)
    (root / THEIRS[1:]).write_text("first\ntheirs\nours\nlast\n")
    apply(root, take_out)
    assert (root / THEIRS[1:]).read_text() == "first\ntheirs\nlast\n"
    assert os.stat(f"{root}{THEIRS}").st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["theirs\n", None])
def test_lines_that_others_took_out_are_not_missed(root, text):
    fill(root, {THEIRS: "theirs\n"})
    apply(root, add)
    (root / THEIRS[1:]).unlink()
    fill(root, {} if text is None else {THEIRS: text})
    assert apply(root, take_out).changes == []
    assert (root / THEIRS[1:]).exists() == (text is not None)
    assert not (root / JOURNAL[1:]).exists()


def test_bytes_of_another_encoding_are_kept(root):
    theirs = b"# Gr\xfc\xdfe\n  /srv/b\xe4nder/** rwk,\n"
    fill(root, {THEIRS: theirs})
    (change,) = apply(root, add).changes
    assert change.before == theirs.decode(errors="replace")
    assert json.dumps(asdict(change)).encode()
    assert (root / THEIRS[1:]).read_bytes() == theirs + b"ours\n"
    assert apply(root, add).changes == []
    apply(root, take_out)
    assert (root / THEIRS[1:]).read_bytes() == theirs


def test_a_file_that_cannot_be_read_is_neither_replaced_nor_forgotten(root, monkeypatch):
    fill(root, {THEIRS: "theirs\n"})
    for work in (add, take_out):
        again = refuse_reads(monkeypatch, THEIRS)
        with pytest.raises(HostError, match=f"^{THEIRS} exists, but cannot be read"):
            apply(root, work)
        again()
        apply(root, work)
    assert (root / THEIRS[1:]).read_text() == "theirs\n"
