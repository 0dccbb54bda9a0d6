# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of nova-compute as its files have them."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova_options import NovaOptions, read_nova
from unit.trees import fill, writable


def test_the_last_of_novas_files_wins_and_only_its_section_counts(tmp_path):
    host = writable(tmp_path)
    assert read_nova(host) == NovaOptions()
    fill(
        tmp_path,
        {
            "/etc/nova/nova.conf": "[compute]\ncpu_dedicated_set = 1-2 \ncpu_shared_set=0\n[libvirt]\ncpu_shared_set = 9\nrealtime_scheduler_priority: 2\n",
            "/etc/nova/nova.conf.d/10-cpus.conf": "[compute]\n# cpu_shared_set = 7\ncpu_dedicated_set = 3\n",
        },
    )
    found = read_nova(host)
    assert (found.dedicated, found.shared, found.priority, found.offlines) == ("3", "0", "2", False)


@pytest.mark.parametrize(
    ("text", "offlines"),
    [
        ("cpu_power_management = true", True),
        ("cpu_power_management=True\ncpu_power_management_strategy = cpu_state", True),
        ("cpu_power_management = 1\ncpu_power_management_strategy = governor", False),
        ("cpu_power_management = false", False),
        ("#cpu_power_management = true", False),
        ("cpu_power_management_strategy = cpu_state", False),
    ],
)
def test_power_management_switches_cpus_off_unless_it_uses_governors(tmp_path, text, offlines):
    host = writable(fill(tmp_path, {"/etc/nova/nova.conf": f"[libvirt]\n{text}\n"}))
    assert read_nova(host).offlines is offlines
    assert read_nova(host).power_file in ("", "/etc/nova/nova.conf")
