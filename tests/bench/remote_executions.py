# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what site.yml runs on a node, over ssh, when it converges a stock node and when nothing is to be done."""

from __future__ import annotations

import sys

from integration.conftest import NODES
from integration.lab import Run, lab, playbook

#: The most remote executions that an unchanged host may cost: the look, which plans all of its layers and audits it, and the try to start it there, which
#: finds nothing in the first run after a change of release. A node as planned takes no part in the rest. A run that converges a stock node also asks for
#: packages, changes its layers one by one, and reboots.
#: tests/playbooks/test_cost.py counts the same without a lab.
UNCHANGED, COLD = 2, 25


def main() -> None:
    """Print the table; fail when a run costs more than its limit."""
    everyone = ",".join(NODES)
    lab("reset", everyone)
    lab("guests", everyone)
    runs: dict[str, Run] = {}
    for name in ("check", "cold", "unchanged", "again"):
        arguments = ["--check"] if name == "check" else []
        runs[name] = playbook("site.yml", "-vvv", *arguments, nodes=everyone, timeout=1800)
    print(f"site.yml on {len(NODES)} host(s): {everyone}")
    print(f"{'run':<10} {'remote executions per host':>27} {'tasks changed':>14} {'seconds':>8}")
    for name, run in runs.items():
        changed = sum(len(run.changes(node)) for node in NODES)
        print(f"{name:<10} {run.remote_executions(len(NODES)):>27} {changed:>14} {run.seconds:>8.0f}")
    for name, most in (("unchanged", UNCHANGED), ("again", UNCHANGED), ("cold", COLD)):
        cost = runs[name].remote_executions(len(NODES))
        if cost > most:
            print(*(f"{count:>4} {task}" for task, count in runs[name].by_task().items()), sep="\n")
            sys.exit(f"{name}, {everyone} cost {cost} remote executions a host, more than {most}")


if __name__ == "__main__":
    main()
