# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one edge to a machine's files: reads below a root, records every intended write, journals originals.

Check mode, diff mode, the disruption class, a truthful ``changed`` and exact undo all come from here:

* ``change`` plans and records a ``Change``; ``commit`` journals the originals and makes them, outside check mode;
* the journal (``/var/lib/realtime-kvm/journal.json``, 0600, atomic) keeps the value a resource had when it
  was first touched, and which kernels were installed then. Originals of files are kept until undo; originals of run-time settings are valid for the
  boot they were read in (the kernel starts anew at the next one) and are dropped when the boot id differs.
"""

from __future__ import annotations

import base64
import copy
import fcntl
import glob
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ._change import DISRUPTIONS, Change, worse, worst_disruption

STATE_DIR = "/var/lib/realtime-kvm"
JOURNAL = f"{STATE_DIR}/journal.json"
LOCK = f"{STATE_DIR}/lock"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

#: Kinds of journal entries whose originals end with the boot: the kernel starts anew at the next one.
RUNTIME_KINDS = ("value", "thread", "cgroup")
#: Entries that are paths in file systems, whose folders may have been made for them.
_PATH_KINDS = ("file", "link", "lines")


class HostError(Exception):
    """The machine refused a read or a write; the message names the file and what would help."""


def _nothing() -> None:
    """A restore that has nothing to do."""


@dataclass(frozen=True)
class _Pending:
    """A planned change: what makes it, and what becomes of its journal entry."""

    resource: str
    make: Callable[[], None]
    entry: dict[str, Any] | None
    forget: bool = False
    kept: bool = False  # journalled for the sake of the others

    @property
    def kind(self) -> str:
        return self.entry["kind"] if self.entry else ""


class Host:
    """Files below ``root``; see the module's docstring.

    ``owner`` is the module that acts: undo restores only its own entries. With a ``root`` other than ``/``
    nothing is ever written, whatever is asked.
    """

    def __init__(self, root: str = "/", *, check_mode: bool = False, owner: str = "") -> None:
        self.root = root.rstrip("/")
        self.owner = owner
        self.dry = check_mode or bool(self.root)
        self.changes: list[Change] = []
        self.notes: list[str] = []
        self.committed = False
        self._pending: list[_Pending] = []
        self._journal: dict[str, Any] | None = None

    def trial(self, owner: str) -> Host:
        """Return a host in check mode on the same machine: what ``owner`` would change, without a trace of it here."""
        trial = copy.copy(self)
        trial.owner, trial.dry, trial.committed = owner, True, False
        trial.changes, trial.notes, trial._pending = [], [], []
        return trial

    # -- reading -----------------------------------------------------------------------------------

    def path(self, path: str) -> str:
        """Return where ``path`` of the machine is found from here."""
        return self.root + path

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's content, None where it does not exist or the kernel has nothing to say."""
        try:
            with open(self.path(path), "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError:  # kernel files of absent features: EINVAL, EIO, ENODEV, EOPNOTSUPP, EPERM
            return None

    def read(self, path: str) -> str | None:
        content = self.read_bytes(path)
        return None if content is None else content.decode(errors="replace")

    def value(self, path: str) -> str | None:
        """Return a kernel file's value: text without the padding and line end."""
        text = self.read(path)
        return None if text is None else text.replace("\0", "").strip()

    def glob(self, pattern: str) -> list[str]:
        """Return the machine's paths that match, in natural order (cpu2 before cpu10)."""
        cut = len(self.root)

        def natural(path: str) -> list[tuple[int, str]]:
            return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]

        return sorted((found[cut:] for found in glob.glob(self.root + pattern)), key=natural)

    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def resolve(self, path: str) -> str:
        """Return the path behind symbolic links, inside the root."""
        real = os.path.realpath(self.path(path))
        return real[len(self.root) :] if real.startswith(self.root) else real

    def boot_id(self) -> str:
        return self.value(BOOT_ID) or "unknown"

    # -- changing ----------------------------------------------------------------------------------

    def change(self, change: Change, make: Callable[[], None], *, kind: str, original: Any = None) -> None:
        """Plan a change; ``commit`` journals its original (``change.before`` unless given) and makes it."""
        self.changes.append(change)
        entry = {
            "owner": self.owner,
            "kind": kind,
            "before": change.before if original is None else original,
            "disruption": change.disruption,
        }
        self._pending.append(_Pending(change.resource, make, entry))

    def follow_up(self, change: Change, make: Callable[[], None]) -> None:
        """Plan a change that has no original of its own (a generated file, a reload)."""
        self.changes.append(change)
        self._pending.append(_Pending(change.resource, make, None))

    def keep(self, resource: str, kind: str, original: Any) -> None:
        """Journal the original of something that a planned change alters on its way, as the kernel's side effect."""
        self._pending.append(
            _Pending(resource, _nothing, {"owner": self.owner, "kind": kind, "before": original, "disruption": "none"}, kept=True)
        )

    def take_back(self, change: Change) -> None:
        """Forget a change that the kernel refused for good and that therefore is none."""
        self.changes.remove(change)
        self.forget(change.resource)

    def forget(self, resource: str) -> None:
        """Drop a journal entry at once: the resource is as it was before."""
        self.journal()["entries"].pop(resource, None)
        self._save_journal()

    def restore(self, change: Change | None, resource: str, make: Callable[[], None], *, anyway: bool = False) -> None:
        """Plan to put a resource back (``change`` None: it is back already) and then drop its journal entry.

        It disturbs at least as much as the change that it takes back did.
        With ``anyway`` it is put back even so: another restore planned before it alters it on its way.
        """
        if change is not None:
            self.changes.append(replace(change, disruption=worse(change.disruption, self._disruption_of(resource))))
        self._pending.append(_Pending(resource, make if change is not None or anyway else _nothing, None, forget=True))

    def _disruption_of(self, resource: str) -> str:
        """Return how much the change of a resource has disturbed; entries of earlier releases do not have it and count as none."""
        told = self.journal()["entries"].get(resource, {}).get("disruption")
        return told if told in DISRUPTIONS else "none"

    def commit(self) -> None:
        """Make the planned changes in their order; in check mode do nothing.

        The originals of all of them are on disk before the first is made, so that a run killed anywhere can
        be undone or run again.
        """
        pending, self._pending = self._pending, []
        if self.dry or all(item.kept for item in pending):
            return
        self.committed = True
        self._remember([item for item in pending if item.entry is not None])
        for item in pending:
            item.make()
        forgotten = [item.resource for item in pending if item.forget]
        if forgotten:  # only now: a restore that failed in between is repeated as a whole
            for resource in forgotten:
                self.journal()["entries"].pop(resource, None)
            self._save_journal()

    def set_value(self, path: str, value: str, *, disruption: str = "none", reason: str = "", current: str | None = None) -> None:
        """Make a kernel file hold ``value``; nothing happens when it does. ``current`` overrides what is compared."""
        before = self.value(path) if current is None else current
        if before != value:
            change = Change(path, before, value, disruption, reason)
            self.change(change, lambda: self.write_value(path, value), kind="value")

    def set_link(self, path: str, target: str, *, reason: str = "") -> None:
        """Make a symbolic link to ``target`` (how systemd enables a unit)."""
        full = self.path(path)
        before = os.readlink(full) if os.path.islink(full) else None
        if before != target:
            self.change(
                Change(path, before, target, reason=reason),
                partial(self._write_link, path, target),
                kind="link",
                original={"link": before},
            )

    def _write_link(self, path: str, target: str | None) -> None:
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if os.path.lexists(full):
            os.unlink(full)
        if target is None:
            self._remove_empty_parents(os.path.dirname(path))
        else:
            os.symlink(target, full)

    def write_value(self, path: str, value: str) -> None:
        """Write a kernel file; the error names the file."""
        try:
            with open(self.path(path), "w") as stream:
                stream.write(value)
        except OSError as error:
            raise HostError(f"{path}: the kernel refused {value!r}: {error.strerror}") from None

    def set_file(
        self, path: str, content: bytes | None, *, mode: int = 0o644, disruption: str = "none", reason: str = ""
    ) -> None:
        """Make a file hold ``content`` (None: not exist), atomically; its original is kept until undo."""
        before = self.read_bytes(path)
        if before == content:
            return
        change = Change(path, _printable(before), _printable(content), disruption, reason)
        make = partial(self.write_file, path, content, mode)
        if os.path.islink(self.path(path)):  # the link is replaced, so it is the original, not what it leads to
            self.change(change, make, kind="link", original={"link": os.readlink(self.path(path))})
            return
        original = None if before is None else {"mode": self._mode(path), "content": base64.b64encode(before).decode()}
        self.change(change, make, kind="file", original={"file": original})

    def add_lines(self, path: str, lines: str, *, reason: str = "") -> None:
        """Make a file of somebody else's end with lines; undo takes just these out, whatever else it holds by then."""
        before = self.read(path)
        if before is not None and lines in before:
            return
        added = lines if not before or before.endswith("\n") else f"\n{lines}"
        change = Change(path, before, (before or "") + added, reason=reason)
        original = {"lines": added, "absent": before is None}
        self.change(change, partial(self._write_text, path, change.after), kind="lines", original=original)

    def _write_text(self, path: str, text: str | None) -> None:
        mode = self._mode(path) if self.exists(path) else 0o644
        self.write_file(path, None if text is None else text.encode(), mode)

    def _mode(self, path: str) -> int:
        return os.stat(self.path(path)).st_mode & 0o7777

    def write_file(self, path: str, content: bytes | None, mode: int = 0o644) -> None:
        """Replace a file so that at any moment, power cut included, the old or the new one is complete."""
        full = self.path(path)
        try:
            if content is None:
                if os.path.lexists(full):
                    os.unlink(full)
                self._remove_empty_parents(os.path.dirname(path))
                return
            os.makedirs(os.path.dirname(full), exist_ok=True)
            temporary = _temporary(full)
            _unlink(temporary)  # of a run that was killed
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                    os.fchmod(stream.fileno(), mode)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.rename(temporary, full)
            except BaseException:
                os.unlink(temporary)
                raise
            _sync_directory(os.path.dirname(full))
        except OSError as error:
            raise HostError(f"{path} cannot be written: {error.strerror}") from None

    def replace_file(self, new: str, path: str) -> None:
        """Let a finished file take the place of another in its directory, with that one's mode."""
        try:
            handle = os.open(self.path(new), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(handle, self._mode(path))
                os.fsync(handle)
            finally:
                os.close(handle)
            os.rename(self.path(new), self.path(path))
            _sync_directory(os.path.dirname(self.path(path)))
        except OSError as error:
            raise HostError(f"{path} cannot be written: {error.strerror}") from None

    def _remove_empty_parents(self, directory: str) -> None:
        """Remove the directories made for our files; one that holds anything else stays."""
        while directory in self._created_directories():
            try:
                os.rmdir(self.path(directory))
            except OSError:
                return
            directory = os.path.dirname(directory)

    def _created_directories(self) -> list[str]:
        created: list[str] = self.journal()["directories"]
        return created

    # -- journal -----------------------------------------------------------------------------------

    def journal(self) -> dict[str, Any]:
        """Return the journal; a damaged one is an error, never overwritten."""
        if self._journal is None:
            self._journal = self._load_journal()
        return self._journal

    def _load_journal(self) -> dict[str, Any]:
        text = self.read(JOURNAL)
        if text is None and not self.exists(JOURNAL):
            kernels = [path.partition("vmlinuz-")[2] for path in self.glob("/boot/vmlinuz-*")]
            return {"schema": 1, "directories": [], "entries": {}, "kernels": kernels}
        try:
            journal = json.loads(text or "")
            known = journal["schema"] == 1 and isinstance(journal["directories"], list) and isinstance(journal["kernels"], list)
            entries = journal["entries"].values()
            if not known or not all({"owner", "kind", "before", "boot_id"} <= set(entry) for entry in entries):
                raise KeyError("schema")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise HostError(
                f"{JOURNAL} is damaged, so the original values cannot be told; it was left as it is. "
                "Restore it from a backup, or move it away to give up undo and start a new one"
            ) from None
        boot = self.boot_id()
        stale = [
            name for name, entry in journal["entries"].items() if entry["kind"] in RUNTIME_KINDS and entry["boot_id"] != boot
        ]
        if stale:
            self.notes.append(f"{len(stale)} run-time originals of an earlier boot were dropped from the journal")
            for name in stale:
                del journal["entries"][name]
        loaded: dict[str, Any] = journal
        return loaded

    def _remember(self, pending: list[_Pending]) -> None:
        """Keep what was there at the first touch, and the worst class of all changes since."""
        journal, changed = self.journal(), False
        for item in pending:
            entry = dict(item.entry or {})
            known = journal["entries"].get(item.resource)
            if known is None:
                self._remember_directories(item)
                journal["entries"][item.resource] = {**entry, "boot_id": self.boot_id()}
                changed = True
                continue
            before = self._disruption_of(item.resource)
            if worse(before, entry["disruption"]) != before:
                known["disruption"] = entry["disruption"]
                changed = True
        if changed:
            self._save_journal()

    def _remember_directories(self, item: _Pending) -> None:
        """Keep which directories are about to be made for a file."""
        directories, parent = self._created_directories(), os.path.dirname(item.resource)
        while item.kind in _PATH_KINDS and parent not in ("", "/") and not self.exists(parent):
            if parent not in directories:
                directories.append(parent)
            parent = os.path.dirname(parent)

    def _save_journal(self) -> None:
        journal = self.journal()
        if journal["entries"]:
            os.makedirs(self.path(STATE_DIR), mode=0o700, exist_ok=True)
            self.write_file(JOURNAL, json.dumps(journal, indent=1, sort_keys=True).encode(), 0o600)
            return
        _unlink(self.path(JOURNAL))
        for directory in sorted(journal["directories"], key=len, reverse=True):
            if os.path.isdir(self.path(directory)) and not os.listdir(self.path(directory)):
                os.rmdir(self.path(directory))
        journal["directories"] = []

    def entries(self, kind: str) -> dict[str, Any]:
        """Return this owner's journal entries of a kind: resource to original."""
        return {
            resource: entry["before"]
            for resource, entry in self.journal()["entries"].items()
            if entry["owner"] == self.owner and entry["kind"] == kind
        }

    def restore_files(self, only: Collection[str] | None = None) -> None:
        """Plan to put this owner's files (``only``: of these) back as they were when first touched."""
        planned = {item.resource for item in self._pending}
        for resource, data in self.entries("file").items():
            if resource in planned or (only is not None and resource not in only):
                continue
            original = data["file"]
            content = None if original is None else base64.b64decode(original["content"])
            mode = original["mode"] if original else 0o644
            current = self.read_bytes(resource)
            change = Change(resource, _printable(current), _printable(content), reason="restored")
            self.restore(None if current == content else change, resource, partial(self.write_file, resource, content, mode))

    def restore_links(self) -> None:
        """Plan to put this owner's symbolic links back."""
        for resource, data in self.entries("link").items():
            full = self.path(resource)
            current = os.readlink(full) if os.path.islink(full) else None
            change = None if current == data["link"] else Change(resource, current, data["link"], reason="restored")
            self.restore(change, resource, partial(self._write_link, resource, data["link"]))

    def restore_lines(self) -> None:
        """Plan to take out the lines that this owner has added to files of others."""
        for path, original in self.entries("lines").items():
            before = self.read(path)
            after = (before or "").replace(original["lines"], "", 1)
            text = None if not after and original["absent"] else after
            change = None if before is None or before == text else Change(path, before, text, reason="restored")
            self.restore(change, path, partial(self._write_text, path, text))

    def restore_values(self) -> None:
        """Plan to write this owner's kernel settings back to what they were when first touched in this boot."""
        for resource, original in self.entries("value").items():
            current = self.value(resource)
            gone = current is None  # the device or the feature has gone meanwhile
            change = None if gone or current == original else Change(resource, current, original, reason="restored")
            self.restore(change, resource, partial(self.write_value, resource, original))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time change this machine."""
        if self.dry:
            yield
            return
        handle = self._lock()
        try:
            self._sweep()
            yield
            if not self.journal()["entries"]:
                self._save_journal()
        finally:
            if not self.exists(JOURNAL):  # nothing to remember, so nothing of ours stays
                _unlink(self.path(LOCK))
                with suppress(OSError):
                    os.rmdir(self.path(STATE_DIR))
            os.close(handle)

    def _lock(self) -> int:
        while True:
            try:
                os.makedirs(self.path(STATE_DIR), mode=0o700, exist_ok=True)
                handle = os.open(self.path(LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except (FileNotFoundError, FileExistsError) as error:
                if not os.path.lexists(self.path(STATE_DIR)) or os.path.isdir(self.path(STATE_DIR)):
                    continue  # who held it has just removed the directory
                raise HostError(f"{STATE_DIR} is not a directory; move it away") from error
            except OSError as error:
                raise HostError(f"{STATE_DIR} cannot be written: {error.strerror}; run with become: true") from None
            fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(self.path(LOCK))):
                    return handle
            os.close(handle)  # who held it has removed the file: ours locks nobody out

    def _sweep(self) -> None:
        """Remove what a killed run left half written."""
        entries = self.journal()["entries"]
        for path in [JOURNAL, *(path for path, entry in entries.items() if entry["kind"] in _PATH_KINDS)]:
            _unlink(_temporary(self.path(path)))

    # -- results -----------------------------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """Return the keys that every module's result has."""
        return {
            "changed": bool(self.changes),
            "changes": [asdict(change) for change in self.changes],
            "disruption": worst_disruption(self.changes),
            "diff": [
                {
                    "before_header": change.resource,
                    "after_header": f"{change.resource} [{change.disruption}]",
                    "before": _lines(change.before),
                    "after": _lines(change.after),
                }
                for change in self.changes
            ],
        }


def _temporary(full: str) -> str:
    """Where a file is written before it takes its place: always the same name, so that a later run finds what a killed one left."""
    directory, name = os.path.split(full)
    return os.path.join(directory, f".realtime-kvm-{name}")


def _unlink(full: str) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(full)


def _lines(text: str | None) -> str:
    return "" if text is None else text if text.endswith("\n") else text + "\n"


def _printable(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"binary, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def _sync_directory(directory: str) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
