# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's GRUB files as sh reads them: whose a token is, and which file drops ours."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_shell import GrubSettings, parse_reading, reading_script
from unit.trees import fill

BASE, OURS = "/etc/default/grub", "/etc/default/grub.d/99-realtime-kvm.cfg"
BEFORE, AFTER = "/etc/default/grub.d/50-a.cfg", "/etc/default/grub.d/z-b.cfg"


def read(root, files):
    fill(root, files)
    ran = subprocess.run(
        ["sh", "-c", reading_script({name: f"{root}{name}" for name in files}, OURS)], check=False, capture_output=True, text=True
    )
    return parse_reading(ran.stdout, OURS) if ran.returncode == 0 else ran.stderr


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ('GRUB_DEFAULT=0\n#GRUB_CMDLINE_LINUX_DEFAULT="isolcpus=1"\n', []),
        ('GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\nGRUB_CMDLINE_LINUX=""\n', ["quiet", "splash"]),
        ('GRUB_CMDLINE_LINUX_DEFAULT="b"\nGRUB_CMDLINE_LINUX="a"\n', ["a", "b"]),
        ("GRUB_CMDLINE_LINUX='a=1 b'\n", ["a=1", "b"]),
        ("  export GRUB_CMDLINE_LINUX=quiet\n", ["quiet"]),
        ('GRUB_CMDLINE_LINUX_DEFAULT="${GRUB_CMDLINE_LINUX_DEFAULT} isolcpus=1"\n', ["isolcpus=1"]),
        ('GRUB_CMDLINE_LINUX="dyndbg=\\"file x +p\\" ro"\n', ['"dyndbg=file x +p"', "ro"]),
        ('GRUB_CMDLINE_LINUX="a \\\n  isolcpus=1"\n', ["a", "isolcpus=1"]),
        ('GRUB_CMDLINE_LINUX="a\n  b"\n', ["a", "b"]),
        ('GRUB_CMDLINE_LINUX_RECOVERY="single"\nGRUB_CMDLINE_XEN="x"\n', []),
        ('if true; then GRUB_CMDLINE_LINUX=a; else GRUB_CMDLINE_LINUX=b; fi\necho "GRUB_CMDLINE_LINUX=c"\n', ["a"]),
        ("GRUB_CMDLINE_LINUX='a $vt_handoff'\n", ["a"]),
    ],
)
def test_tokens_of_the_administrator(tmp_path, text, tokens):
    found = read(tmp_path, {BASE: text})
    assert found == GrubSettings({BASE: tokens} if tokens else {}, variables=found.variables)
    assert found.variables == (("$vt_handoff",) if "handoff" in text else ())


def test_a_token_belongs_to_the_first_file_that_has_it(tmp_path):
    files = {
        BASE: 'GRUB_CMDLINE_LINUX_DEFAULT="dead"\n',
        BEFORE: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        AFTER: 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"\n',
    }
    assert read(tmp_path, files) == GrubSettings({AFTER: ["b"], BEFORE: ["quiet"]})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({AFTER: "GRUB_CMDLINE_LINUX_DEFAULT=x\n"}, (AFTER, "", False)),
        ({AFTER: "GRUB_DEFAULT=0\n"}, ("", AFTER, False)),
        ({BEFORE: "GRUB_CMDLINE_LINUX_DEFAULT=x\nGRUB_DEFAULT=0\n"}, ("", "", False)),
        ({AFTER: 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT x"\n'}, ("", "", False)),
        ({BEFORE: 'GRUB_CMDLINE_LINUX_DEFAULT="-- x"\n'}, ("", "", True)),
        ({AFTER: 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT -- x"\n'}, ("", "", False)),
    ],
)
def test_what_becomes_of_ours(tmp_path, files, said):
    found = read(tmp_path, {BASE: "", **files})
    assert (found.tokens_dropped_by, found.default_dropped_by, found.behind_dashes) == said


def test_a_file_that_fails_ends_the_reading(tmp_path):
    assert "nosuch" in read(tmp_path, {BASE: "nosuch\n"})
    assert parse_reading("", OURS) == GrubSettings({})
