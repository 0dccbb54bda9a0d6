# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders that place writes. Edge: reads and writes files on the controller."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.plugin_utils._files import write_files

from .applied import HEADER, HOST_VARS, HOSTS, LEAVE_HEADER
from .model import PlacementError

#: Of Linux: paths that begin in the current folder, and two names that change places.
_HERE, _EXCHANGE = -100, 2


def read_text(path: str) -> str | None:
    """Return a file's text, None where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return None


def host_files(target: str) -> dict[str, str]:
    """Return the files of hosts that place has written into an inventory's folder, by name below it."""
    try:
        names = [os.path.join(HOST_VARS, name) for name in sorted(os.listdir(os.path.join(target, HOST_VARS)))]
    except OSError:
        return {}
    texts = {name: read_text(os.path.join(target, name)) or "" for name in names}
    return {name: text for name, text in texts.items() if text.startswith((HEADER, LEAVE_HEADER))}


def write_inventory(target: str, written: Mapping[str, str], gone: Collection[str]) -> None:
    """Write an inventory's folder whole: beside the old one, whose place it then takes, so that no run sees a part of it. What belongs to others stays.

    It is readable only for its owner: what guests are told at their first boot may be secret.
    """
    target = os.path.realpath(target)
    new = ""
    mask = os.umask(0o077)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        new = tempfile.mkdtemp(dir=os.path.dirname(target), prefix=f".{os.path.basename(target)}.")
        if os.path.isdir(target):
            shutil.copytree(target, new, symlinks=True, dirs_exist_ok=True)
            os.chmod(new, 0o700)
        for name, text in written.items():
            path = os.path.join(new, name)
            write_files(os.path.dirname(path), {os.path.basename(path): text})
        for name in gone:
            os.unlink(os.path.join(new, name))
        _exchange(new, target)
    except (OSError, shutil.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else plain(str(error), 200)
        path = str(getattr(error, "filename", None) or target).replace(new or target, target)
        raise PlacementError(
            f"realtime_place_folder: {path} cannot be written: {why}; repair that, or name another folder"
        ) from None
    finally:
        os.umask(mask)
        if new:
            shutil.rmtree(new, ignore_errors=True)  # the old folder, or what was not finished


def _exchange(new: str, old: str) -> None:
    """Let two folders change their names, in one step where the system can do that."""
    if not os.path.lexists(old):
        os.rename(new, old)
        return
    with contextlib.suppress(OSError, AttributeError):
        if not ctypes.CDLL(None).renameat2(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE):
            return
    aside = f"{new}.old"
    os.rename(old, aside)
    os.rename(new, old)
    os.rename(aside, new)


def remove_inventory(target: str) -> list[str]:
    """Remove an inventory that place has written, and return its files; what belongs to others stays."""
    first = read_text(os.path.join(target, HOSTS)) or ""
    names = [*host_files(target), *([HOSTS] if first.startswith(LEAVE_HEADER) else [])]
    with contextlib.suppress(OSError):
        for name in names:
            os.unlink(os.path.join(target, name))
        os.rmdir(os.path.join(target, HOST_VARS))
        os.rmdir(target)
    return names


def write_plan(folder: str, texts: Mapping[str, str]) -> None:
    """Write files into a folder that is named by realtime_place_folder."""
    try:
        write_files(folder, texts)
    except OSError as error:
        raise PlacementError(
            f"realtime_place_folder: {folder} cannot be written: {error.strerror or error}; name another folder"
        ) from None


def changed(target: str, written: Mapping[str, str], gone: Sequence[str]) -> bool:
    """Whether files would be other than they are."""
    return bool(gone) or any(read_text(os.path.join(target, name)) != text for name, text in written.items())
