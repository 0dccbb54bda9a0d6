# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""10,000 guests on 1,000 mixed hosts are placed in ten seconds and 1 GB; small fleets nearly as full as CP-SAT proves possible."""

from __future__ import annotations

import random
import resource
import statistics
import time

from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.document import plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.plan_file import to_yaml
from property.test_placement import OPTIMA, share
from unit.placing import apart, host, wish

HOSTS, GUESTS, LIMIT_S, LIMIT_MIB = 1000, 10_000, 10, 1024
KINDS = ((1, 17, 1, 65536), (2, 17, 2, 131072), (2, 33, 2, 262144), (8, 9, 1, 32768))


def test_10000_guests_on_1000_hosts(capsys):
    seed = random.Random(1)
    hosts = [host(f"kvm{number:04d}", *KINDS[number % 4], domains={"rack": f"r{number // 20}"}) for number in range(HOSTS)]
    wishes = []
    for number in range(GUESTS):
        vcpus = seed.choice((2, 3, 4, 4, 4, 6, 8))
        wishes.append(wish(f"g{number:05d}", vcpus, vcpus * seed.choice((1024, 2048, 4096))))
    names = [one.name for one in wishes]
    rules = [apart(*names[at : at + 5], name=f"rule{at}") for at in range(0, GUESTS // 2, 5)]
    start = time.process_time()
    placed = place_guests(hosts, wishes, rules)
    text = to_yaml(plan_document(placed, "inputs"))
    seconds = time.process_time() - start
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with capsys.disabled():
        print(
            f"\n{GUESTS} guests on {HOSTS} hosts: {seconds:.1f} s of a CPU, {mib} MiB, {len(placed.left)} left, plan of {len(text)} characters"
        )
    assert seconds < LIMIT_S
    assert mib < LIMIT_MIB


def test_all_of_the_table(capsys):
    shares = [share(int(number)) for number in OPTIMA]
    with capsys.disabled():
        print(
            f"\n{len(shares)} fleets: {statistics.mean(shares):.4f} of what CP-SAT places in the mean, {min(shares):.4f} at least"
        )
    assert statistics.mean(shares) >= 0.98
    assert min(shares) >= 0.95
