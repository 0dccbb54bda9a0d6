# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of the lab that the integration tests use, and the one long run that most of them look at."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from integration.lab import Run, fingerprint, lab, playbook, ssh

NODES = os.environ.get("LAB_NODES", "node1,node2,node3").split(",")


@dataclass
class Converged:
    """Stock nodes that site.yml has made real-time nodes, and what was seen on the way."""

    nodes: list[str]
    before: dict[str, dict[str, str]]
    cmdline: dict[str, list[str]]
    check: Run
    real: Run


@pytest.fixture(scope="session")
def nodes() -> list[str]:
    """The nodes' names."""
    return NODES


@pytest.fixture(scope="session")
def converged(nodes: list[str]) -> Converged:
    """Reset the nodes to stock, predict with check mode, converge."""
    everyone = ",".join(nodes)
    lab("reset", everyone)
    lab("guests", everyone)
    before = {node: fingerprint(node) for node in nodes}
    cmdline = {node: ssh(node, "cat /proc/cmdline").split() for node in nodes}
    check = playbook("site.yml", "--check", "--diff", nodes=everyone)
    unchanged = {node: fingerprint(node) for node in nodes}
    assert unchanged == before, "check mode changed a node"
    real = playbook("site.yml", "--diff", "-vvv", nodes=everyone, timeout=1500)
    return Converged(nodes, before, cmdline, check, real)
