# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of other hosts as an action reads them: raw, and as plain data."""

from __future__ import annotations

import pathlib

from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data, variables_of


def test_no_template_of_an_answer_is_worked_out():
    class HostVars(dict):
        def raw_get(self, host):
            return {"result": "{{ secret }}", "host": host}

    assert variables_of(HostVars(h1={"result": "worked out"}), "h1") == {"result": "{{ secret }}", "host": "h1"}
    assert variables_of({"h1": {"a": 1}}, "h1") == {"a": 1}


def test_plain_data_has_no_type_of_its_own():
    class Tagged(str):
        pass

    found = plain_data({Tagged("a"): [Tagged("b"), pathlib.PurePosixPath("/c")], "n": None})
    assert found == {"a": ["b", "/c"], "n": None}
    assert {type(found["a"][0]), type(next(iter(found)))} == {str}
