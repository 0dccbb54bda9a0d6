# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what site.yml runs on a node, over ssh, when it converges a stock node and when nothing is to be done."""

from __future__ import annotations

import sys

import yaml
from integration.conftest import NODES
from integration.lab import INVENTORY, Run, lab, playbook

#: The most remote executions that an unchanged host may cost: each module once to plan (CPU sets, power, interrupts, kernel), the
#: question for the distribution, and the audit; with guests also those of host, switch and guests. A node as planned takes no part in the rest.
#: tests/playbooks/test_cost.py counts the same without a lab.
NODE, GUESTS = 6, 3


def limit(node: str) -> int:
    """Return how many remote executions an unchanged node may cost."""
    path = INVENTORY.parent / "host_vars" / f"{node}.yml"
    variables = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return NODE + (GUESTS if variables.get("realtime_guests") else 0)


def main() -> None:
    """Print the table; fail when an unchanged run costs more than the limit."""
    everyone = ",".join(NODES)
    lab("reset", everyone)
    lab("guests", everyone)
    runs: dict[str, Run] = {}
    for name in ("check", "cold", "unchanged"):
        arguments = ["--check"] if name == "check" else []
        runs[name] = playbook("site.yml", "-vvv", *arguments, nodes=everyone, timeout=1800)
    print(f"site.yml on {len(NODES)} host(s): {everyone}")
    print(f"{'run':<10} {'remote executions per host':>27} {'tasks changed':>14} {'seconds':>8}")
    for name, run in runs.items():
        changed = sum(len(run.changes(node)) for node in NODES)
        print(f"{name:<10} {run.remote_executions(len(NODES)):>27} {changed:>14} {run.seconds:>8.0f}")
    cost, most = runs["unchanged"].remote_executions(), sum(map(limit, NODES))
    if cost > most:
        sys.exit(f"unchanged, {everyone} cost {cost} remote executions, more than {most}")


if __name__ == "__main__":
    main()
