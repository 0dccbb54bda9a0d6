# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flavors of nova_extra_specs, and what it refuses, before Nova's own validators.

They run where nova is installed: in this Python, or in the one that REALTIME_KVM_NOVA_PYTHON names (a virtual environment with nova
from PyPI). Nova 31 (2025.1, Debian 13) and 34 (2026.2) are those that were tried.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import SpecError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.extra_specs import check_extra_specs, check_name, check_value
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts, nova_flavor
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.nova_names import NAMES, PARAMETERS, VERSION

HERE = Path(__file__).resolve().parent
PYTHON = os.environ.get("REALTIME_KVM_NOVA_PYTHON") or (sys.executable if importlib.util.find_spec("nova") else "")

if not PYTHON:
    pytest.skip("no nova here; REALTIME_KVM_NOVA_PYTHON names a Python that has it", allow_module_level=True)

NETWORKS = [{"name": "control", "physical_network": "rt0"}, {"name": "office", "realtime": False}]
#: Names that nova 31 lacks.
NEWER = {"hw:mem_encryption_model", "hw:tpm_secret_security", "hw:sound_model", "hw:usb_model", "hw:redirected_usb_ports"}


def ask(flavors):
    """Return what Nova says of each flavor, and the number of its release."""
    command = [PYTHON, str(HERE / "nova_oracle.py")]
    done = subprocess.run(
        command,
        input=json.dumps(flavors),
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    return answer["flavors"], int(answer["version"].split(".")[0])


def guests():
    """Guests of all kinds that nova_extra_specs takes."""
    for vcpus, pages, numa, network, hosts in itertools.product(
        (1, 2, 3, 4, 8),
        ("2M", "1G"),
        ("strict", "spread"),
        ([], [{"network": "control"}]),
        (Hosts(), Hosts(1), Hosts(2, "single")),
    ):
        for mask in ("", "0", f"1-{vcpus - 1}" if vcpus > 2 else "^0", "^0", "^0-1" if vcpus > 2 else "^0", f"0-{vcpus - 1}"):
            yield (
                hosts,
                {
                    "vcpus": vcpus,
                    "realtime_vcpus": mask,
                    "memory_mib": 2048,
                    "hugepages": pages,
                    "numa": numa,
                    "networks": network,
                    "guest_os": "other",
                    "watchdog": "reset",
                    "tpm": True,
                    "secure_boot": True,
                },
            )
    for siblings, emulator in itertools.product(("realtime", "any"), ("housekeeping", "own")):
        yield (
            Hosts(2, "together"),
            {
                "vcpus": 4,
                "realtime_vcpus": "1-3" if emulator == "own" else "0-1",
                "memory_mib": 1024,
                "siblings": siblings,
                "emulator": emulator,
                "guest_os": "other",
            },
        )


def test_nova_takes_every_flavor_and_makes_the_same_of_it():
    flavors, wanted = [], []
    for hosts, guest in guests():
        try:
            flavor = nova_flavor(guest, NETWORKS, hosts=hosts, disk=1)
        except SpecError:
            continue
        flavors.append(flavor.to_dict())
        wanted.append(guest)
    assert len(flavors) > 300
    answers, _release = ask(flavors)
    for flavor, guest, answer in zip(flavors, wanted, answers):
        specs = flavor["extra_specs"]
        assert (answer["names"], answer["together"]) == ({}, ""), (guest, specs)
        mask = specs.get("hw:cpu_realtime_mask") or (format_cpulist(range(flavor["vcpus"])) if "hw:cpu_realtime" in specs else "")
        assert format_cpulist(answer["realtime"]) == format_cpulist(answer["pinned"]) == mask, (guest, specs, answer)
        assert answer["cells"] == int(specs["hw:numa_nodes"])


#: Values by name, right and wrong ones.
VALUES = {
    "hw:cpu_policy": ["dedicated", "mixed", "shared", "pinned"],
    "hw:cpu_realtime": ["true", "yes", "1", "false", "sometimes"],
    "hw:cpu_realtime_mask": ["^0", "^1", "^0-1", "0", "1-2", "0-3,^1", "1,3", "a", "9", "^0-3", "2-1", "^9"],
    "hw:cpu_dedicated_mask": ["1", "^0", "0-3", "1-2", "b"],
    "hw:emulator_threads_policy": ["share", "isolate", "shared"],
    "hw:cpu_thread_policy": ["prefer", "isolate", "require", "never"],
    "hw:mem_page_size": ["large", "2048", "1048576", "2MB", "2 MB", "1GiB", "huge"],
    "hw:numa_nodes": ["1", "2", "0", "-1", "two"],
    "hw:locked_memory": ["true", "no", "maybe"],
    "hw:pmu": ["false", "0", "off", "nope"],
    "resources:VCPU": ["4"],
    "resources:PCPU": ["4"],
    "trait:CUSTOM_REALTIME_KVM": ["required", "forbidden", "require"],
    "trait:HW_CPU_HYPERTHREADING": ["required", "forbidden"],
    "hw:cpu_polcy": ["dedicated"],
    "hw:emulator_thread_policy": ["share"],
    "quota:cpu_shares": ["100", "-5"],
}


def test_what_is_taken_here_nova_takes_and_what_nova_refuses_is_refused_here():
    """House rules refuse more; each refusal that Nova does not share must be one of them."""
    chance = random.Random(15)
    flavors = []
    for _number in range(3000):
        names = chance.sample(sorted(VALUES), chance.randint(1, 6))
        specs = {name: chance.choice(VALUES[name]) for name in names}
        flavors.append({"vcpus": 4, "ram": 2048, "disk": 0, "extra_specs": specs})
    answers, _release = ask(flavors)
    taken, strict = 0, set()
    for flavor, answer in zip(flavors, answers):
        specs = flavor["extra_specs"]
        nova = str(answer["names"] or "") + answer["together"]
        try:
            check_extra_specs(specs, 4)
            ours = ""
            taken += 1
        except SpecError as error:
            ours = str(error)
        if nova and "NUMATopology" not in nova:  # how memory and vCPUs are parted is said when the flavor is made of a guest
            assert ours, (specs, nova)
        elif ours:
            strict.add(ours.split(" ", 1)[0] + " " + ours.rsplit(" ", 3)[-1])
            assert any(rule in ours for rule in HOUSE_RULES), (specs, ours)
    assert taken > 100
    assert strict


#: Where this collection refuses what Nova takes, and gives no real-time instance.
HOUSE_RULES = (
    "says which CPUs the vCPUs take",  # resources:VCPU and PCPU, also alone
    "needs hw:cpu_realtime_mask or hw:cpu_dedicated_mask",  # mixed of which nothing is mixed: Nova takes it where an emulator policy is given
    "so none is mixed in",
    "may give a real-time instance small pages",
    "so a real-time instance has small pages",
    "is ignored by Nova",  # a mask without hw:cpu_realtime
    "names vCPU",  # Nova says that only of masks that it uses
    "leaves no vCPU",
    "counts downwards",
)


def test_every_name_of_the_table_and_its_pattern_is_novas():
    flavors, release = [], 0
    for name, rule in NAMES.items():
        plain = name
        for part, value in (
            ("{group}", "1"),
            ("{key}", "x"),
            ("{filter}", ":a"),
            ("{num}", "0"),
            ("{trait}", "X"),
            ("{resource}", "X"),
        ):
            plain = plain.replace(part, value)
        assert (name in PARAMETERS) == (plain != name)
        value = rule["enum"][0] if "enum" in rule else {"bool": "true", "int": str(rule.get("min", 1))}.get(rule["type"], "0")
        value = {"pci_passthrough:alias": "a:1"}.get(plain, value)
        check_name(plain)
        check_value(plain, value)
        flavors.append({"vcpus": 1, "ram": 64, "disk": 0, "extra_specs": {plain: value}})
    answers, release = ask(flavors)
    unknown = {name for answer in answers for name in answer["names"]}
    assert unknown == (set() if release >= int(VERSION.split(".", maxsplit=1)[0]) else unknown & NEWER if release < 34 else set())
