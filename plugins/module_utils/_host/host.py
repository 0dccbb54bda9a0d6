# SPDX-License-Identifier: GPL-3.0-or-later
"""The one edge to a machine's files: reads them below a root, and plans and makes every write.

``change`` plans a ``Change``; outside check mode, ``commit`` journals the originals of all changes, then makes them.
"""

from __future__ import annotations

import base64
import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from . import files
from .change import Change, Planner, Step, shown, worse
from .identity import identity, is_another
from .journal import JOURNAL, Journal, NoJournal
from .locks import LockedError, cpus_locked, state_locked

BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: Owners whose runs move CPUs between cgroups, as libvirt's hook does.
_MOVES_CPUS = ("cpu_partition",)
#: How the kernel refuses a write to what has gone since it was planned.
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


def _nothing() -> None:
    """Do nothing."""


def _refusal(make: Callable[[], object]) -> str:
    """Do it; return why it was refused, or an empty text."""
    try:
        make()
    except HostError as error:
        return str(error)
    return ""


class Host(Planner):
    """Files below ``root``. Undo restores only the journal entries of ``owner``, a module."""

    def __init__(
        self, root: str = "/", *, check_mode: bool = False, owner: str = "", captured: bool = False, needs_journal: bool = True
    ) -> None:
        """``captured``: the root is a copy of a machine's files; nothing is written there and nothing runs.

        Without ``needs_journal`` changes are made even where the journal cannot be kept; ``unjournalled`` then says why.
        """
        super().__init__(check_mode=check_mode or captured)
        self.root = root.rstrip("/")
        self.owner = owner
        self.captured = captured
        self.needs_journal = needs_journal
        self.unjournalled = ""
        self.meanwhile: Callable[[], object] | None = None  #: called each second while another run has the lock
        self._taken_back: list[str] = []
        self._refused: list[tuple[Change | None, Callable[[], object]]] = []
        self._journal: Journal | None = None

    # -- reading -----------------------------------------------------------------------------------

    def path(self, path: str) -> str:
        """Return ``path`` with the root in front."""
        return self.root + path

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's content, None where it does not exist or cannot be read."""
        try:
            return files.read_file(self.path(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OverflowError:
            raise HostError(f"{path} has more than {files.MOST_BYTES >> 20} MiB, so it is not read") from None
        except OSError:  # kernel files of absent features: EINVAL, EIO, ENODEV, EOPNOTSUPP, EPERM
            return None

    def read_whole(self, path: str) -> bytes | None:
        """Return the content of a file that is to be replaced, or None if it does not exist; ``HostError`` if it cannot be read.

        It must not count as absent: what somebody else wrote in it would be lost, and undo would remove it.
        """
        content = self.read_bytes(path)
        if content is None and os.path.exists(self.path(path)):
            raise HostError(f"{path} exists, but cannot be read, so it is not replaced; repair it or move it away")
        return content

    def read(self, path: str) -> str | None:
        content = self.read_bytes(path)
        return None if content is None else content.decode(errors="replace")

    def value(self, path: str) -> str | None:
        """Return a kernel file's text without padding and line end."""
        text = self.read(path)
        return None if text is None else text.replace("\0", "").strip()

    def glob(self, pattern: str) -> list[str]:
        """Return the paths that match, in natural order (cpu2 before cpu10)."""
        return [found[len(self.root) :] for found in files.find(self.root + pattern)]

    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def boot_id(self) -> str:
        return self.value(BOOT_ID) or "unknown"

    # -- changing ----------------------------------------------------------------------------------

    def change(self, change: Change, make: Callable[[], object], *, kind: str, original: Any = None) -> None:
        """Plan a change. Its original is ``change.before`` unless given."""
        before = change.before if original is None else original
        entry = {"owner": self.owner, "kind": kind, "before": before, "disruption": change.disruption}
        if of := identity(self.root, change.resource):
            entry["of"] = of
        self.take(Step(change, make, change.resource, entry))

    def keep(self, resource: str, kind: str, original: Any) -> None:
        """Journal the original of what a planned change alters as a side effect."""
        self.take(Step(None, _nothing, resource, {"owner": self.owner, "kind": kind, "before": original, "disruption": "none"}))

    def keep_now(self, change: Change, kind: str, owner: str) -> None:
        """Journal the original of a change at once, where only the step before could show it. ``owner``: whose plan it is."""
        self._remember(
            [(change.resource, {"owner": owner, "kind": kind, "before": change.before, "disruption": change.disruption})]
        )

    def take_back(self, change: Change) -> None:
        """Drop a change that the kernel refused, so that it is not reported; the journal forgets it with the last step."""
        self.changes.remove(change)
        self._taken_back.append(change.resource)

    def forget(self, resource: str) -> None:
        """Drop a journal entry at once: the resource has its original value."""
        self._forget([resource])

    def restore(
        self, change: Change | None, resource: str, make: Callable[[], object], *, anyway: bool = False, until_boot: bool = False
    ) -> None:
        """Plan to restore a resource and drop its journal entry; it disturbs at least as much as the change did.

        ``change`` None: the resource has its original value; with ``anyway`` it is written even so, since another
        planned restore alters it. ``until_boot``: the value ends with the boot; where the kernel refuses the original, a note
        says so and the rest is restored.
        """
        if change is not None:
            change = replace(change, disruption=worse(change.disruption, self.journal.disruption_of(resource)))
        if until_boot:
            make = partial(self._try_to_restore, change, make)
        self.take(Step(change, make if change is not None or anyway else _nothing, resource, forget=True))

    def _try_to_restore(self, change: Change | None, make: Callable[[], object]) -> None:
        if _refusal(make):
            self._refused.append((change, make))

    def _restore_refused(self) -> None:
        """Try refused restores again, as long as one of them succeeds: a value may bound another. What is left becomes a note."""
        left, self._refused = self._refused, []
        refusals: dict[int, str] = {}
        while left:
            refusals = {number: error for number, (_change, make) in enumerate(left) if (error := _refusal(make))}
            if len(refusals) == len(left):
                break
            left = [left[number] for number in refusals]
        for number, error in refusals.items():
            change = left[number][0]
            if change in self.changes:
                self.changes.remove(change)
            self.notes.append(f"{error}; it stays as it is until the next reboot")

    def _begin(self, steps: list[Step]) -> bool:
        """Journal the originals before the first step, so that a killed run can be undone or repeated."""
        if not any(step.change or step.forget or not step.entry for step in steps):
            return False  # originals without a change
        self._remember((step.resource, step.entry) for step in steps if step.entry is not None)
        return True

    def _remember(self, entries: Iterable[tuple[str, dict[str, Any]]]) -> None:
        try:
            self.journal.remember(entries)
        except HostError as error:
            self._without_journal(error)

    def _end(self, steps: list[Step]) -> None:
        self._restore_refused()
        forgotten = [step.resource for step in steps if step.forget] + self._taken_back
        self._taken_back = []
        if forgotten:  # only now: a failed restore is repeated as a whole
            self._forget(forgotten)

    def _forget(self, resources: Sequence[str]) -> None:
        try:
            self.journal.forget(resources)
        except HostError as error:
            self._without_journal(error)

    def set_value(self, path: str, value: str, *, disruption: str = "none", reason: str = "", current: str | None = None) -> None:
        """Plan that a kernel file holds ``value``. ``current`` overrides what is compared."""
        before = self.value(path) if current is None else current
        if before != value:
            change = Change(path, before, value, disruption, reason)
            self.change(change, lambda: self.write_value(path, value), kind="value")

    def set_link(self, path: str, target: str, *, reason: str = "") -> None:
        """Plan a symbolic link (how systemd enables a unit)."""
        before = files.read_link(self.path(path))
        if before != target:
            make = partial(self._write_link, path, target)
            self.change(Change(path, before, target, reason=reason), make, kind="link", original={"link": before})

    def _write_link(self, path: str, target: str | None) -> None:
        full = self.path(path)
        try:
            files.write_link(full, target)
            if target is None:
                self._remove_empty_parents(os.path.dirname(path))
        except OSError as error:
            raise HostError(f"{path} cannot be written: {error.strerror}") from None

    def write_value(self, path: str, value: str) -> None:
        """Write a kernel file; the error names the file."""
        try:
            with open(self.path(path), "w") as stream:
                stream.write(value)
        except OSError as error:
            why = f"{path}: the kernel refused {value!r}: {error.strerror}"
            if error.errno in _GONE:
                why += " (it was there a moment ago: has its CPU or device been removed meanwhile?); run it again"
            raise HostError(why) from None

    def set_file(
        self, path: str, content: bytes | None, *, mode: int = 0o644, disruption: str = "none", reason: str = ""
    ) -> None:
        """Plan that a file holds ``content`` (None: does not exist)."""
        link = files.read_link(self.path(path))
        before = self.read_whole(path) if link is None else self.read_bytes(path)
        if before == content:
            return
        change = Change(path, shown(before), shown(content), disruption, reason)
        make = partial(self.write_file, path, content, mode)
        if link is not None:  # the write replaces the link, so the link is the original, not its target
            self.change(change, make, kind="link", original={"link": link})
            return
        original = (
            None if before is None else {"mode": files.mode_of(self.path(path)), "content": base64.b64encode(before).decode()}
        )
        self.change(change, make, kind="file", original={"file": original})

    def write_file(self, path: str, content: bytes | None, mode: int = 0o644) -> None:
        """Write a file at once, atomically (None: remove it, and the folders made for it)."""
        full = self.path(path)
        try:
            if content is not None:
                files.write_file(full, content, mode)
                return
            if os.path.lexists(full):
                os.unlink(full)
            self._remove_empty_parents(os.path.dirname(path))
        except OSError as error:
            raise HostError(f"{path} cannot be written: {error.strerror}") from None

    def _remove_empty_parents(self, directory: str) -> None:
        """Remove directories that this collection made, where they are empty."""
        while directory in self.journal.directories:
            try:
                os.rmdir(self.path(directory))
            except OSError:
                return
            directory = os.path.dirname(directory)

    # -- journal -----------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The journal; ``HostError`` when it is damaged."""
        if self._journal is None:
            self._journal = self._read_journal()
        return self._journal

    def _read_journal(self) -> Journal:
        try:
            journal = Journal(self.root, self.boot_id(), self._kernels)
        except HostError as error:
            return self._without_journal(error)
        if journal.dropped:
            self.notes.append(f"{journal.dropped} run-time originals of an earlier boot were dropped from the journal")
        return journal

    def _without_journal(self, error: HostError) -> Journal:
        """Go on without a journal, or raise the error where one is needed."""
        if self.needs_journal:
            raise error
        self.unjournalled = self.unjournalled or str(error)
        self._journal = NoJournal(self.boot_id())
        return self._journal

    def _kernels(self) -> list[str]:
        return [path.partition("vmlinuz-")[2] for path in self.glob("/boot/vmlinuz-*")]

    def entries(self, kind: str) -> dict[str, Any]:
        """Return the owner's originals of a kind, by resource."""
        return self.journal.of(self.owner, kind)

    def restore_files(self, only: Collection[str] | None = None) -> None:
        """Plan to restore the owner's files, or those in ``only``."""
        planned = {step.resource for step in self._steps}
        for resource, data in self.entries("file").items():
            if resource in planned or (only is not None and resource not in only):
                continue
            original = data["file"]
            content = None if original is None else base64.b64decode(original["content"])
            mode = original["mode"] if original else 0o644
            current = self.read_bytes(resource)
            change = Change(resource, shown(current), shown(content), reason="restored")
            self.restore(None if current == content else change, resource, partial(self.write_file, resource, content, mode))

    def restore_links(self) -> None:
        """Plan to restore the owner's symbolic links."""
        for resource, data in self.entries("link").items():
            current = files.read_link(self.path(resource))
            change = None if current == data["link"] else Change(resource, current, data["link"], reason="restored")
            self.restore(change, resource, partial(self._write_link, resource, data["link"]))

    def restore_values(self, only: Collection[str] | None = None, *, last: Collection[str] = ()) -> None:
        """Plan to restore the owner's kernel settings, or those in ``only``, as first found in this boot; ``last`` come last."""
        planned = {step.resource for step in self._steps}
        # by name: a period, then the runtime that must not exceed it
        for resource, original in sorted(self.entries("value").items(), key=lambda entry: (entry[0] in last, entry[0])):
            if resource in planned or (only is not None and resource not in only):
                continue
            was, now = self.journal.entries[resource].get("of", []), identity(self.root, resource)
            if is_another(was, now):
                self.notes.append(
                    f"{resource} is that of {', '.join(now)} now, not of {', '.join(map(str, was))}, so its former value {original} is not restored"
                )
                self.restore(None, resource, _nothing)
                continue
            current = self.value(resource)
            if current is None and self.exists(resource):
                self.notes.append(
                    f"{resource} cannot be read now (is its CPU off?), so its former value {original} is not restored; run undo again when "
                    "it can be read, or reboot"
                )
                continue
            gone = current is None  # the device or the feature no longer exists
            change = None if gone or current == original else Change(resource, current, original, reason="restored")
            self.restore(change, resource, partial(self.write_value, resource, original), until_boot=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let only one run at a time change this machine."""
        if self.dry:
            yield
            return
        with ExitStack() as held:
            try:
                held.enter_context(state_locked(self.root, self.owner, self.meanwhile))
                self._clean()
            except LockedError:
                raise
            except HostError as error:
                self._without_journal(error)
            if self.owner in _MOVES_CPUS:
                held.enter_context(cpus_locked(self.root, self.owner))
            yield
            if not self.journal.entries:
                self._forget([])  # the file, and the folders made for it

    def _clean(self) -> None:
        """Remove what a killed run has left half written."""
        path = ""
        try:
            for path in [JOURNAL, *self.journal.paths()]:
                files.unlink(files.temporary_of(self.path(path)))
        except OSError as error:
            self._without_journal(HostError(f"{files.temporary_of(path)} cannot be removed: {error.strerror}"))


#: Runs a program; returns exit code, standard output and standard error.
Runner = Callable[[Sequence[str]], tuple[int, str, str]]
