# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of Open vSwitch: cycles of poll-mode threads, and ports."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import MOST_PORTS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.switch_answers import polling_samples, port_samples
from unit.watched import found

#: As pmd_info_show_stats of lib/dpif-netdev.c writes it.
STATISTICS = """\
pmd thread numa_id 0 core_id 2:
  packets received: 120
  packet recirculations: 0
  avg. datapath passes per packet: 1.00
  phwol hits: 0
  emc hits: 120
  miss with failed upcall: 0
  avg. packets per output batch: 1.00
  idle cycles: 900000 (90.00%)
  processing cycles: 100000 (10.00%)
  avg cycles per packet: 8333.33 (1000000/120)
pmd thread numa_id 0 core_id 3:
  packets received: 0
main thread:
  packets received: 5
  idle cycles: 7 (1.00%)
"""


def cycles(text):
    out = Samples()
    polling_samples(text, out)
    return found(out)


def test_cycles_of_threads_that_poll():
    assert cycles(STATISTICS) == {"pmd_busy_cycles": {("2",): 100000}, "pmd_idle_cycles": {("2",): 900000}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "rubbish",
        "pmd thread numa_id 0 core_id x:\n  idle cycles: 5\n",
        "  idle cycles: 5 (1%)\n",
        "pmd thread numa_id 0 core_id 2:\n  idle cycles: many\n",
    ],
)
def test_an_answer_of_another_form_shows_nothing(text):
    assert cycles(text) == {}


def row(name, kind, link="up", **statistics):
    return {
        "name": name,
        "type": kind,
        "link_state": link,
        "statistics": ["map", [[key, value] for key, value in statistics.items()]],
    }


def ports(*rows):
    out = Samples()
    port_samples(rows, out)
    return found(out)


def test_ports_by_kind():
    out = ports(
        row("br0", "internal", "down"),
        row("vhost-plc1", "dpdkvhostuserclient", "down", tx_dropped=5, rx_dropped=0),
        row("dpdk0", "dpdk", rx_missed_errors=7, rx_dropped=1, tx_dropped=2, rx_packets=100),
        row("tap1", "", ["set", []]),
    )
    assert out["port_up"] == {("dpdk0", "dpdk"): 1, ("vhost-plc1", "vhostuser"): 0, ("br0", "other"): 0, ("tap1", "other"): 0}
    assert out["port_rx_missed"] == {("dpdk0", "dpdk"): 7}
    assert out["port_rx_dropped"] == {("dpdk0", "dpdk"): 1, ("vhost-plc1", "vhostuser"): 0}
    assert out["port_tx_dropped"] == {("dpdk0", "dpdk"): 2, ("vhost-plc1", "vhostuser"): 5}
    assert out["ports_omitted"] == {(): 0}


def test_of_many_ports_nics_and_guests_come_first():
    out = ports(*(row(f"tap{number}", "") for number in range(1000)), row("z", "dpdk"), row("y", "dpdkvhostuser"))
    assert len(out["port_up"]) == MOST_PORTS
    assert {("z", "dpdk"), ("y", "vhostuser")} <= out["port_up"].keys()
    assert out["ports_omitted"] == {(): 1002 - MOST_PORTS}


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {**row("a", ""), "statistics": None},
        {**row("a", ""), "statistics": ["map", [["rx_dropped", "x"]]]},
        {**row("a", ""), "statistics": ["map", [1]]},
        {**row("a", ""), "statistics": []},
        "text",
        None,
    ],
)
def test_rows_of_another_form_are_an_error(bad):
    with pytest.raises(UNREADABLE):
        ports(bad)


def test_counts_below_zero_are_left_out():
    assert "port_rx_dropped" not in ports(row("a", "dpdk", rx_dropped=-1))
