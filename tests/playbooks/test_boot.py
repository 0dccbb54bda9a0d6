# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial as the role rt_kernel runs it: what it says of each end, and when the BMC is asked."""

from __future__ import annotations

import re

import pytest
import yaml

STAND_IN = """#!/usr/bin/python
# WANT_JSON
import json, sys
with open(sys.argv[1]) as stream:
    given = json.load(stream)
with open({log!r}, "a") as stream:
    stream.write(json.dumps({{"module": {name!r}, **{{key: value for key, value in given.items() if key in ("address", "system", "reboot_command")}}}}) + "\\n")
with open({answers!r}) as stream:
    failed = {name!r} in json.load(stream).get("fails", [])
print(json.dumps({{"changed": not failed, "failed": failed, "msg": "Timed out waiting for last boot time check" if failed else ""}}))
"""
BMC = {"bios_address": "bmc1.example.com", "bios_username": "u", "bios_password": "p"}


@pytest.fixture(name="boot")
def _boot(nodes):
    """Run the role's boot tasks; no machine is rebooted."""
    for name in ("reboot", "bmc_reset"):
        text = STAND_IN.format(name=name, log=str(nodes.log), answers=str(nodes.answers))
        (nodes.base / "plugins" / "modules" / f"{name}.py").write_text(text)

    def boot(answers, *, first=(), **variables):
        role = {
            "ansible.builtin.include_role": {"name": "realtime.kvm.rt_kernel", "tasks_from": "boot"},
            "vars": {"__rt_kernel_boot_message": "Rebooting for a test"},
        }
        book = nodes.folder / "book.yml"
        book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": [*first, role]}]))
        return nodes.run(str(book), answers, rt_kernel_trial_timeout=-55, rt_kernel_reboot_timeout=5, **variables)

    return boot


def trial(state, reason=""):
    running = {"release": "6.1-stock", "matches": False, "tokens": []}
    return {"results": {"kernel_arguments": {"trial": {"state": state, "reason": reason}, "running": running}}}


def names(calls):
    return [call["module"] for call in calls]


@pytest.mark.parametrize("state", ["confirmed", "none"])
def test_a_node_that_is_well_is_asked_once_and_the_run_goes_on(boot, state):
    code, said, calls = boot(trial(state))
    assert code == 0, said
    assert names(calls) == ["reboot", "kernel_arguments"], said
    assert calls[1]["check"], "asking changes nothing"
    assert calls[0]["reboot_command"] == "/sbin/shutdown -r now 'Rebooting for a test'"


def test_a_node_that_has_returned_is_told_with_the_reason(boot):
    code, said, _calls = boot(trial("returned", "libvirt: does not answer"))
    assert code != 0
    assert (
        "rt_kernel: node1 is up again in its former kernel 6.1-stock and arguments, since its new boot entry failed: libvirt: does not answer"
        in said
    )
    assert "BMC" not in said


def test_a_node_whose_one_time_entry_still_waits_is_told_so(boot):
    code, said, _calls = boot(trial("unspent", "GRUB did not boot it"))
    assert code != 0
    assert (
        "node1 is up again in its former kernel 6.1-stock and arguments, and a later boot may still be the trial: GRUB did not boot it"
        in said
    )


def test_a_node_whose_old_entry_nothing_holds_any_more_is_told_so(boot):
    code, said, _calls = boot(trial("unheld", "the part is gone"))
    assert code != 0
    assert "node1 runs 6.1-stock, and its old boot entry is not held as the default any more: the part is gone" in said


def test_a_node_that_does_not_decide_is_told(boot):
    code, said, _calls = boot(trial("judging"))
    assert code != 0
    assert "rt_kernel: node1 has not judged its new boot entry in time, see journalctl -u realtime-kvm-trial" in said


def test_a_node_that_reboots_while_it_is_asked_is_asked_again(boot, nodes):
    """The wait is on the node, and ends with it."""
    path, once = nodes.base / "plugins" / "modules" / "kernel_arguments.py", nodes.folder / "once"
    dies = f'import os, sys\nif not os.path.exists("{once}"):\n    open("{once}", "w").close()\n    sys.exit(143)\n'
    path.write_text(path.read_text().replace("import json, os, sys\n", dies + "import json\n", 1))
    code, said, calls = boot(trial("returned", "it hung"))
    assert code != 0
    assert names(calls) == ["reboot", "kernel_arguments"], "the second answer"
    assert "since its new boot entry failed: it hung" in said


def test_without_a_bmc_a_node_that_does_not_answer_needs_a_hand(boot):
    code, said, calls = boot({**trial("confirmed"), "fails": ["reboot"]})
    assert code != 0
    assert names(calls) == ["reboot"]
    assert "rt_kernel: node1 did not answer within 5 s after its reboot (Timed out waiting for last boot time check)" in said
    assert "It needs a hand" in said


def test_a_node_that_does_not_answer_is_reset_by_its_bmc_and_told_so(boot):
    code, said, calls = boot({**trial("returned", "it hung"), "fails": ["reboot"]}, **BMC)
    assert code != 0
    assert names(calls) == ["reboot", "bmc_reset", "kernel_arguments"]
    assert calls[1]["address"] == "bmc1.example.com"
    assert "its new boot entry failed: it hung (its BMC reset it, since it did not answer within 5 s)" in said


def test_no_node_chooses_the_bmc_that_gets_the_password(boot):
    answers = trial("returned")
    answers["results"]["kernel_arguments"]["ansible_facts"] = {
        "bios_address": "evil.example.com",
        "bios_validate_certs": False,
        "bios_date": "x",
    }
    code, said, calls = boot({**answers, "fails": ["reboot"]}, first=[{"realtime.kvm.kernel_arguments": {}}], **BMC)
    assert code != 0
    assert names(calls) == ["kernel_arguments", "reboot"]
    assert "its BMC was not asked to reset it: the node has answered the facts bios_address, bios_validate_certs, which" in said


def test_a_bmc_that_fails_ends_the_run(boot):
    code, _said, calls = boot({**trial("returned"), "fails": ["reboot", "bmc_reset"]}, **BMC)
    assert code != 0
    assert names(calls) == ["reboot", "bmc_reset"]


@pytest.mark.parametrize("entry", ["preflight", "undo_preflight"])
def test_a_run_waits_for_a_node_that_still_judges_an_earlier_boot(boot, nodes, entry):
    """Without the end of the trial nothing would be planned; a plan in check mode waits for nothing."""
    role = {"ansible.builtin.include_role": {"name": "realtime.kvm.rt_kernel", "tasks_from": entry}}
    book = nodes.folder / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": [role]}]))
    for arguments, waits in (((), True), (("--check",), False)):
        code, said, calls = nodes.run(
            str(book), trial("judging"), *arguments, rt_kernel_trial_timeout=-55, rt_kernel_reboot_timeout=5
        )
        assert code == 0, said
        asked = [call for call in calls if call["module"] == "kernel_arguments" and call.get("from_partition") is False]
        assert bool(asked) == waits, said
        assert all(call["check"] for call in calls if call["module"] == "kernel_arguments")


RUNS = {"release": "6.1-rt", "matches": True, "tokens": []}


@pytest.mark.parametrize(
    ("kernel", "given", "asked"),
    [
        ({"running": RUNS, "following": {"release": "6.1-rt", "tokens": [], "kvm": True}}, [], False),
        ({"running": RUNS, "following": None}, [], False),
        ({"running": RUNS, "following": None, "matching_kernels": []}, [], True),  # it was removed since the boot
        ({"running": RUNS, "following": {"release": "6.1-rt", "tokens": [], "kvm": False}}, [], True),
        ({"running": {**RUNS, "matches": False}, "following": None}, [], True),
        ({"running": RUNS, "following": None}, ["linux-image-mine"], True),
    ],
)
def test_the_package_manager_is_not_asked_for_a_kernel_that_runs(nodes, kernel, given, asked):
    book = nodes.folder / "book.yml"
    role = {"ansible.builtin.import_role": {"name": "realtime.kvm.rt_kernel"}}
    book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": [role]}]))
    kernel = {"matching_kernels": ["6.1-rt"], **kernel}
    code, said, _calls = nodes.run(str(book), {"results": {"kernel_arguments": kernel}}, rt_kernel_packages=given)
    assert code == 0, said
    assert ("present" in re.findall(r'"msg": "<[^>]*> (\w+)"', said)) is asked
