# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BIOS modules on an iDRAC whose job applies the settings: it shows them before it is done, and takes no others until then."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import staging
from bmc.machine import error_of
from bmc.modules import info, stage
from bmc.replay import Bmc, make_certificate
from bmc.small import tree

#: What the baseline wants, and the machine has not from the beginning.
WANTED = {"SysProfile": "Custom", **dict.fromkeys(["ProcCStates", "ProcC1E", "MemPatrolScrub", "CorrEccSmi"], "Disabled")}
MANAGER = "/redfish/v1/managers/idrac.embedded.1"
PLACES = [f"{MANAGER}/oem/dell/jobs", f"{MANAGER}/jobs", "/redfish/v1/taskservice/tasks"]


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bmc")


@pytest.fixture(name="bmc")
def _bmc(folder, monkeypatch):
    monkeypatch.setattr(staging, "_SETTLE_PAUSE", 0.05)
    bmc = Bmc(tree(), make_certificate(folder))
    yield bmc
    bmc.close()


@pytest.fixture(name="compliant")
def _compliant(bmc):
    """A BMC of a machine that has what the baseline wants."""
    bmc.machine.attributes.update(WANTED)
    bmc.machine.stage(**WANTED)
    return bmc


def put(bmc, *states, place=PLACES[0], links=False):
    """Give the BMC jobs in these states; later calls replace them."""
    jobs = [
        {"@odata.id": f"{place}/JID_{number}", "Id": f"JID_{number}", "JobType": "BIOSConfiguration", "JobState": state}
        for number, state in enumerate(states)
    ]
    bmc.machine.tree[place] = {"Members": [{"@odata.id": one["@odata.id"]} for one in jobs] if links else jobs}
    for one in jobs if links else []:
        bmc.machine.tree[bmc.machine.key(one["@odata.id"])] = one


def ends(bmc, monkeypatch, after=2):
    """The job ends after so many waits; return these."""
    waits = []

    def sleep(_seconds):
        waits.append(1)
        if len(waits) == after:
            put(bmc, "Completed")

    monkeypatch.setattr(staging.time, "sleep", sleep)
    return waits


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("links", [False, True])
def test_a_machine_is_not_compliant_while_the_job_runs(capsys, compliant, place, links):
    assert info(capsys, compliant)["compliant"]
    put(compliant, "Completed", "Running", "Failed", place=place, links=links)
    found = info(capsys, compliant)
    assert (found["state"], found["compliant"], found["summary"]["state"]) == ("differs", False, "differs")
    assert "job JID_1 (Running) of its BMC has not ended" in found["outcome"]
    assert found["job"] == "job JID_1 (Running)"
    assert "nothing to do" not in found["table"]
    assert not found["reboot_required"]
    put(compliant, "Completed", place=place, links=links)
    found = info(capsys, compliant)
    assert (found["state"], found["job"]) == ("compliant", "")


def test_a_job_that_waits_without_settings_is_not_done_either(capsys, compliant):
    put(compliant, "Scheduled")
    assert info(capsys, compliant)["state"] == "differs"


def test_a_job_that_waits_for_settings_of_others_is_theirs(capsys, compliant):
    compliant.machine.stage(AssetTag="x")
    put(compliant, "Scheduled")
    found = info(capsys, compliant)
    assert found["state"] == "compliant"
    assert found["job"] == "job JID_0 (Scheduled)"
    put(compliant, "Running")
    assert info(capsys, compliant)["state"] == "differs"


@pytest.mark.parametrize("state", ["Running", "Scheduled"])
def test_after_a_reboot_the_job_is_waited_for(capsys, bmc, monkeypatch, state):
    first = stage(capsys, bmc)["stages"][0]
    bmc.machine.reset()
    put(bmc, state)
    waits = ends(bmc, monkeypatch)
    found = info(capsys, bmc, expect=first, settle=60)
    assert len(waits) == 2
    assert (found["job"], found["not_taken"]) == ("", [])


def test_a_job_that_does_not_end_in_time_is_named(capsys, bmc):
    first = stage(capsys, bmc)["stages"][0]
    bmc.machine.reset()
    put(bmc, "Running")
    assert info(capsys, bmc, expect=first, settle=1)["job"] == "job JID_0 (Running)"


@pytest.mark.parametrize("check", [True, False])
def test_a_stage_waits_for_a_job_that_runs(capsys, bmc, monkeypatch, check):
    put(bmc, "Running")
    waits = ends(bmc, monkeypatch)
    result = stage(capsys, bmc, settle=60, check=check)
    assert not result.get("failed"), result
    assert result["changed"]
    assert len(waits) == 2


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("state", "words"), [("Running", "has not ended within 1 s"), ("Scheduled", "waits for the next reset")])
def test_a_stage_is_refused_before_the_first_write_while_a_job_holds_the_settings(capsys, bmc, state, words, check):
    put(bmc, state)
    result = stage(capsys, bmc, settle=1, check=check)
    assert result["failed"]
    assert words in result["msg"]
    assert "bios_settle_timeout: job JID_0" in result["msg"]
    assert "racadm jobqueue delete" in result["msg"]
    assert bmc.machine.patches == []


def test_a_stage_that_waits_for_its_reboot_is_no_fault(capsys, bmc):
    assert stage(capsys, bmc)["reboot_required"]
    put(bmc, "Scheduled")
    again = stage(capsys, bmc, settle=60)
    assert (again["changed"], again["reboot_required"]) == (False, True)


COMMITTED = error_of(
    "Pending configuration values are already committed, unable to perform another set operation.", [], "IDRAC.2.8.SYS011"
)


def test_the_refusal_of_a_bmc_that_has_just_committed_is_repeated(capsys, bmc, monkeypatch):
    taken, asked = bmc.machine.patch, []

    def patch(body):
        asked.append(body)
        return (400, COMMITTED) if len(asked) < 3 else taken(body)

    monkeypatch.setattr(bmc.machine, "patch", patch)
    result = stage(capsys, bmc, settle=60)
    assert not result.get("failed"), result
    assert (result["changed"], len(asked)) == (True, 3)


def test_the_refusal_that_does_not_end_says_what_would_help(capsys, bmc, monkeypatch):
    monkeypatch.setattr(bmc.machine, "patch", lambda _body: (400, COMMITTED))
    result = stage(capsys, bmc, settle=1)
    assert result["failed"]
    assert "already committed" in result["msg"]
    assert "racadm jobqueue delete" in result["msg"]


def test_a_wrong_password_is_still_tried_once(capsys, bmc):
    assert stage(capsys, bmc, settle=60, password="wrong-password")["failed"]
    assert len(bmc.machine.requests) == 1


def test_other_makers_are_not_asked_for_jobs(capsys, folder):
    documents = tree()
    documents["/redfish/v1/Systems/1"]["Manufacturer"] = "HPE"
    bmc = Bmc(documents, make_certificate(folder))
    try:
        put(bmc, "Running")
        assert info(capsys, bmc)["job"] == ""
        assert not [path for _method, path in bmc.machine.requests if "jobs" in path or "tasks" in path]
    finally:
        bmc.close()
