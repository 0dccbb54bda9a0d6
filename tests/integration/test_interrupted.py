# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed between two tasks, and a node that loses power while its boot loader is written.

One node goes through all interruptions in a row; after the last, an ordinary run ends in the verified state.
"""

from __future__ import annotations

import threading

import pytest
from integration.conftest import NODES
from integration.lab import lab, playbook, ssh, wait_for

NODE = NODES[-1]  # the one that boots fastest


@pytest.fixture(scope="module")
def stock() -> str:
    """A stock node, and how many tasks a run on it has."""
    lab("reset", NODE)
    lab("guests", NODE)
    return NODE


def test_runs_killed_between_tasks_and_power_cuts_end_in_the_verified_state(stock: str) -> None:
    plan = playbook("site.yml", "--check", nodes=stock)
    changed = [event["task"] for event in plan.events if event.get("changed")]
    starts = {event["task"]: event["number"] for event in plan.events if event["event"] == "start"}
    # killed before each task that changes something, in their order: each run gets one step further
    for task in changed[1:-1]:
        killed = playbook("site.yml", nodes=stock, kill_at=starts[task], ok=None)
        assert killed.code == -9, killed.output[-2000:]

    # power cut while the menu is being generated (the drop-in is there, the draft is being written), then just after
    for condition in ("pgrep -f '[g]rub-mkconfig' >/dev/null", "test -e /etc/default/grub.d/99-realtime-kvm.cfg"):
        ssh(stock, "rm -f /etc/default/grub.d/99-realtime-kvm.cfg; sync")
        runner = threading.Thread(
            target=playbook, args=("site.yml",), kwargs={"nodes": stock, "ok": None, "extra": {"realtime_reboot_allowed": False}}
        )
        runner.start()
        assert wait_for(stock, condition, 300), condition
        lab("power", stock, lab_action="cut")
        runner.join(300)
        lab("power", stock, lab_action="on")

    final = playbook("site.yml", nodes=stock, timeout=1200)
    assert "no finding: the machine is as it should be" in final.output
    assert "PREEMPT_RT" in ssh(stock, "uname -v")
    assert playbook("site.yml", nodes=stock).changes(stock) == []
    assert (
        ssh(
            stock, "find /etc /boot /usr/local /var/lib/realtime-kvm -name '.realtime-kvm-*' -o -name 'grub.cfg.realtime-kvm*'"
        ).strip()
        == ""
    )
