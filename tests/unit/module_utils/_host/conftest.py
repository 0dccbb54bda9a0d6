# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that tests of the Host begin with."""

from __future__ import annotations

import pytest
from unit.hosts import tree


@pytest.fixture(name="root")
def _root(tmp_path):
    return tree(tmp_path)
