# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_power on processors from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

from unit.calls import PARTITION
from unit.loaders import field
from unit.trees import documented, fill

CPU = "/sys/devices/system/cpu"


def test_21_the_shallowest_state_beside_polling_is_admitted(call, tree):
    states = [line.split() for line in field("21")[""].splitlines() if not line.startswith("#")]
    for cpu in (1, 2, 3):
        shown = {f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "0\n"}
        for number, (name, latency) in enumerate(states):
            base = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
            shown.update({f"{base}/name": f"{name}\n", f"{base}/latency": f"{latency}\n", f"{base}/disable": "0\n"})
        fill(tree, shown)
    fill(tree, documented(PARTITION))
    result = call("cpu_power", partition=PARTITION)
    limits = {change["resource"]: change["after"] for change in result["changes"] if "pm_qos" in change["resource"]}
    assert limits == {f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "2" for cpu in (1, 2, 3)}
