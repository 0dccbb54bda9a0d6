# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text is printed as text, except into a document of another callback."""

from __future__ import annotations

import pytest
from ansible import constants
from ansible_collections.realtime.kvm.plugins.plugin_utils._show import show


@pytest.mark.parametrize(
    ("callback", "said"),
    [("default", "\na  b\nc\n"), ("awx_display", "\na  b\nc\n"), ("json", ""), ("ansible.posix.jsonl", "")],
)
def test_lines_are_shown_as_they_are(monkeypatch, capsys, callback, said):
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    left = show(["a  b", "c"])
    assert capsys.readouterr().out == said
    assert left == ([] if said else ["a  b", "c"])
