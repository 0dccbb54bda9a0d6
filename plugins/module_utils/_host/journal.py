# SPDX-License-Identifier: GPL-3.0-or-later
"""The originals of all changes on a node, kept there until undo. Edge.

The journal holds each resource's value before the first change, and the kernels installed then. Originals of run-time
settings end with the boot, since the kernel then starts from its own values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._cpus.answers import AnswerError, decode, differs
from .._cpus.errors import HostError
from . import files
from .change import DISRUPTIONS, worse
from .identity import is_another
from .originals import wrong_entries

STATE_DIR = "/var/lib/realtime-kvm"
JOURNAL = f"{STATE_DIR}/journal.json"
LOCK = f"{STATE_DIR}/lock"

#: Kinds whose originals end with the boot.
RUNTIME_KINDS = ("value", "thread", "cgroup", "after", "resctrl")
#: Kinds that are files, whose folders may have been made for them.
PATH_KINDS = ("file", "link", "lines")
#: The kind of a file that a program of ours on the node writes again and again; undo removes it.
OUTPUT_KIND = "output"

SCHEMA = 1
#: The journal holds whole files.
_MOST_BYTES = 256 << 20
_FORM = {
    "schema": lambda schema: "" if schema == SCHEMA else f"is {schema}",
    "directories": [str],
    "kernels": [str],
    "entries": wrong_entries,
}


class Journal:
    """The journal of the machine below ``root``."""

    def __init__(self, root: str, boot_id: str, kernels: Callable[[], list[str]]) -> None:
        """Read the journal; a damaged one is an error and stays as it is. ``kernels`` lists those installed now."""
        self.root = root
        self.boot_id = boot_id
        self.entries: dict[str, dict[str, Any]] = {}
        self.directories: list[str] = []  #: made for our files, in the order of removal
        self.kernels: list[str] = []  #: installed before the first change
        self.dropped = 0  #: originals of an earlier boot
        if os.path.lexists(self.root + JOURNAL):
            self._load()
            self._drop_stale()
        else:
            self.kernels = kernels()

    def _load(self) -> None:
        try:
            content = files.read_file(self.root + JOURNAL, _MOST_BYTES)
            journal = decode(content or b"", {"schema": int}, most=_MOST_BYTES)
            if journal["schema"] > SCHEMA:
                raise HostError(
                    f"{JOURNAL} was written by a newer release (schema {journal['schema']}, this release knows {SCHEMA}); it was left "
                    "as it is, since undo needs its originals. Run that release or a newer one"
                )
            wrong = differs(journal, _FORM)
        except OSError as error:
            wrong = str(error.strerror)
        except OverflowError:
            wrong = f"it has more than {_MOST_BYTES >> 20} MiB"
        except AnswerError as error:
            wrong = str(error)
        if wrong:
            raise HostError(
                f"{JOURNAL} is damaged, so the original values cannot be read ({wrong}); it was left as it is. "
                "Restore it from a backup, or move it away to give up undo and start a new one"
            )
        self.entries, self.directories, self.kernels = journal["entries"], journal["directories"], journal["kernels"]

    def _drop_stale(self) -> None:
        for name, entry in list(self.entries.items()):
            if entry["kind"] in RUNTIME_KINDS and entry["boot_id"] != self.boot_id:
                del self.entries[name]
                self.dropped += 1

    def of(self, owner: str, kind: str) -> dict[str, Any]:
        """Return originals by resource."""
        return {
            resource: entry["before"]
            for resource, entry in self.entries.items()
            if entry["owner"] == owner and entry["kind"] == kind
        }

    def paths(self) -> list[str]:
        """Return the files that were changed."""
        return [resource for resource, entry in self.entries.items() if entry["kind"] in PATH_KINDS]

    def disruption_of(self, resource: str) -> str:
        """Return the worst class of a resource's changes; entries of earlier releases lack it and count as none."""
        known = self.entries.get(resource, {}).get("disruption")
        return known if known in DISRUPTIONS else "none"

    def remember(self, wanted: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Keep the first originals, the folders to be made for them, and the worst class since; save them."""
        changed = False
        for resource, entry in wanted:
            known = self.entries.get(resource)
            if known is not None and is_another(known.get("of"), entry.get("of", [])):
                known = None  # the original of a device that has gone
            if known is None:
                self._remember_directories(resource, str(entry["kind"]))
                self.entries[resource] = {**entry, "boot_id": self.boot_id}
                changed = True
                continue
            before = self.disruption_of(resource)
            if worse(before, entry["disruption"]) != before:
                known["disruption"] = entry["disruption"]
                changed = True
        if changed:
            self.save()

    def _remember_directories(self, resource: str, kind: str) -> None:
        parent = os.path.dirname(resource)
        while kind in (*PATH_KINDS, OUTPUT_KIND) and parent not in ("", "/") and not os.path.lexists(self.root + parent):
            if parent not in self.directories:
                self.directories.append(parent)
            parent = os.path.dirname(parent)

    def forget(self, resources: Iterable[str]) -> None:
        """Drop originals of restored resources."""
        for resource in resources:
            self.entries.pop(resource, None)
        self.save()

    def save(self) -> None:
        """Write the file; without entries, remove it and the folders made for this collection."""
        try:
            self._write() if self.entries else self._remove()
        except OSError as error:
            raise HostError(f"{JOURNAL} cannot be written: {error.strerror}") from None

    def _write(self) -> None:
        document = {"schema": SCHEMA, "directories": self.directories, "entries": self.entries, "kernels": self.kernels}
        files.make_directories(self.root + STATE_DIR, 0o700)
        files.write_file(self.root + JOURNAL, json.dumps(document, indent=1, sort_keys=True).encode(), 0o600)

    def _remove(self) -> None:
        files.unlink(self.root + JOURNAL)
        for directory in sorted(self.directories, key=len, reverse=True):
            full = self.root + directory
            if os.path.isdir(full) and not os.listdir(full):
                os.rmdir(full)
        self.directories = []


class NoJournal(Journal):
    """Stands in for a journal that cannot be kept: it has no originals, and those of this run end with it."""

    def __init__(self, boot_id: str) -> None:
        self.root, self.boot_id = "", boot_id
        self.entries, self.directories, self.kernels, self.dropped = {}, [], [], 0

    def save(self) -> None:
        """Keep nothing."""
