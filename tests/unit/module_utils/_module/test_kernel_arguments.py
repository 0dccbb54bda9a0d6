# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_arguments as Ansible runs it: its arguments, the boot loader, and the reboot that is waited for."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import kernel_arguments
from unit.calls import PARTITION
from unit.trees import documented, fill, plan, snapshot


@pytest.fixture(autouse=True)
def _documented(request):
    if "tree" in request.fixturenames:
        fill(request.getfixturevalue("tree"), documented(PARTITION))


def test_without_a_boot_loader_it_is_said_what_was_looked_for(call):
    if os.path.exists(GRUB_DEFAULTS) or os.path.exists(GRUB_CFG) or os.path.exists("/usr/sbin/grubby"):
        pytest.skip("this machine has a boot loader")
    result = call("kernel_arguments", check=True, from_partition=False)
    assert result["failed"]
    assert re.match(
        "kernel_arguments: no boot loader configuration was found: neither grubby .* nor grub-mkconfig", result["msg"]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"arguments": [1]}, r"^rt_kernel_arguments\[0\]: kernel argument 1 is not text; quote it in YAML"),
        ({"arguments": [True]}, r"kernel argument True is not text"),
        ({"arguments": [{"a": 1}]}, r"kernel argument \{'a': 1\} is not text"),
        (
            {"arguments": ["a b"]},
            r"^rt_kernel_arguments\[0\]: kernel argument 'a b': one token of .* is accepted \(one list entry per argument\)",
        ),
        ({"arguments": ["a=1", ""]}, r"^rt_kernel_arguments\[1\]: kernel argument '': one token of"),
        ({"host_arguments": ["a b"]}, r"^host_arguments\[0\]: kernel argument 'a b': one token of"),
        ({"arguments": ['a="b"']}, r"kernel argument 'a=\"b\"': one token of"),
        ({"arguments": ["a='b'"]}, r"kernel argument \"a='b'\": one token of"),
        ({"arguments": "hugepages=0:16,1:16"}, r"kernel argument '1:16' has no name .* write the arguments as a YAML list"),
        (
            {"arguments": ["rcu_nocbs=1"]},
            r"^kernel_arguments: kernel argument rcu_nocbs=1 contradicts rcu_nocbs=[\d,-]+ of the plan \(.*\); remove it, or change the variable",
        ),
        ({"arguments": ["a=1", "a=2"]}, r"kernel argument a=2 contradicts a=1 of the plan \(requested in rt_kernel_arguments\)"),
        ({"default_kernel": "'; reboot"}, r"^default_kernel: .* is not a pattern of a kernel release such as \*-rt-\*"),
        ({"nohz_full": "some"}, r"value of nohz_full must be one of"),
        ({"unknown": 1}, r"Unsupported parameters"),
    ],
)
def test_arguments_that_cannot_be_taken(refuse, arguments, said):
    message = refuse("kernel_arguments", **{"partition": to_document(plan(cores=4, threads=2)), **arguments})
    assert re.search(said, message), message


def test_a_partition_of_another_topology_is_no_plan_of_arguments(refuse):
    assert "describes another topology" in refuse("kernel_arguments", partition=PARTITION)


def test_the_admins_isolcpus_is_told_with_both_values_and_the_file(call, tree):
    fill(tree, {GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet isolcpus=2,3"\n'})
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert result["failed"]
    assert result["changed"] is False
    assert result["msg"] == (
        f"kernel_arguments: kernel arguments contradict the plan: {GRUB_DEFAULTS} has isolcpus=2,3, the plan needs "
        "isolcpus=managed_irq,domain,1-3. Remove them there, or change the variables that the plan is made from "
        "(cpu_partition_*, rt_kernel_*)"
    )
    assert snapshot(tree) == before


def test_a_reboot_is_asked_for_until_the_arguments_run(call, tree):
    result = call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")
    assert result["reboot_required"] is True
    assert "isolcpus=managed_irq,domain,1-3" in result["missing"]
    fill(tree, {"/proc/cmdline": " ".join(["BOOT_IMAGE=/x", *reversed(result["following"]["tokens"])])})
    result = call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")
    assert (result["reboot_required"], result["missing"], result["unexpected"]) == (False, [], [])
    fill(tree, {"/proc/sys/kernel/osrelease": "6.1.0-50-amd64"})
    assert call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")["reboot_required"] is True
    fill(tree, {"/proc/sys/kernel/osrelease": "6.1.0-49-rt-amd64"})  # it matches, but a newer one boots next
    assert call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")["reboot_required"] is True


def test_a_menu_that_names_no_kernel_is_refused_before_any_change(call, tree):
    fill(tree, {GRUB_CFG: "set default=0\n"})
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert (
        "the boot loader's menu names no kernel, or a variable or a condition chooses its default; repair it first"
        in result["msg"]
    )
    assert snapshot(tree) == before
    assert not (tree / DROP_IN[1:]).exists()


def test_a_boot_configuration_is_not_written_where_no_reboot_is_allowed(call, tree):
    before = snapshot(tree)
    for check in (True, False):
        refused = call("kernel_arguments", check=check, partition=PARTITION, max_disruption="guest")
        assert (refused["failed"], refused["changed"], refused["disruption"]) == (True, False, "reboot")
        assert f"{DROP_IN} (reboot)" in refused["msg"]
        assert snapshot(tree) == before


# -- a boot on trial that the node is judging -----------------------------------------------------------


class Judging:
    """A trial that the node judges for some looks."""

    def __init__(self, looks):
        self.left, self.paused = looks, []

    def __call__(self, *_given):
        return self

    def state(self):
        self.left -= 1
        return {"state": "judging" if self.left >= 0 else "confirmed", "reason": ""}

    def sleep(self, seconds):
        self.paused.append(seconds)


@pytest.mark.parametrize(("looks", "pauses"), [(0, 0), (3, 3)])
def test_the_module_waits_on_the_node_until_its_boot_is_judged(monkeypatch, tree, looks, pauses):
    trial = Judging(looks)
    monkeypatch.setattr(kernel_arguments, "_trial", trial)
    monkeypatch.setattr(kernel_arguments, "find_boot_loader", lambda *_given: SimpleNamespace(name="grub"))
    monkeypatch.setattr(kernel_arguments.time, "sleep", trial.sleep)
    edges = SimpleNamespace(host=Host(str(tree)), runner=None)
    kernel_arguments._wait_for_verdict(edges, 60)
    assert len(trial.paused) == pauses
    kernel_arguments._wait_for_verdict(edges, 0)
    assert len(trial.paused) == pauses, "0 waits for nothing"


def test_a_verdict_that_does_not_come_ends_the_wait(monkeypatch, tree):
    trial = Judging(10**6)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(kernel_arguments, "_trial", trial)
    monkeypatch.setattr(kernel_arguments, "find_boot_loader", lambda *_given: SimpleNamespace(name="grub"))
    monkeypatch.setattr(kernel_arguments, "time", SimpleNamespace(sleep=trial.sleep, monotonic=lambda: next(clock)))
    kernel_arguments._wait_for_verdict(SimpleNamespace(host=Host(str(tree)), runner=None), 60)
    assert len(trial.paused) == 5


def test_a_wait_below_zero_is_refused(refuse):
    message = refuse("kernel_arguments", partition=to_document(plan(cores=4, threads=2)), wait_s=-1)
    assert "wait_s: -1 is not a number of seconds from 0 on" in message
