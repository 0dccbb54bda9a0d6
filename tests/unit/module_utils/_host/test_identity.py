# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a kernel's file is."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.identity import identity, is_another
from unit.trees import fill


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/proc/irq/24/smp_affinity_list", ["a?b", "eth0-rx"]),
        ("/proc/irq/25/smp_affinity_list", []),
        ("/proc/irq/26/smp_affinity_list", []),
        ("/proc/irq/default_smp_affinity", []),
        ("/sys/class/net/ens1/queues/rx-0/rps_cpus", ["../../devices/x/net/ens1"]),
        ("/sys/class/net/ens2/queues/rx-0/rps_cpus", []),
        ("/proc/sys/vm/stat_interval", []),
        ("thread:kswapd0:77:1234:affinity", []),
    ],
)
def test_whose_a_file_is(tmp_path, path, found):
    fill(
        tmp_path,
        {
            "/proc/irq/24/eth0-rx/": None,
            "/proc/irq/24/a\x1bb/": None,
            "/proc/irq/24/node": "0",
            "/proc/irq/25/node": "0",
            "/sys/class/net/ens1": ("link", "../../devices/x/net/ens1"),
        },
    )
    assert identity(str(tmp_path), path) == found


@pytest.mark.parametrize(
    ("known", "now", "another"),
    [
        (["a"], ["b"], True),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["b"], False),
        (["a"], [], False),
        ([], ["a"], False),
        (None, ["a"], False),  # an entry of an earlier release
        ("a", ["b"], False),
        ([7], ["b"], True),
    ],
)
def test_another_device_has_none_of_the_names(known, now, another):
    assert is_another(known, now) is another
