# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that tests of the Host begin with."""

from __future__ import annotations

import shutil

import pytest
from unit.hosts import tree


@pytest.fixture(name="root")
def _root(tmp_path):
    return tree(tmp_path)


@pytest.fixture(name="commands")
def _commands():
    return []


@pytest.fixture(name="runner")
def _runner(commands):
    """Runs nothing, and keeps what it was asked to run."""

    def run(command):
        commands.append(" ".join(command))
        return 0, "fine\n", "a warning"

    return run


def copies(tmp_path, root):
    number = 0
    while True:
        target = tmp_path / f"copy{number}"
        shutil.copytree(root, target, symlinks=True)
        yield target
        number += 1


@pytest.fixture(name="another")
def _another(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    made = copies(folder, root)
    return lambda: next(made)
