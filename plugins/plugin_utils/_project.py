# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of the project that a run belongs to, where results are kept unless a folder is given. Edge.

The working directory does not show it: cron starts in a home directory, AWX and systemd in others, some in the root of the file system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible import constants

#: Folders that belong to no project.
_SHARED = ("/", "/etc", "/etc/ansible")
#: The collection's own playbooks.
OWN = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "playbooks"))


def results_folder(given: str, variables: Mapping[str, Any], name: str, option: str) -> str:
    """Return the folder that is given, or ``results/<name>`` in the project's; a relative one is below the project's too.

    ``ValueError`` names the option where the project's folder is needed and cannot be found.
    """
    if os.path.isabs(given):
        return os.path.normpath(given)
    project = project_folder(
        str(variables.get("playbook_dir") or ""),
        [str(source) for source in variables.get("ansible_inventory_sources") or ()],
        str(constants.CONFIG_FILE or ""),
    )
    if not project:
        raise ValueError(
            f"{option}: the folder {given or f'results/{name}'} is below the project's, which neither the playbook, nor ansible.cfg, nor the inventory "
            f"shows; set {option} to an absolute path"
        )
    return os.path.normpath(os.path.join(project, given or os.path.join("results", name)))


def project_folder(playbook_dir: str, sources: Sequence[str], config: str) -> str:
    """Return the project's folder, an empty text where none is found.

    It is that of the playbook, or the one above with the ``ansible.cfg`` in use. The collection's own playbooks are in no project; then it is the
    folder of that ``ansible.cfg``, else that of the inventory - outside of a folder that Ansible reads as inventory, since it would read the results too.
    """
    configured = os.path.dirname(os.path.abspath(config)) if os.path.basename(config) == "ansible.cfg" else ""
    configured = "" if configured in _SHARED else configured
    folder = os.path.abspath(playbook_dir) if playbook_dir else ""
    if configured and (folder + "/").startswith(configured + "/"):
        return configured
    # Ansible names it without links, so that of a clone below collections/ is the clone's
    ours = not folder or os.path.realpath(folder) == OWN or bool(re.search(r"(^|/)ansible_collections(/|$)", folder))
    if ours and (found := configured or _of_inventory(sources)):
        return found
    if not folder or re.search(r"(^|/)ansible_collections(/|$)", folder):
        return ""
    folder = os.path.dirname(folder) if os.path.basename(folder) == "playbooks" else folder
    return "" if folder in _SHARED else folder


def _of_inventory(sources: Sequence[str]) -> str:
    folders = [os.path.abspath(source) for source in sources if os.path.isdir(source)]
    for source in sources:
        if "," in source or not os.path.exists(source):
            continue
        folder = os.path.dirname(os.path.abspath(source))
        for read in sorted(folders, key=len, reverse=True):
            if (folder + "/").startswith(read + "/"):
                folder = os.path.dirname(read)
        if folder not in _SHARED:
            return folder
    return ""


#: The home of a job in an execution environment, and what AWX sets in a job.
_RUNNER, _JOB = "/runner", "AWX_PRIVATE_DATA_DIR"


def lost_with_container(folder: str) -> bool:
    """Return whether this is an execution environment and the folder goes with it: it is on the container's own disk, or the job's."""
    if _JOB not in os.environ and not os.path.isdir(_RUNNER):
        return False
    there = _existing(folder)
    return (os.path.realpath(there) + "/").startswith(_RUNNER + "/") or os.stat(there).st_dev == os.stat("/").st_dev


def why_unwritable(folder: str) -> str:
    """Return why no file could be made in a folder that may not exist yet, an empty text where it could."""
    there = _existing(folder)
    if not os.path.isdir(there):
        return f"{there} is not a directory"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} is not writable"


def _existing(folder: str) -> str:
    there = folder
    while not os.path.lexists(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    return there
