# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of node_exporter's textfile collector: which one it is, and whether a file of ours is safe there. Edge, read-only.

collector/textfile.go of node_exporter: it reads every file whose name ends in .prom, in the folder of --collector.textfile.directory, which may
be a pattern. Upstream's default is no folder; Debian's package has one built in.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .._cpus.answers import plain
from .._cpus.errors import HostError
from .._host.host import Host
from .options import MARK, OUTPUT

#: Folders that exist where a distribution's package, or its description, has made them.
KNOWN = (
    "/var/lib/prometheus/node-exporter",  # Debian, Ubuntu: built in (README.textfile of prometheus-node-exporter)
    "/var/lib/node_exporter/textfile_collector",  # examples/systemd/sysconfig.node_exporter of node_exporter
    "/var/lib/node_exporter",
)
_VARIABLE = "rt_metrics_directory"
#: The kernel shows 15 characters of a program's name. Debian's has the first of the known folders built in.
_DEBIANS = "prometheus-node"
_PROGRAMS = ("node_exporter", "node-exporter", _DEBIANS)
_FLAG = re.compile(r"--?collector\.textfile\.directory(?:=(.*))?", re.DOTALL)
_ROOT = re.compile(r"--?path\.rootfs(?:=(.*))?", re.DOTALL)
#: What turns the collector off and on; the last word counts for it alone, before the one for all.
_OFF, _ON, _ALL_OFF = "no-collector.textfile", "collector.textfile", "collector.disable-defaults"
_NAMED = 200  # characters of a path in a message


@dataclass(frozen=True)
class Exporter:
    """A node_exporter that runs: its folders as it was given them, and the part of them that is the node's root."""

    pid: int
    folders: tuple[str, ...]
    rootfs: str = "/"
    collects: bool = True  # the textfile collector is on, and has a folder

    def on_node(self, folder: str) -> list[str]:
        """Return what a folder of its may be called on the node: a container has the node's root mounted somewhere."""
        inside = self.rootfs.rstrip("/")
        return [folder[len(inside) :] or "/", folder] if inside and f"{folder}/".startswith(f"{inside}/") else [folder]


@dataclass(frozen=True)
class Folder:
    """The folder for our file, and what people should know about it."""

    path: str
    note: str = ""


def _given(words: list[str], flag: re.Pattern[str]) -> list[str]:
    found = []
    for number, word in enumerate(words):
        if match := flag.fullmatch(word):
            value = match[1] if match[1] is not None else next(iter(words[number + 1 :]), "")
            found.append(value.strip("'\""))
    return found


def exporters(host: Host) -> Iterator[Exporter]:
    """Return the exporters that run."""
    for path in host.glob("/proc/[0-9]*/comm"):
        if (host.value(path) or "") not in _PROGRAMS:
            continue
        words = (host.read(f"{posixpath.dirname(path)}/cmdline") or "").rstrip("\0").split("\0")
        pid, given = int(path.split("/")[2]), _given(words, _FLAG)
        if not given and (host.value(path) or "") == _DEBIANS:
            given = [*KNOWN[:1]]
        folders = tuple(_absolute(host, pid, folder) for folder in given if folder)
        collects = _collects(words) and (bool(folders) or not given)
        yield Exporter(pid, folders, next(iter(_given(words, _ROOT)), "/") or "/", collects)


def _collects(words: list[str]) -> bool:
    """Whether the textfile collector is on, by the words of a command line."""
    plain_words = [word.lstrip("-") for word in words[1:] if word.startswith("-")]
    told = [word for word in plain_words if word in (_OFF, _ON)]
    return told[-1] == _ON if told else _ALL_OFF not in plain_words


def _absolute(host: Host, pid: int, folder: str) -> str:
    """Return an exporter's folder by its full name; one without a slash in front begins where the exporter was started."""
    if not folder.startswith("/"):
        try:
            folder = posixpath.join(os.readlink(host.path(f"/proc/{pid}/cwd")), folder)
        except OSError:
            folder = f"/{folder}"
    return posixpath.normpath(folder)


def _same(host: Host, exporter: Exporter, inside: str, outside: str) -> bool:
    """Whether an exporter's folder is that of the node; one in a container may have another of the same name."""
    try:
        return os.path.samefile(host.path(f"/proc/{exporter.pid}/root") + inside, host.path(outside))
    except OSError:
        return False


def _seen(host: Host, exporter: Exporter) -> list[str]:
    """Return the node's folders that an exporter reads."""
    return [
        outside
        for folder in (exporter.folders if exporter.collects else ())
        for outside in exporter.on_node(folder)[:1]
        if _same(host, exporter, folder, outside)
    ]


def find_folder(host: Host, given: str) -> Folder:
    """Return the folder: the given one, else that of the exporter that runs, else a known one that exists; refuse where there is none, or it is unsafe."""
    running = list(exporters(host))
    seen = [folder for exporter in running for folder in _seen(host, exporter)]
    if given:
        path = _checked_name(given)
        check_folder(host, path)
        return Folder(path, _note(running, seen, path))
    path = seen[0] if seen else _known(host, running)
    check_folder(host, path)
    return Folder(path, _note(running, seen, path))


def _checked_name(given: str) -> str:
    if not given.startswith("/") or "\0" in given or "\n" in given:
        raise HostError(
            f"{_VARIABLE}: {plain(given, _NAMED)!r} is no absolute path; give the folder of --collector.textfile.directory"
        )
    if re.search(r"[*?\[]", given):
        raise HostError(f"{_VARIABLE}: {plain(given, _NAMED)!r} is a pattern; give one of its folders")
    return posixpath.normpath(given)


def _known(host: Host, running: list[Exporter]) -> str:
    """Return a known folder that exists; refuse where an exporter reads none on the node, or there is none."""
    told = [folder for exporter in running if exporter.collects for folder in exporter.folders]
    if told:
        raise HostError(
            f"{_VARIABLE}: node_exporter (process {running[0].pid}) reads {plain(told[0], _NAMED)}, which is no folder of the node: it is missing, a "
            f"pattern, or inside of a container; make it, or set {_VARIABLE} to the folder of the node that is mounted there"
        )
    for path in KNOWN:
        if os.path.isdir(host.path(path)):
            return path
    what = (
        f"node_exporter (process {running[0].pid}) runs without --collector.textfile.directory"
        if running
        else "no node_exporter runs"
    )
    raise HostError(
        f"{_VARIABLE}: {what}, and none of {', '.join(KNOWN)} exists; install prometheus-node-exporter (Debian, Ubuntu), or start node_exporter with "
        f"--collector.textfile.directory, or set {_VARIABLE} to a folder that it will read"
    )


def _note(running: list[Exporter], seen: list[str], path: str) -> str:
    if not running:
        return f"no node_exporter runs on this node, so nothing reads {plain(path, _NAMED)} yet"
    if path in seen:
        return ""
    shown, told = plain(path, _NAMED), [folder for exporter in running if exporter.collects for folder in exporter.folders]
    if told:
        return f"node_exporter reads {plain(told[0], _NAMED)}, not {shown}, so it does not read these metrics"
    if any(exporter.collects for exporter in running):
        return f"node_exporter runs without --collector.textfile.directory, so it reads {shown} only if that folder is built in"
    return (
        f"node_exporter runs with its textfile collector off (--no-collector.textfile, --collector.disable-defaults without "
        f"--collector.textfile, or an empty folder), so it does not read {shown}"
    )


def check_folder(host: Host, path: str) -> None:
    """Refuse what is no folder, and one in which others could replace our file."""
    shown = plain(path, _NAMED)
    try:
        found = os.lstat(host.path(path))
    except OSError as error:
        raise HostError(f"{_VARIABLE}: {shown} cannot be used: {error.strerror}; make the folder, or name another one") from None
    if stat.S_ISLNK(found.st_mode):
        target = plain(os.readlink(host.path(path)), _NAMED)
        raise HostError(f"{_VARIABLE}: {shown} is a link to {target}; give the folder itself")
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"{_VARIABLE}: {shown} is no folder; give the folder of --collector.textfile.directory")
    top = os.path.realpath(host.path("/"))
    place = os.path.realpath(host.path(path))
    while place.startswith(top):
        _check_writers(os.stat(place), "/" + os.path.relpath(place, top) if place != top else "/", shown)
        if place == top:
            break
        place = os.path.dirname(place)
    _check_output(host, path)


def _check_writers(found: os.stat_result, place: str, folder: str) -> None:
    """Refuse a folder that others than root and its owner may write to, unless only a file's owner may remove it there (sticky)."""
    group = found.st_mode & stat.S_IWGRP and found.st_gid != 0
    if found.st_mode & stat.S_ISVTX or not (group or found.st_mode & stat.S_IWOTH):
        return
    place = plain(os.path.normpath(place), _NAMED)
    who = "everybody" if found.st_mode & stat.S_IWOTH else f"group {found.st_gid}"
    raise HostError(
        f"{_VARIABLE}: {who} may write to {place}{'' if place == folder else f', above {folder}'}, and so replace what the node says about itself; run "
        f"chmod go-w {place}, or name another folder"
    )


def _check_output(host: Host, folder: str) -> None:
    """Refuse a file of our name that is not ours; the program that writes it would refuse it, too."""
    path = f"{folder}/{OUTPUT}"
    if is_foreign(host, path):
        raise HostError(
            f"{_VARIABLE}: {plain(path, _NAMED)} exists and is not this collection's; move it away, or name another folder"
        )


def is_foreign(host: Host, path: str) -> bool:
    """Whether a file in node_exporter's folder, where others write too, has our name and is not ours."""
    if posixpath.basename(path) != OUTPUT or not host.exists(path):
        return False
    text = None if os.path.islink(host.path(path)) else host.read(path)
    return text is None or not text.startswith(MARK)
