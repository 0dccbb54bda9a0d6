# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory asks for: every value that no service takes is refused by the variable's name, and what the node keeps is read back."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import AnswerError
from ansible_collections.realtime.kvm.plugins.module_utils._time.wanted import TimeSyncError, parse, parse_kept
from unit.clocks import DEFAULTS, PTP

CHRONY = {"source": "chrony"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {**CHRONY, "servers": ["10.0.0.1 iburst"]},
            "time_sync_servers: '10.0.0.1 iburst' is neither a host name nor an address",
        ),
        ({**CHRONY, "servers": ["a\nallow all"]}, "time_sync_servers: 'a.*allow all' is neither"),
        ({**CHRONY, "servers": [""]}, "time_sync_servers: '' is neither"),
        ({**CHRONY, "servers": ["-x"]}, "time_sync_servers: '-x' is neither"),
        ({**CHRONY, "servers": ["fe80::1%eth0"]}, "time_sync_servers: .fe80::1%eth0. is neither"),
        ({**CHRONY, "servers": ["a", "b", "a"]}, "time_sync_servers: a is listed twice"),
        ({**CHRONY, "servers": [f"s{number}" for number in range(17)]}, "time_sync_servers: 17 servers; name at most 16"),
        ({**CHRONY, "makestep": "1"}, "time_sync_makestep: '1' is not chrony's"),
        ({**CHRONY, "makestep": "1 3\nallow"}, "time_sync_makestep"),
        ({**CHRONY, "stamping": "hardware"}, "time_sync_stamping: hardware needs time_sync_interface"),
        ({**CHRONY, "domain": 24}, "time_sync_domain, .* are PTP's"),
        ({**CHRONY, "priority": 2}, "time_sync_priority: 2 is not in 0-1; .* above realtime_priority_limit"),
        ({**CHRONY, "priority": -1}, "time_sync_priority: -1 is not in 0-1"),
        ({**CHRONY, "offset_limit_us": -1.0}, "time_sync_offset_limit_us: -1.0 is not in"),
        ({**CHRONY, "offset_limit_us": float("nan")}, "time_sync_offset_limit_us: nan is not in"),
        ({"source": "ptp"}, "time_sync_interface: PTP needs the interface"),
        ({**PTP, "interface": "eth0 -x"}, "time_sync_interface: 'eth0 -x' is neither"),
        ({**PTP, "interface": "../../etc"}, "time_sync_interface: '../../etc' is neither"),
        ({**PTP, "interface": "averylonginterface"}, "time_sync_interface"),
        ({**PTP, "servers": ["a"]}, "time_sync_servers are chrony's"),
        ({**PTP, "makestep": "1 3"}, "time_sync_makestep: '1 3' is chrony's; with PTP it is never"),
        ({**PTP, "domain": 256}, "time_sync_domain: 256 is not in 0-255"),
        ({**PTP, "transport": "UDPv5"}, "time_sync_transport: 'UDPv5' is not one of UDPv4, UDPv6, L2"),
        ({"source": "ntpd"}, "time_sync_source: 'ntpd' is no time service; choose chrony, ptp or none"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(TimeSyncError, match=message):
        parse({**DEFAULTS, **given})


@pytest.mark.parametrize(
    "given",
    [
        CHRONY,
        {
            **CHRONY,
            "servers": ["10.0.0.1", "fe80::1", "::1", "2001:db8::", "ntp-1.plant.example"],
            "makestep": "0.1 -1",
            "priority": 1,
        },
        {**CHRONY, "makestep": "never", "interface": "eth0"},
        {**PTP, "domain": 127, "transport": "L2", "delay": "P2P", "stamping": "software", "makestep": "never"},
        {**PTP, "interface": "0000:41:00.0"},
    ],
)
def test_what_is_kept_is_read_back(given):
    wanted = parse({**DEFAULTS, **given})
    assert parse_kept(wanted.text) == wanted


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"source": "chrony"}', "x"])
def test_another_text_is_no_kept_one(text):
    with pytest.raises(AnswerError):
        parse_kept(text)


def test_a_kept_text_with_a_command_in_it_is_refused():
    text = parse({**DEFAULTS, **PTP}).text.replace('"eth0"', '"eth0; reboot"')
    with pytest.raises(AnswerError, match="time_sync_interface"):
        parse_kept(text)
