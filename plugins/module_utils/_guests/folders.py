# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of images, opened link by link, and the users that are trusted with them. Edge, read-only."""

from __future__ import annotations

import os
import posixpath
import pwd
import stat
from contextlib import suppress

from .._host.host import Host
from .guest import GuestError

#: The users that QEMU runs as (Debian and Ubuntu, RHEL family); libvirt gives a running guest's images to them.
QEMU_USERS = ("libvirt-qemu", "qemu")
_LINKS = 40
_SHOWN = 200  # characters of a path in a message


def open_folder(host: Host, path: str, where: str, *, guarded: bool = False) -> tuple[int, str]:
    """Return a handle of the folder of a path, and the name in it. A link on the way must be one that only root can make.

    ``guarded``: so must each folder be, so that nobody but root puts another file in the place of one that was looked at.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(host.path("/"), flags)
    parts, links = _parts(path), 0
    try:
        while len(parts) > 1:
            part = parts.pop(0)
            info = os.stat(part, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > _LINKS or info.st_uid not in _trusted() or not _is_guarded(os.fstat(handle)):
                    raise GuestError(
                        f"{where}, since {part} on the way to it is a link that not only root can change; give the path without links"
                    )
                target = os.readlink(part, dir_fd=handle)
                parts = [*_parts(target), *parts]
                if not target.startswith("/"):
                    continue
                part = host.path("/")
            below = os.open(part, flags, dir_fd=handle)
            os.close(handle)
            handle = below
            if guarded and not _is_guarded(os.fstat(handle)):
                raise GuestError(
                    f"{where}, since not only root can change the names in {part} on the way to it; "
                    "use a folder of root's that others cannot write, such as /var/lib/libvirt/images"
                )
        if not parts:
            raise FileNotFoundError(path)
        return handle, parts[0]
    except NotADirectoryError:
        os.close(handle)
        raise FileNotFoundError(path) from None
    except FileNotFoundError:
        os.close(handle)
        raise
    except OSError as error:
        os.close(handle)
        raise _refused(where, path, error) from None
    except BaseException:
        os.close(handle)
        raise


def stat_guarded(host: Host, path: str, where: str) -> tuple[os.stat_result, os.stat_result | None]:
    """Return the status of a path's folder and of the path itself, None if there is nothing; refuse what others than root can swap.

    ``FileNotFoundError`` if there is no folder.
    """
    folder, name = open_folder(host, path, where, guarded=True)
    try:
        return os.fstat(folder), os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return os.fstat(folder), None
    except OSError as error:
        raise _refused(where, path, error) from None
    finally:
        os.close(folder)


def resolve_guarded(host: Host, path: str, where: str) -> tuple[str, os.stat_result]:
    """Return the path of a file without links, which only root can make, and its status; refuse what others than root can swap.

    ``FileNotFoundError`` if it is not there.
    """
    top = os.path.realpath(host.path("/")).rstrip("/")
    for _number in range(_LINKS):
        folder, name = open_folder(host, path, where, guarded=True)
        try:
            real = os.readlink(f"/proc/self/fd/{folder}")[len(top) :]
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISLNK(info.st_mode):
                return posixpath.join(real or "/", name), info
            if info.st_uid not in _trusted():
                raise GuestError(
                    f"{where}, since it is a link of {owner_name(info.st_uid)}, who can change it; give the path of the file itself"
                )
            path = posixpath.join(real or "/", os.readlink(name, dir_fd=folder))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(where, path, error) from None
        finally:
            os.close(folder)
    raise GuestError(f"{where}, since its links lead round in a circle")


def _refused(where: str, path: str, error: OSError) -> GuestError:
    return GuestError(
        f"{where}, since {path if len(path) < _SHOWN else f'{path[:_SHOWN]}...'} cannot be looked at ({error.strerror}); give another path, or repair it"
    )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _is_guarded(folder: os.stat_result) -> bool:
    """Whether only root can change the names in a folder."""
    open_to_all = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX
    return folder.st_uid in _trusted() and not open_to_all


def _trusted() -> set[int]:
    return {0, os.geteuid()}


def owners() -> set[int]:
    """Return the users whose files are taken for guests' images: root and those that QEMU runs as."""
    users = _trusted()
    for name in QEMU_USERS:
        with suppress(KeyError):
            users.add(pwd.getpwnam(name).pw_uid)
    return users


def owner_name(uid: int) -> str:
    """Return the name of a user for a message."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
