# SPDX-License-Identifier: GPL-3.0-or-later
"""A BMC's jobs that apply BIOS settings. Pure.

An iDRAC shows new values in ``/Bios`` before the job that applies them has ended (libredfish, pull request 25), and takes no other
settings until then: "Pending configuration values are already committed, unable to perform another set operation" (quads #726,
iDRAC-Redfish-Scripting #249).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import plain
from .odata import last, link, listed

#: Manufacturers whose BMCs apply settings by a job, in lower case.
MAKERS = ("dell",)
#: The manager where a system does not name it, and where the jobs of a manager are: iDRAC from 4.40 on and iDRAC10, older ones.
MANAGER, JOBS = "Managers/iDRAC.Embedded.1", ("Oem/Dell/Jobs", "Jobs")
#: The jobs as Redfish's own tasks, where a manager lists none.
TASKS = "TaskService/Tasks"
#: Asks for the jobs themselves instead of links to them.
EXPAND = "?$expand=*($levels=1)"
#: Jobs that are read one by one, the newest first, where a BMC sends links.
MOST_JOBS = 16
_KIND = "biosconfiguration"
#: States of a job that has ended, well or not: Completed, CompletedWithErrors, RebootCompleted, Failed, RebootFailed (Dell); Cancelled,
#: Killed, Exception (Redfish's Task).
_ENDED = re.compile("complet|fail|cancelled|killed|exception", re.IGNORECASE)
#: States of a job that waits for the next reset. Source: nv-redfish's tests (iDRAC9 Scheduled, iDRAC10 ReadyForExecution).
_WAITING = ("scheduled", "scheduledwitherrors", "readyforexecution", "new", "pending")
#: What a BMC says while such a job holds the settings.
_COMMITTED = re.compile("already committed|SYS011", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """A job that has not ended. ``waits``: it waits for the next reset; otherwise it runs."""

    name: str
    state: str
    waits: bool

    def __str__(self) -> str:
        return f"job {self.name} ({self.state})"


def members_of(collection: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the jobs that a collection has itself, and the places of the newest others (their names are times)."""
    members = [one for one in listed(collection.get("Members")) if isinstance(one, Mapping)]
    there = [one for one in members if _state(one)]
    places = [link(one) for one in members if not _state(one)]
    return there, sorted((place for place in places if place), key=last, reverse=True)[:MOST_JOBS]


def unfinished(jobs: list[Mapping[str, Any]]) -> Job | None:
    """Return a job that has BIOS settings still to apply, a running one first; None where all have ended."""
    found = []
    for one in jobs:
        state = _state(one)
        if _KIND in _kind(one).lower() and not _ENDED.search(state):
            found.append(Job(plain(str(one.get("Id") or "without a name"), 60), plain(state, 40), state.lower() in _WAITING))
    return min(found, key=lambda job: job.waits, default=None)


def is_committed(text: str) -> bool:
    """Return whether a BMC refuses settings because a job holds others."""
    return bool(_COMMITTED.search(text))


def _dell(job: Mapping[str, Any]) -> Mapping[str, Any]:
    oem = job.get("Oem")
    found = oem.get("Dell") if isinstance(oem, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _state(job: Mapping[str, Any]) -> str:
    return str(job.get("JobState") or _dell(job).get("JobState") or job.get("TaskState") or "")


def _kind(job: Mapping[str, Any]) -> str:
    """Return a job's type; a task without one has it in its name, "Configure: BIOS.Setup.1-1"."""
    said = str(job.get("JobType") or _dell(job).get("JobType") or "")
    return said or (_KIND if "bios.setup" in str(job.get("Name") or "").lower() else "")
