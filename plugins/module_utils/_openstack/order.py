# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a service reads, in which order, and where a file is read last. Pure.

Rules: oslo_config/cfg.py. Without ``--config-file`` the default files are read, without ``--config-dir`` the default folders; both before what the
arguments name, which is read as the arguments stand. Of a folder ``*.conf`` is read, by name. Defaults are ``<project>`` and ``<program>``, each in the
first place that has it: ``~/.<project>``, ``~``, ``/etc/<project>``, ``/etc``. RDO's build also reads ``/usr/share/<project>/<project>-dist.conf`` first.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .._cpus.answers import plain
from .._cpus.errors import RefusalError


class OrderError(RefusalError):
    """Which files a service reads cannot be told; the message names its unit and what would work."""


#: The name of our file in a folder: files are read by name.
IN_FOLDER = "zz-realtime-kvm.conf"
#: Its name where the service has to be told to read it.
BESIDE = "realtime-kvm.conf"

_FILE, _FOLDER = "--config-file", "--config-dir"


@dataclass(frozen=True)
class Reader:
    """Who reads: a program of a project, with its user's home; and what is on the machine."""

    project: str
    program: str
    home: str
    exists: Callable[[str], bool]
    files_of: Callable[[str], Sequence[str]]  # names of the files in a folder

    def places(self) -> list[str]:
        """Return the folders of default files, first match wins."""
        home = [posixpath.join(self.home, f".{self.project}"), self.home] if self.home else []
        return [*home, f"/etc/{self.project}", "/etc"]

    def defaults(self, ending: str) -> list[str]:
        """Return the default files (``.conf``) or folders (``.conf.d``) that exist."""
        found = []
        for name in (self.project, self.program):
            paths = [posixpath.join(place, name + ending) for place in self.places()]
            found += [path for path in paths if self.exists(path)][:1]
        return found

    def with_file(self, path: str) -> Reader:
        """Return the reader of a machine on which a file exists too."""
        where, name = posixpath.split(path)
        return replace(
            self,
            exists=lambda other: other in (path, where) or self.exists(other),
            files_of=lambda folder: [
                *self.files_of(folder),
                *([name] if folder == where and name not in self.files_of(folder) else []),
            ],
        )

    def folder(self, path: str) -> list[str]:
        """Return the files of a folder that are read."""
        return [
            posixpath.join(path, name)
            for name in sorted(self.files_of(path))
            if name.endswith(".conf") and not name.startswith(".")
        ]


def sources(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the files and folders that arguments name, each with its option."""
    found: list[tuple[str, str]] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, sign, value = word.partition("=")
        if name in (_FILE, _FOLDER):
            value = value if sign else (words.pop(0) if words else "")
            if value:
                found.append((name, value))
    return found


def check_sources(unit: str, arguments: Sequence[str]) -> None:
    """Refuse arguments that name a file in a way that only the service itself understands: by a shortened option, or by a relative path."""
    for word in arguments:
        name = word.partition("=")[0]
        if len(name) > len("--") and name not in (_FILE, _FOLDER) and any(option.startswith(name) for option in (_FILE, _FOLDER)):
            raise OrderError(f"{unit}: its command has the shortened option {plain(name, 40)}; write {_FILE} or {_FOLDER}")
    for name, path in sources(arguments):
        if not posixpath.isabs(path):
            raise OrderError(
                f"{unit}: its command has {name} {plain(path, 120)}, which depends on the folder in which it runs; write the whole path"
            )


def read_order(reader: Reader, arguments: Sequence[str]) -> list[str]:
    """Return the files that a service with these arguments reads, the last of which wins."""
    given = sources(arguments)
    kinds = {name for name, _path in given}
    order: list[str] = []
    if _FILE not in kinds:
        dist = f"/usr/share/{reader.project}/{reader.project}-dist.conf"
        order += [*([dist] if reader.exists(dist) else []), *reader.defaults(".conf")]
    if _FOLDER not in kinds:
        order += [path for folder in reader.defaults(".conf.d") for path in reader.folder(folder)]
    for name, path in given:
        order += reader.folder(path) if name == _FOLDER else [path]
    return order


@dataclass(frozen=True)
class Place:
    """Where our file is read last."""

    path: str
    argument: bool  # whether the service needs an argument to read it

    @property
    def words(self) -> str:
        """The argument. It is a file: a folder would stop the default folders from being read."""
        return f"{_FILE}={self.path}" if self.argument else ""


def place(reader: Reader, arguments: Sequence[str]) -> Place:
    """Return where our file goes, for a service with these arguments (without ours)."""
    given = sources(arguments)
    if given and given[-1][0] == _FOLDER:
        return Place(posixpath.join(given[-1][1], IN_FOLDER), argument=False)
    if given:
        return Place(f"/etc/{reader.project}/{BESIDE}", argument=True)
    name = f"{reader.program}.conf.d"
    folders = [posixpath.join(where, name) for where in reader.places()]
    there = [folder for folder in folders if reader.exists(folder)]
    return Place(posixpath.join((there or [f"/etc/{reader.project}/{name}"])[0], IN_FOLDER), argument=False)


def without(arguments: Sequence[str], path: str) -> list[str]:
    """Return arguments without those that name a file."""
    left: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == f"{_FILE}={path}":
            continue
        if word == _FILE and words and words[0] == path:
            words.pop(0)
            continue
        left.append(word)
    return left
