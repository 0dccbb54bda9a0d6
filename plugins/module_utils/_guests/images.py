# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images by identity: which file a path leads to, who uses it, and its removal. Edge.

Two paths may lead to one file, and a folder may be swapped for a link between two looks. So files are compared by device and
inode, and removed in the folder that was opened link by link. What cannot be decided is refused.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._cpus.errors import HostError
from .._host.host import Host
from .folders import open_folder, owner_name, owners
from .guest import GuestError
from .hiding import clean
from .mentions import mentions

_CHAIN = 200
_QCOW = b"QFI\xfb"
#: Formats that may have a backing file which this file does not read.
_OPAQUE = {b"QED\0": "qed", b"KDMV": "vmdk", b"COWD": "vmdk", b"# Di": "vmdk"}
#: Formats without a backing file; libvirt takes a disk without a format for raw.
_PLAIN = (None, "raw", "luks", "iso")
#: Elements with QEMU's own arguments, and the argument that has it read further ones from a file.
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_ELSEWHERE = re.compile(r"--?readconfig\b")
#: The most looks at paths that one definition may name.
_LOOKS = 500_000
_DATA_FILE = 0x44415441  # header extension with the name of an external data file (QEMU, docs/interop/qcow2.rst)


class Identity(NamedTuple):
    """A file or block device, whatever its path."""

    device: int
    inode: int


def _of(info: os.stat_result) -> Identity:
    if stat.S_ISBLK(info.st_mode):  # of which there may be several nodes
        return Identity(-1, info.st_rdev)
    return Identity(info.st_dev, info.st_ino)


# -- the file that is to be removed ----------------------------------------------------------------


def identify(host: Host, path: str, guest: str) -> Identity | None:
    """Return the regular file at a path, or None if it does not exist; refuse a file whose folder or owner cannot be trusted."""
    where = f"realtime_guests: {guest}: disk {path} is not removed"
    try:
        folder, name = open_folder(host, path, where)
    except FileNotFoundError:
        return None
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GuestError(f"{where}, since it cannot be looked at ({error.strerror})") from None
    finally:
        os.close(folder)
    if not stat.S_ISREG(info.st_mode):
        raise GuestError(f"{where}, since it is no regular file; remove it by hand, or leave remove_disks out")
    if info.st_uid not in owners():
        raise GuestError(
            f"{where}, since it belongs to {owner_name(info.st_uid)}, neither to root nor to QEMU; change its owner, or remove it by hand"
        )
    return _of(info)


def remove_image(host: Host, path: str, guest: str, identity: Identity) -> None:
    """Remove the file if it is still the one that was looked at."""
    where = f"{guest}: disk {path} was not removed"
    try:
        folder, name = open_folder(host, path, where)
    except FileNotFoundError:
        return
    try:
        if _of(os.stat(name, dir_fd=folder, follow_symlinks=False)) != identity:
            raise HostError(f"{where}, since another file has taken its place meanwhile")
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path} cannot be removed: {error.strerror}") from None
    finally:
        os.close(folder)


# -- who uses a file -------------------------------------------------------------------------------


def used_files(host: Host, tree: ET.Element) -> Iterator[tuple[Identity, str]]:
    """Yield every file that a domain names in any text, and the backing files of its disks; ``HostError`` where that is not known."""
    domain, looks = tree.findtext("name"), 0

    def look(path: str) -> str:
        nonlocal looks
        looks += 1
        if looks > _LOOKS:
            raise HostError(f"the definition of {domain} may name more than {_LOOKS} paths")
        return host.path(path)

    for element in tree.iter():
        of_qemu = isinstance(element.tag, str) and element.tag.startswith(QEMU)
        for text in filter(None, (*element.attrib.values(), element.text, element.tail)):
            if of_qemu and _ELSEWHERE.match(text):
                raise HostError(f"which files {text} names for {domain} on QEMU's command line is not known here")
            whole = text.strip()
            known = whole.startswith("/") and _info(host, whole)
            for path in [whole] if known else mentions(text, lambda path: os.path.isdir(look(path)), relative=of_qemu):
                look(path)
                info = _info(host, path)
                if info is not None:
                    yield _of(info), path
                if info is not None and of_qemu and _is_storage(info):
                    yield from backing_files(host, path)  # of which format it is, is not known
    for disk in tree.findall("devices/disk"):
        yield from disk_files(host, disk)


def loop_files(host: Host) -> Iterator[tuple[Identity, str, str]]:
    """Yield the file under each loop device of the node, with its path and the device; what is on the device is not looked for."""
    for place in host.glob("/sys/block/loop*/loop/backing_file"):
        path = host.value(place) or ""
        identity = identity_of(host, path) if path.startswith("/") else None
        if identity is not None:
            yield identity, path, f"/dev/{place.split('/')[3]}"


def disk_files(host: Host, disk: ET.Element) -> Iterator[tuple[Identity, str]]:
    """Yield the file of a disk, then its backing files: those that images name, and those that the definition names (``backingStore``, ``mirror``)."""
    seen: set[Identity] = set()
    for item in disk.iter():
        driver, source = item.find("driver" if item is disk else "format"), item.find("source")
        if source is None or item.get("type", "file") not in ("file", "block", "volume"):
            continue  # empty, or not on this node
        if item.get("type") == "volume":
            raise HostError(f"which file the volume {source.get('pool')}/{source.get('volume')} is, is not known here")
        path = source.get("file") or source.get("dev") or ""
        identity = identity_of(host, path) if path.startswith("/") else None
        if identity is None or identity in seen:
            continue
        plain = driver is None or driver.get("type") in _PLAIN  # a raw image holds what its guest likes
        for found in [(identity, path)] if plain else backing_files(host, path):
            seen.add(found[0])
            yield found


def backing_files(host: Host, path: str) -> Iterator[tuple[Identity, str]]:
    """Yield the backing files of an image, one behind the other."""
    waiting, seen = [path], set()
    while waiting:
        image = waiting.pop()
        identity = identity_of(host, image)
        if identity is None or identity in seen:
            continue
        seen.add(identity)
        if len(seen) > _CHAIN:
            raise HostError(f"{path} has more than {_CHAIN} backing files")
        yield identity, image
        for name in _names_in(host, image):
            waiting += _local(name, image, host)


def identity_of(host: Host, path: str) -> Identity | None:
    """Return which file a path leads to, or None if it leads to no file; ``HostError`` if that cannot be found out."""
    info = _info(host, path)
    return None if info is None else _of(info)


def _info(host: Host, path: str) -> os.stat_result | None:
    try:
        return os.stat(host.path(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise HostError(f"{path} cannot be looked at: {error.strerror}") from None


def _names_in(host: Host, image: str) -> list[str]:
    """Return the names of other files in the header of an image (QEMU, docs/interop/qcow2.rst)."""
    try:
        _require_storage(os.stat(host.path(image)), image)
        handle = os.open(host.path(image), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            _require_storage(os.fstat(handle), image)  # it may be another one since
            head = stream.read(1 << 16)
    except OSError as error:
        raise HostError(f"{image} cannot be read: {error.strerror}") from None
    if head[:4] in _OPAQUE:
        raise HostError(f"the backing file of {image}, which has the format {_OPAQUE[head[:4]]}, is not known here")
    if head[:4] != _QCOW or len(head) < 72:
        return []
    try:
        version, offset, size = struct.unpack(">IQI", head[4:20])
        if offset and offset + size > len(head):
            raise ValueError
        names = [head[offset : offset + size].decode()] if offset and size else []
        return names + (_extensions(head, offset) if version >= 3 else [])
    except (ValueError, struct.error):
        raise HostError(f"the header of {image} names a backing file in a way that cannot be read") from None


def begins_like_qcow(host: Host, path: str) -> bool:
    """Whether a file or block device begins as a qcow2 image does."""
    try:
        handle = os.open(host.path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            return _is_storage(os.fstat(handle)) and stream.read(len(_QCOW)) == _QCOW
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from None


def _is_storage(info: os.stat_result) -> bool:
    return stat.S_ISREG(info.st_mode) or stat.S_ISBLK(info.st_mode)


def _require_storage(info: os.stat_result, image: str) -> None:
    """Refuse what is neither file nor block device: a pipe may wait, a device may act when it is opened."""
    if not _is_storage(info):
        raise HostError(f"{image} is neither a regular file nor a block device, so its backing file is not known")


def _extensions(head: bytes, end: int) -> list[str]:
    (place,) = struct.unpack(">I", head[100:104])
    names = []
    while place + 8 <= (end or len(head)):
        kind, size = struct.unpack(">II", head[place : place + 8])
        if kind == 0:
            break
        if kind == _DATA_FILE:
            names.append(head[place + 8 : place + 8 + size].decode())
        place += 8 + (size + 7) // 8 * 8
    return names


def _local(name: str, image: str, host: Host) -> list[str]:
    """Return the paths on this node that a backing file's name may mean; relative names count from the image's folder."""
    if name.startswith("json:"):
        try:
            found = list(_filenames(json.loads(name[5:])))
        except (ValueError, RecursionError):
            raise HostError(f"the backing file of {image} cannot be read: {clean(name)[:200]!r}") from None
    else:
        found = [name]
    paths = []
    for one in found:
        scheme = re.match(r"([^:/]*):", one)
        if scheme and scheme[1] not in ("file", "host_device"):
            continue  # on another machine
        plain = one[len(scheme[0]) :] if scheme else one
        if plain.startswith("//"):
            plain = "/" + plain.lstrip("/")
        folders = {os.path.dirname(image), os.path.dirname(os.path.realpath(host.path(image)))[len(host.root) :]}
        paths += [plain] if plain.startswith("/") else [os.path.join(folder, plain) for folder in sorted(folders)]
    return paths


def _filenames(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key.rpartition(".")[2] == "filename":
                yield item
            else:
                yield from _filenames(item)
    elif isinstance(value, list):
        for item in value:
            yield from _filenames(item)
