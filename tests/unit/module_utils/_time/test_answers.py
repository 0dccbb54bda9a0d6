# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services say of themselves, as chrony 4.3 and linuxptp 3.1 printed it, and what they may say otherwise."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._time.answers import (
    State,
    chrony_state,
    heard_master,
    heard_servers,
    phc_state,
    ptp_state,
)

TRACKING = "0A630001,10.99.0.1,6,1796023731.835406150,-0.000002508,0.000000310,0.000002046,-0.046,0.008,0.642,0.000007695,0.000004566,1.0,Normal\n"
SOURCES = (
    "^,*,10.99.0.1,5,0,377,1,0.000000702,0.000001012,0.000004644\n"
    "^,?,10.99.0.9,0,6,0,4294967295,0.000000000,0.000000000,0.000000000\n"
)
ALONE = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n"
)
TIME = """sending: GET TIME_STATUS_NP
sending: GET PORT_DATA_SET
	22ac94.fffe.4d36f4-0 seq 0 RESPONSE MANAGEMENT TIME_STATUS_NP 
		master_offset              1111
		ingress_time               1796023702340640775
		gmPresent                  true
		gmIdentity                 82d059.fffe.3d72c4
	22ac94.fffe.4d36f4-1 seq 1 RESPONSE MANAGEMENT PORT_DATA_SET 
		portIdentity            22ac94.fffe.4d36f4-1
		portState               SLAVE
"""  # noqa: W291
PHC = "phc2sys[12.3]: CLOCK_REALTIME phc offset      -123 s2 freq   -1234 delay   1500\n"


def test_chrony():
    assert chrony_state(TRACKING + SOURCES) == State(True, "10.99.0.1", 6, pytest.approx(-2.508))
    assert chrony_state(ALONE + SOURCES) == State(False, why="it follows none of 2 sources, of which 1 answer")


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon\n", "a,b\n", ALONE.replace(",", ";")])
def test_another_answer_of_chrony_is_no_state(text):
    assert chrony_state(text) == State(False, why="chronyc gives no answer that is known")


@pytest.mark.parametrize("number", ["nan", "inf", "x", ""])
def test_a_number_that_is_none_is_no_offset(number):
    assert chrony_state(TRACKING.replace("-0.000002508", number)).offset_us is None


def test_ptp():
    assert ptp_state(TIME) == State(True, "82d059.fffe.3d72c4", 0, 1.111)
    waiting = ptp_state(TIME.replace("SLAVE", "UNCALIBRATED"))
    assert waiting == State(False, "82d059.fffe.3d72c4", why="its port is UNCALIBRATED, grandmaster 82d059.fffe.3d72c4")
    assert ptp_state(TIME.replace("true", "false")).why == "its port is SLAVE, no grandmaster is heard"
    assert ptp_state("sending: GET TIME_STATUS_NP\n") == State(False, why="ptp4l does not answer pmc")


def test_phc2sys():
    assert phc_state(PHC) == State(True, offset_us=-0.123)
    assert phc_state(PHC.replace("s2", "s0")).why == "phc2sys does not steer the clock yet"
    assert phc_state(PHC.replace("phc offset", "sys offset")).synchronised
    assert phc_state("Waiting for ptp4l...\n").why == "phc2sys has not compared the clocks yet"


def test_whether_a_source_has_answered():
    assert heard_master("ptp4l[572.517]: master offset        623 s0 freq     -56 path delay      1430\n")
    assert heard_master("ptp4l[21.7]: rms  923 max 1300 freq  -5512 +/- 310 delay   1405 +/-   0\n"), "several a second"
    assert not heard_master("ptp4l[570.523]: selected best master clock 82d059.fffe.3d72c4\n")
    assert heard_servers("2026-11-30T07:28:02Z System clock wrong by -0.000084 seconds (ignored)\n") == -0.000084
    assert heard_servers("2026-11-30T07:28:06Z Timeout reached\n") is None


def test_a_chrony_that_follows_its_own_clock_follows_nothing():
    state = chrony_state(f"7F7F0101,,10,1796023731.8,{'0.0,' * 9}Normal\n{SOURCES.splitlines()[1]}\n")
    assert not state.synchronised
    assert state.why == "it follows none of 1 source, of which 0 answer, but its own clock (local in its configuration)"
