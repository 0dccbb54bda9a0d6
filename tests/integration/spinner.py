# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spins on one CPU with SCHED_FIFO 1, and prints what it saw as JSON: spinner.py CPU SECONDS.

``switches``: how often it was preempted; ``gaps``: how often its clock jumped by more than so many µs; ``longest``: the longest jump in µs;
``interrupts``: what each row of /proc/interrupts counted on its CPU.

Files of /proc are read by a process on the other CPUs: reading one leaves work of the kernel on its CPU, which the fair server lets in a second later.
"""

import json
import os
import resource
import sys
import time

#: Seconds until the timers that the change of its CPU and policy leaves behind have expired.
SETTLE_S = 5
LIMITS_US = (100, 1_000, 10_000, 50_000)


def interrupts(cpu):
    with open("/proc/interrupts") as stream:
        place = stream.readline().split().index(f"CPU{cpu}")
        rows = [line.split() for line in stream]
    return {row[0].rstrip(":"): int(row[1 + place]) for row in rows if len(row) > 1 + place and row[1 + place].isdigit()}


def preempted():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def spin(cpu, seconds):
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gaps, longest, clock = dict.fromkeys(LIMITS_US, 0), 0, time.monotonic_ns
    last = clock()
    start = last + SETTLE_S * 10**9
    while clock() < start:
        pass
    switches, last = preempted(), clock()
    end = last + int(seconds * 1e9)
    while last < end:
        now = clock()
        gap = (now - last) // 1000
        if gap > LIMITS_US[0]:
            for limit in LIMITS_US:
                gaps[limit] += gap > limit
            longest = max(longest, gap)
        last = now
    return {"switches": preempted() - switches, "gaps": gaps, "longest": longest}


def main():
    cpu, seconds = int(sys.argv[1]), float(sys.argv[2])
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(spin(cpu, seconds)).encode())
        os._exit(0)
    time.sleep(SETTLE_S)
    before = interrupts(cpu)
    time.sleep(seconds)
    after = interrupts(cpu)
    os.wait()
    rows = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    print(json.dumps({**json.loads(os.read(reading, 65536)), "interrupts": rows}))


main()
