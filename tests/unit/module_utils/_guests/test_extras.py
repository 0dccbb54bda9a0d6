# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watchdog, TPM, panic device and serial log: given, taken as they are, and taken away again."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from unit.domains import at, changed, made, merged

GIVEN = {"watchdog": {"watchdog": "reset"}, "tpm": {"tpm": True}, "panic": {"on_crash": "restart"}}


@pytest.mark.parametrize("name", GIVEN)
def test_a_device_comes_with_its_key_and_goes_with_it(name):
    before = made()
    after = parse(to_text(merged(before, **GIVEN[name])))
    assert f"devices/{name}" in changed(before, after)
    assert changed(after, merged(after, **GIVEN[name])) == []
    assert merged(after).find(f"devices/{name}") is None


@pytest.mark.parametrize("name", GIVEN)
def test_a_device_that_is_there_is_taken_as_it_is(name):
    device = {
        "watchdog": "<watchdog model='i6300esb' action='reset'/>", "tpm": "<tpm model='tpm-tis'><backend type='passthrough'/></tpm>",
        "panic": "<panic model='pvpanic'/>",
    }[name]  # fmt: skip
    tree = parse(to_text(made()).replace("</devices>", f"{device}</devices>"))
    assert not [item for item in changed(tree, merged(tree, **GIVEN[name])) if item.startswith("devices/")]


def test_all_watchdogs_have_one_action():
    tree = parse(to_text(made()).replace("</devices>", "<watchdog model='itco' action='reset'/></devices>"))
    after = merged(tree, watchdog="pause")
    assert [(item.get("model"), item.get("action")) for item in after.findall("devices/watchdog")] == [
        ("itco", "pause"),
        ("i6300esb", "pause"),
    ]
    assert [item.get("model") for item in merged(after).findall("devices/watchdog")] == ["itco"]


def test_the_serial_port_is_logged_by_virtlogd():
    after = parse(to_text(merged(made(), serial_log=True)))
    for kind in ("serial", "console"):
        assert at(after, f"devices/{kind}/log") == {"file": "/var/log/libvirt/qemu/plc1-serial.log", "append": "on"}
    assert changed(after, merged(after, serial_log=True)) == []
    assert merged(after).findall("devices/*/log") == []


def test_a_log_of_somebody_else_stays():
    tree = parse(to_text(made()).replace('<target port="0" />', '<target port="0" /><log file="/x" />'))
    assert changed(tree, merged(tree)) == []
