# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/settings.md lists the settings, thread rules and interrupt files of the code."""

from __future__ import annotations

import itertools
import re

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_mask
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.policies import POLICY_NAMES
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import (
    THREAD_RULES,
    THROTTLING_CHOICES,
    runtime_settings,
    uncore_setting,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power_settings import AWAKE, IdleLimit, power_settings
from unit.documents import PARTITION, code_of, table, text_of

SETTING_HEADER = ["File", "Value", "Reason", "Disturbs", "Class", "Source"]


def coded_settings():
    found = set()
    settings = [
        setting
        for throttling in THROTTLING_CHOICES
        for servers in (False, True)
        for setting in runtime_settings(PARTITION, throttling, servers=servers)
    ]
    for limit, turbo, performance in itertools.product((IdleLimit("<limit>", "<state>"), AWAKE), ("keep", "off"), (True, False)):
        settings += power_settings(PARTITION, limits=dict.fromkeys(range(12), limit), turbo=turbo, performance=performance)
    settings.append(uncore_setting("/sys/devices/system/cpu/intel_uncore_frequency/<die>", "<max_freq_khz>"))
    for setting in settings:
        path = re.sub(r"/cpu\d+/", "/cpu<N>/", setting.path)
        value = "<ordinary>" if setting.value == format_mask(PARTITION.unisolated) else setting.value
        found.add((path, value, setting.reason, setting.disturbs, setting.disruption, setting.source))
    return found


def test_documented_settings_are_those_of_the_code():
    """Where the code names no source, the page may."""
    coded = coded_settings()
    sources = {setting[0]: setting[5] for setting in coded}
    documented = [
        (code_of(path), code_of(value), reason, disturbs, disruption, sources.get(code_of(path)) and source)
        for path, value, reason, disturbs, disruption, source in table("docs/settings.md", SETTING_HEADER)
    ]
    assert sorted(documented, key=str) == sorted(coded, key=str)
    assert all(row[5] for row in table("docs/settings.md", SETTING_HEADER))


def test_documented_thread_rules_are_those_of_the_code():
    rows = table("docs/settings.md", ["Thread (regular expression)", "Policy", "Reason", "Source"])
    documented = [(code_of(pattern), policy, reason, source) for pattern, policy, reason, source in rows]
    coded = [(rule.pattern, f"{POLICY_NAMES[rule.policy]} {rule.priority}", rule.reason, rule.source) for rule in THREAD_RULES]
    assert documented == coded


def test_documented_interrupt_files_are_those_of_the_code():
    source = "".join(
        text_of(f"plugins/module_utils/_interrupts/{name}.py") for name in ("interrupts", "irqbalance", "steering", "watcher")
    )
    rows = table("docs/settings.md", ["File", "Value", "Reason", "Class"])
    shown = {"/proc/irq/<n>": "/proc/irq/{interrupt.number}", "<interface>": "*", "rx-<n>": "rx-*"}
    paths = [code_of(row[0]) for row in rows]
    for documented, coded in shown.items():
        paths = [path.replace(documented, coded) for path in paths]
    assert len(paths) == 6
    assert [path for path in paths if path not in source] == []
