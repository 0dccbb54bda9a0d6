# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units as systemd itself reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import WatchOptions
from ansible_collections.realtime.kvm.plugins.module_utils._watch.units import unit_texts
from unit.features import PARTITION

OPTIONS = WatchOptions("/srv/metrics", 15, True, 60)


def test_without_audit_there_are_two_units():
    texts = unit_texts(PARTITION, WatchOptions("/srv/metrics", 15, False, 60))
    assert [path.rpartition("/")[2] for path in texts] == ["realtime-kvm-metrics.service", "realtime-kvm-metrics.timer"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_every_line(tmp_path):
    paths = []
    for path, text in unit_texts(PARTITION, OPTIONS).items():
        paths.append(tmp_path / path.rpartition("/")[2])
        paths[-1].write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in found.stderr.splitlines() if Path(line.partition(":")[0]) in paths]
    assert complaints == []
