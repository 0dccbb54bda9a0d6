# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the file that node_exporter's textfile collector reads. Edge.

The collector reads every file of its folder whose name ends in .prom, so the new text is written under another name and takes the place of
the old one once it is complete and on the disk. Whatever fails, the old file stays whole. The folder is never made: it is the collector's.
"""

from __future__ import annotations

import errno
import os
import stat

from .._cpus.answers import AnswerError, decode
from .._cpus.errors import HostError
from .._host.host import Host
from .._watch.options import HALF, MARK, OUTPUT
from .kept import OPTIONS

_ROLE = "run the rt_metrics role"


def write_metrics(host: Host, text: str) -> None:
    """Replace the file by a text; ``HostError`` names the folder and what would help."""
    folder = _folder(host)
    path = f"{folder}/{OUTPUT}"
    try:
        handle = os.open(host.path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"{folder} cannot be opened: {error.strerror}; make it and let node_exporter read it (--collector.textfile.directory), or set "
            f"rt_metrics_directory, then {_ROLE}"
        ) from None
    try:
        _require_ours(handle, path)
        _replace(handle, (MARK + text).encode())
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}; the file from before stays as it is") from None
    finally:
        os.close(handle)


def _folder(host: Host) -> str:
    text = host.read(OPTIONS)
    if text is None:
        raise HostError(f"{OPTIONS} is missing, so nothing says where the metrics belong; {_ROLE}")
    try:
        folder = str(decode(text, {"directory": str})["directory"])
    except AnswerError as error:
        raise HostError(f"{OPTIONS} is damaged ({error}); {_ROLE} to write it again") from None
    if not folder.startswith("/"):
        raise HostError(f"{OPTIONS} names the folder {folder!r}, which is no absolute path; {_ROLE} to write it again")
    return folder


def _require_ours(folder: int, path: str) -> None:
    """Refuse to replace what somebody else has put there."""
    try:
        handle = os.open(OUTPUT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link is nobody's but another's
            raise
        raise HostError(f"{path} is a link, not what this program has written; move it away") from None
    try:
        ours = stat.S_ISREG(os.fstat(handle).st_mode) and is_ours(os.read(handle, len(MARK)))
    finally:
        os.close(handle)
    if not ours:
        raise HostError(f"{path} is not what this program has written; move it away")


def is_ours(content: bytes) -> bool:
    """Whether a file was written by this program."""
    return content.startswith(MARK.encode())


def _replace(folder: int, content: bytes) -> None:
    _remove(folder)  # left by a killed run
    handle = os.open(HALF, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(HALF, OUTPUT, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder)
        raise


def _remove(folder: int) -> None:
    try:
        os.unlink(HALF, dir_fd=folder)
    except FileNotFoundError:
        return
