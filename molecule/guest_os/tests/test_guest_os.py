# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that was set up as the inside of a guest."""

import json


def test_the_sets_are_those_of_the_definition(host):
    document = json.loads(host.file("/etc/ansible/facts.d/realtime_partition.fact").content_string)
    assert document["sets"]["realtime"]["cpus"] == "2-5"
    assert document["sets"]["housekeeping"]["cpus"] == "0-1,6-11"
    assert document["guest"]["idle"] == "halt"


def test_a_node_that_was_not_asked_gives_no_clock(host):
    assert not host.file("/etc/modules-load.d/realtime-kvm-guest.conf").exists
