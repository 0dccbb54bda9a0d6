# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A silent guest of the lab fails a test, unless it hangs as a whole: then it is reset once, and named."""

from __future__ import annotations

import pytest
from integration import machine


class Node:
    """Answers what the tests of the lab ask: a guest that hangs for some boots, or only its network does."""

    def __init__(self, *, hangs: int = 0, mute: bool = False) -> None:
        self.hangs, self.mute, self.calls = hangs, mute, []

    def ssh(self, _node, command, **_options):
        self.calls.append(command)
        if command.startswith("virsh reset"):
            self.hangs -= 1
        return "02:00:00:00:00:01" if "domiflist" in command else ""

    def wait_for(self, _node, condition, _seconds):
        return not self.hangs and (not self.mute or "virsh list" in condition)


@pytest.fixture
def look(monkeypatch, tmp_path):
    (tmp_path / "node1").mkdir()

    def answers(node):
        monkeypatch.setattr(machine, "ssh", node.ssh)
        monkeypatch.setattr(machine, "wait_for", node.wait_for)
        monkeypatch.setattr(machine, "STATE", tmp_path)
        found = machine.answers("node1", "plc1", "br0")
        named = tmp_path / "node1" / "crashes"
        return found, named.read_text() if named.exists() else "", sum("virsh reset" in call for call in node.calls)

    return answers


def test_a_guest_that_answers_is_left_alone(look):
    assert look(Node()) == (True, "", 0)
    assert machine.resets("node1") == 0


def test_a_guest_that_hangs_is_reset_once_and_named(look):
    found, named, resets = look(Node(hangs=1))
    assert (found, resets) == (True, 1)
    assert named.startswith("guest plc1, silent")
    assert machine.resets("node1") == 1


def test_one_that_hangs_again_is_a_failure(look):
    assert look(Node(hangs=2))[::2] == (False, 1)


def test_one_that_is_alive_and_silent_is_a_failure_without_a_second_try(look, capsys):
    assert look(Node(mute=True)) == (False, "", 0)
    assert "lab: plc1 has answered its power button" in capsys.readouterr().out
