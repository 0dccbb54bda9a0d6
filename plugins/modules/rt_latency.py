#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure latency."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_latency
short_description: Measure the latency of a node's CPUs, or of a guest's, and return a verdict
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Runs cyclictest, oslat, hwlatdetect or rtla (timerlat, osnoise, hwnoise) on CPUs of one set of the partition, with a load generator on
    the housekeeping CPUs meanwhile.
  - The verdict is based on maxima and overflows, never on the bins of a histogram alone. A latency above the limit is a C(fail). Stalled
    threads, missing samples, an interrupted run, a clock that was set, changed frequencies, throttling, system management interrupts and a
    load that ended early make it C(inconclusive), never a C(pass). On a virtual machine the verdict is marked
    C(virtual, not a measurement of the platform).
  - Configures nothing. Tool and load run in one transient systemd unit, C(realtime-kvm-latency.service), as root; the end of the unit ends
    both. Their output is below C(/run/realtime-kvm/latency) until O(state=absent), the next run or the next boot.
  - The measurement ends by itself when no run has polled it for O(lease) seconds, so that a killed run leaves no load behind.
  - Disturbs the measured CPUs (a thread of real-time priority on each; oslat uses them completely) and the housekeeping CPUs (load). CPUs that
    a program is pinned to are not measured unless O(occupied=true).
options:
  state:
    description:
      - V(measured) measures and returns the result.
      - V(started) starts a measurement and returns; a running one with the same options is joined, any other is refused.
      - V(polled) reports the progress and, once the measurement has ended, returns the result.
      - V(absent) ends a measurement and removes its files.
    type: str
    choices: [measured, started, polled, absent]
    default: measured
  tool:
    description:
      - The tool. V(cyclictest) measures the wake-up of a thread by a timer; V(oslat), gaps in a busy loop;
        V(timerlat) and V(osnoise), the same from within the kernel; V(hwnoise) and V(hwlatdetect), gaps that hardware and firmware cause.
      - rtla's tools and V(hwlatdetect) need tracers of the running kernel.
    type: str
    choices: [cyclictest, oslat, timerlat, osnoise, hwnoise, hwlatdetect]
    default: cyclictest
  profile:
    description:
      - The duration. V(smoke), a minute, shows that measuring works; V(standard) takes an hour; V(certify) takes twelve hours and needs load,
        which RHEL 10 requires before real-time guests run on a node.
    type: str
    choices: [smoke, standard, certify]
    default: smoke
  seconds:
    description: Another duration than the profile's, in seconds. The result's profile is then C(custom).
    type: int
  cpu_set:
    description: The set of the partition to measure, without CPUs that a program is pinned to; the result names these.
    type: str
    choices: [housekeeping, dataplane, realtime, shared]
    default: realtime
  cpus:
    description:
      - The CPUs to measure, as a list such as C(4-7,12), instead of a set. A CPU in use is refused.
      - In a guest the default is its real-time vCPUs, or the CPUs that its kernel isolates.
    type: str
  occupied:
    description: Whether CPUs are measured although a program is pinned to them (a guest's vCPU, a poll-mode thread), which the measurement stalls.
    type: bool
    default: false
  load:
    description:
      - The load on the housekeeping CPUs meanwhile. V(stress-ng) loads processors, caches, system calls, processes and page faults, without
        large memory and without disk.
    type: str
    choices: [stress-ng, none]
    default: stress-ng
  limit_us:
    description:
      - The highest latency that passes, in µs. Default 40 for cyclictest and timerlat, 20 for the others. The limits of cyclictest
        and oslat are RHEL 10's, that of hwlatdetect is OpenShift's; rtla's tools have that of the tool that measures the same.
    type: float
  lease:
    description: How many seconds a measurement goes on without a run that polls it. O(state=measured) polls all the time.
    type: int
    default: 60
  guest:
    description:
      - Measure in this guest instead, which must run and have the QEMU guest agent with C(guest-exec). Tools and load run inside it.
      - With O(platform) the module already runs inside the guest, and this is its name in the result.
    type: str
  platform:
    description:
      - For a run inside a guest that is reached by SSH, the facts of its node, which is RV(platform) of a run there (O(state=absent) in check
        mode changes nothing). C(virtual) is whether the node is a virtual machine (true unless given), C(host) its name, C(partition_digest) the
        digest of its partition file.
    type: dict
  host:
    description: This node's name in the result; the node's own unless given.
    type: str
  partition:
    description: The partition, as M(realtime.kvm.cpu_partition) returns it; by default the node's partition file.
    type: dict
extends_documentation_fragment:
  - realtime.kvm.attributes.info
  - realtime.kvm.disruption
seealso:
  - module: realtime.kvm.cpu_partition_info
"""

EXAMPLES = r"""
- name: Measure the real-time CPUs for a minute, under load
  realtime.kvm.rt_latency:
  register: latency

- name: Show what a run would measure, and how
  realtime.kvm.rt_latency:
    profile: certify
  check_mode: true

- name: Start twelve hours of oslat, which end when no run polls them for a quarter of an hour
  realtime.kvm.rt_latency:
    state: started
    tool: oslat
    profile: certify
    lease: 900

- name: Poll the measurement
  realtime.kvm.rt_latency:
    state: polled
    lease: 900
  register: latency

- name: Measure in a guest, through its agent
  realtime.kvm.rt_latency:
    guest: plc1
"""

RETURN = r"""
command:
  description: The tool's command line.
  returned: when O(state) is V(measured) or V(started), also in check mode
  type: list
  elements: str
load_command:
  description: The load generator's command line; empty without load.
  returned: when O(state) is V(measured) or V(started), also in check mode
  type: list
  elements: str
cpus:
  description: The CPUs that are measured.
  returned: when known
  type: str
seconds:
  description: How long the measurement takes.
  returned: when known
  type: int
environment:
  description: The machine and the tool of the measurement (kernel, its arguments, microcode, digest of the partition, version and command line of the tool).
  returned: when O(state) is V(measured) or V(started), also in check mode
  type: dict
virtual:
  description: Whether the platform is a virtual machine.
  returned: when known
  type: bool
interval:
  description: How many seconds to wait between two polls.
  returned: when O(state) is V(measured) or V(started), also in check mode
  type: int
platform:
  description: The value of O(platform) for a run inside a guest of this node.
  returned: success
  type: dict
running:
  description: Whether a measurement runs.
  returned: success
  type: bool
finished:
  description: Whether RV(result) exists.
  returned: success
  type: bool
seconds_left:
  description: How many seconds are left of the measurement.
  returned: when O(state) is not V(absent)
  type: int
minutes_left:
  description: The same in minutes, rounded up.
  returned: when O(state) is not V(absent)
  type: int
result:
  description: The run in the format that is kept on the controller (docs/latency.md).
  returned: when RV(finished)
  type: dict
  contains:
    verdict: {description: "C(result) (pass, fail, inconclusive), C(virtual) and C(reasons).", type: dict}
    max_us: {description: The highest latency; null if nothing was measured., type: float}
    per_cpu: {description: "Minimum, average, maximum, samples and overflows of each CPU.", type: list, elements: dict}
    histogram: {description: Samples by bin and CPU., type: dict}
summary:
  description: The run in one line for people.
  returned: when RV(finished)
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Planner
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_latency import MeasuringEdges, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **LIMIT,
            "state": {"type": "str", "choices": ["measured", "started", "polled", "absent"], "default": "measured"},
            "tool": {
                "type": "str",
                "choices": ["cyclictest", "oslat", "timerlat", "osnoise", "hwnoise", "hwlatdetect"],
                "default": "cyclictest",
            },
            "profile": {"type": "str", "choices": ["smoke", "standard", "certify"], "default": "smoke"},
            "seconds": {"type": "int"},
            "cpu_set": {"type": "str", "choices": ["housekeeping", "dataplane", "realtime", "shared"], "default": "realtime"},
            "cpus": {"type": "str"},
            "occupied": {"type": "bool", "default": False},
            "load": {"type": "str", "choices": ["stress-ng", "none"], "default": "stress-ng"},
            "limit_us": {"type": "float"},
            "lease": {"type": "int", "default": 60},
            "guest": {"type": "str"},
            "platform": {"type": "dict"},
            "host": {"type": "str"},
            "partition": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    steps = Planner(check_mode=module.check_mode)
    run_module(module, "rt_latency", run, info=True, edges=partial(MeasuringEdges, steps=steps))


if __name__ == "__main__":
    main()
