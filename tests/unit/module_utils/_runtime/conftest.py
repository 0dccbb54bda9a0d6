# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node that tests of features begin with."""

from __future__ import annotations

import pytest
from unit.features import KNOBS
from unit.trees import fill, machine_files


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {**machine_files(isolated="1-3"), **KNOBS, "/var/lib/": None, "/run/": None})
