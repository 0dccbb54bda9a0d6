# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the node: their output or their last words."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.runner import run_checked, systemctl


def test_a_programs_output_is_returned(runner, commands):
    assert run_checked(runner, ["show", "it"]) == "fine\n"
    assert commands == ["show it"]


@pytest.mark.parametrize(
    ("out", "err", "words"),
    [
        ("", " no right \n", "no right"),
        ("said on stdout\n", "", "said on stdout"),
        ("out", "err", "err"),
        ("", "x" * 900, "x" * 500),
    ],
)
def test_a_program_that_fails_is_named_with_its_last_words(out, err, words):
    with pytest.raises(HostError) as error:
        run_checked(lambda _command: (3, out, err), ["show", "it"])
    assert str(error.value) == f"show it failed with exit code 3: {words}"


def test_systemctl_gets_its_arguments_and_fails_in_words(runner, commands):
    systemctl(runner, "disable", "--now", "x.service")
    assert commands == ["systemctl disable --now x.service"]
    with pytest.raises(HostError, match=r"^systemctl stop x failed with exit code 5: not loaded$"):
        systemctl(lambda _command: (5, "", "not loaded"), "stop", "x")
