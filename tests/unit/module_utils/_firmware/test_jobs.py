# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a BMC's jobs still applies BIOS settings."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.jobs import MOST_JOBS, is_committed, members_of, unfinished


def job(state, kind="BIOSConfiguration", **more):
    return {"Id": "JID_1", "JobType": kind, "JobState": state, **more}


@pytest.mark.parametrize(
    "state", ["Completed", "CompletedWithErrors", "Failed", "RebootFailed", "RebootCompleted", "Cancelled", "Killed", "Exception"]
)
def test_a_job_that_has_ended_counts_no_more(state):
    assert unfinished([job(state)]) is None


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        ("Running", False),
        ("Downloading", False),
        ("Paused", False),
        ("SomethingNew", False),
        ("Scheduled", True),
        ("ScheduledWithErrors", True),
        ("ReadyForExecution", True),
        ("New", True),
    ],
)
def test_any_other_has_not_ended(state, waits):
    found = unfinished([job("Completed"), job(state)])
    assert (str(found), found.waits) == (f"job JID_1 ({state})", waits)


def test_one_that_runs_comes_before_one_that_waits():
    assert unfinished([job("Scheduled"), job("Running", Id="JID_2")]).name == "JID_2"


def test_jobs_of_another_kind_are_no_matter():
    assert unfinished([job("Running", "FirmwareUpdate"), {"Id": "x"}, {}]) is None


@pytest.mark.parametrize(
    "task",
    [
        {"Id": "JID_3", "Name": "Configure: BIOS.Setup.1-1", "TaskState": "Running"},
        {"Id": "JID_3", "TaskState": "Starting", "Oem": {"Dell": {"JobType": "BIOSConfiguration", "JobState": "Running"}}},
    ],
)
def test_a_task_of_redfish_is_known_by_its_name_or_dells_part(task):
    assert str(unfinished([task])) == "job JID_3 (Running)"


def test_what_a_bmc_sends_is_data():
    for answer in ({}, {"Members": None}, {"Members": "x"}, {"Members": [1, None, [], "x"]}, {"Members": {"a": 1}}):
        assert members_of(answer) == ([], [])
    odd = [{"Id": None, "JobType": 7, "JobState": {}, "Oem": []}, {"JobState": ["a"], "Oem": {"Dell": 3}, "Name": 1}]
    assert unfinished(odd) is None
    assert str(unfinished([job("Run\nning\x1b[2J", Id={"a": "\n"})])).isprintable()


def test_of_links_the_newest_are_read():
    links = [{"@odata.id": f"/Jobs/JID_{number:03}"} for number in range(100)]
    there, places = members_of({"Members": [job("Running"), *links]})
    assert len(there) == 1
    assert len(places) == MOST_JOBS
    assert places[0].endswith("JID_099")


def test_the_refusal_of_a_bmc_whose_job_holds_the_settings():
    assert is_committed("Pending configuration values are already committed, unable to perform another set operation.")
    assert is_committed("{'MessageId': 'IDRAC.2.8.SYS011'}")
    assert not is_committed("The value is not in the list")
