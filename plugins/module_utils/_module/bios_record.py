# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_record: the firmware values that a node had before this collection staged others, kept on the node until they are restored.

They are in a file of their own, since they stay when everything else is undone and the journal ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from .._cpus.answers import AnswerError, decode, differs
from .._cpus.errors import HostError
from .._host.host import Host
from .._host.journal import STATE_DIR
from ._common import Edges, Outcome

RECORD = f"{STATE_DIR}/firmware.json"
SCHEMA = 1
_FORM = {"schema": int, "machine": str, "settings": {str: (str, int, bool, type(None))}}

ARGUMENTS: dict[str, Any] = {
    "values": {"type": "dict", "default": {}},
    "machine": {"type": "str", "default": ""},
    "forget": {"type": "list", "elements": "str", "default": []},
}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the record; what is recorded already keeps its value, since that is the one from before the first change."""
    host: Host = edges.host
    machine, before = _read(host)
    if before and parameters["values"] and machine != parameters["machine"]:
        raise HostError(
            f"bios_record: {RECORD} has the former values of another machine ({machine}), not of {parameters['machine']}; move it away if "
            "that machine is gone"
        )
    wrong = differs(parameters["values"], _FORM["settings"], "values")
    if wrong:
        raise HostError(f"bios_record: {wrong}")
    added = {name: value for name, value in parameters["values"].items() if name not in before}
    kept = {name: value for name, value in {**before, **added}.items() if name not in parameters["forget"]}
    if kept != before:
        host.perform(partial(host.write_file, RECORD, _content(parameters["machine"] or machine, kept), 0o600))
    return Outcome({"recorded": kept, "added": sorted(added), "machine": (parameters["machine"] or machine) if kept else ""})


def _read(host: Host) -> tuple[str, dict[str, Any]]:
    """Return the machine and its former values; a damaged record is an error and stays as it is."""
    content = host.read_bytes(RECORD)
    if content is None:
        return "", {}
    try:
        record = decode(content, {"schema": int})
        if record["schema"] > SCHEMA:
            raise HostError(
                f"{RECORD} was written by a newer release (schema {record['schema']}, this release knows {SCHEMA}); it was left as it is. "
                "Run that release or a newer one"
            )
        if wrong := differs(record, _FORM):
            raise AnswerError(wrong)
    except AnswerError as error:
        raise HostError(
            f"{RECORD} is damaged, so the former values of the firmware cannot be read ({error}); it was left as it is. Restore it from a "
            "backup, or move it away to give up restoring them"
        ) from None
    return record["machine"], record["settings"]


def _content(machine: str, settings: Mapping[str, Any]) -> bytes | None:
    if not settings:
        return None
    return json.dumps({"schema": SCHEMA, "machine": machine, "settings": settings}, indent=1, sort_keys=True).encode()
