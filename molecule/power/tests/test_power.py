# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power management of a running node. A virtual one has no cpufreq: what it lacks is passed over."""

import json

ISOLATED = {2, 3, 4, 5, 8, 9, 10, 11}


def test_isolated_cpus_stay_awake_and_the_others_may_sleep(host):
    for cpu in range(12):
        limit = host.check_output(f"cat /sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us")
        # 0 means "no limit" in this file
        assert limit == ("1" if cpu in ISOLATED else "0"), cpu


def test_choice_is_kept_for_the_boot_service(host):
    options = json.loads(host.file("/etc/realtime-kvm/cpu_power.json").content_string)
    assert options == {"governor": "performance", "turbo": "keep", "cstates": "C1"}


def test_governor_is_performance_where_there_is_one(host):
    governors = host.run("cat /sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
    assert set(governors.stdout.split()) <= {"performance"}
