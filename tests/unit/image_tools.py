# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for qemu-img and xorriso, which write small images with true headers; tests/conformance/test_disk_tools.py asks the real ones."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

GIB = 1 << 30
QEMU_IMG, XORRISO = "/usr/bin/qemu-img", "/usr/bin/xorriso"
TOOLS = {QEMU_IMG: "", XORRISO: ""}
_HEAD = 512


def qcow2(size=GIB, backing="", content=b"", *, encrypted=False):
    """A qcow2 image (QEMU, docs/interop/qcow2.rst)."""
    head = b"QFI\xfb" + struct.pack(">IQIIQI", 3, 200 if backing else 0, len(backing), 16, size, int(encrypted))
    head = head.ljust(100, b"\0") + struct.pack(">III", 104, 0, 0)
    return (head.ljust(200, b"\0") + backing.encode()).ljust(_HEAD, b"\0") + content


def size_of(path):
    """The size that a guest sees of a qcow2 image."""
    return struct.unpack(">Q", Path(path).read_bytes()[24:32])[0]


def put(root, path, content):
    full = Path(f"{root}{path}")
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_bytes(content)


class ImageTools:
    """Runs a command. ``ran`` are those that change something, ``fails`` says with which words a subcommand fails half way."""

    def __init__(self, root):
        self.root = str(root)
        self.ran: list[list[str]] = []
        self.fails: dict[str, str] = {}
        self.version = b""  # of xorriso, which its images may show

    def __call__(self, command):
        command = list(command)
        if command[0] == QEMU_IMG:
            return self._qemu_img(command[1], command[2:])
        if XORRISO in command:
            return self._xorriso(command)
        return 0, "", ""

    def _qemu_img(self, name, arguments):
        options, names, rest = {}, [], list(arguments)
        while rest:
            one = rest.pop(0)
            if one in ("-f", "-F", "-b", "-O", "-t", "-T"):
                options[one] = rest.pop(0)
            elif not one.startswith("-"):
                names.append(one)
        act = {
            "info": self._info,
            "measure": self._measure,
            "create": self._create,
            "convert": self._convert,
            "resize": self._resize,
        }[name]
        if name not in ("info", "measure"):
            self.ran.append([name, *(argument.replace(self.root, "") for argument in arguments)])
        try:
            out = act(options, names)
        except OSError as error:
            return 1, "", f"qemu-img: Could not open '{names[0]}': {error.strerror}\n"
        except ValueError as error:
            return 1, "", f"qemu-img: {error}\n"
        if name in self.fails:
            return 1, "", f"qemu-img: {self.fails[name]}\n"
        return 0, out or "", ""

    @staticmethod
    def _head(path, image):
        with open(path, "rb") as stream:
            content = stream.read(1 << 23)
        if image == "raw":
            return os.stat(path).st_size, "", False, content.rstrip(b"\0")
        if content[:4] != b"QFI\xfb":
            raise ValueError(f"Could not open '{path}': Image is not in qcow2 format")
        place, length, _bits, size, crypt = struct.unpack(">QIIQI", content[8:36])
        return size, content[place : place + length].decode() if place else "", bool(crypt), content[_HEAD:]

    def _info(self, options, names):
        size, backing, encrypted, _content = self._head(names[0], options["-f"])
        found = {"virtual-size": size, "format": options["-f"], **({"encrypted": True} if encrypted else {})}
        return json.dumps({**found, **({"full-backing-filename": backing} if backing else {})})

    def _measure(self, options, names):
        return json.dumps({"required": len(self._head(names[0], options["-f"])[3])})

    def _create(self, options, names):
        backing = options.get("-b", "")
        if backing:
            self._head(backing, options["-F"])
        self._write(names[0], options["-f"], int(names[1]), backing.replace(self.root, "", 1))

    def _convert(self, options, names):
        size, backing, _encrypted, content = self._head(names[0], options["-f"])
        assert not backing, "what is behind a base is nobody's wish"
        self._write(names[1], options["-O"], size, content=content)

    def _resize(self, options, names):
        size, image = int(names[1]), options["-f"]
        now, backing, _encrypted, content = self._head(names[0], image)
        assert size > now, "a disk never shrinks"
        self._write(names[0], image, size, backing, content)

    @staticmethod
    def _write(path, image, size, backing="", content=b""):
        """Write the image in two steps, between which a run may be killed."""
        whole = qcow2(size, backing, content) if image == "qcow2" else content
        for part in (whole[: len(whole) // 2], whole):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(handle, part)
            if image == "raw" and part is whole:
                os.truncate(handle, size)
            os.close(handle)

    def _xorriso(self, command):
        if "xorriso" in self.fails:
            return 5, "", f"xorriso : FAILURE : {self.fails['xorriso']}\n"
        source = Path(command[-1])
        assert source.stat().st_mode & 0o777 == 0o700
        parts = []
        for path in sorted(source.iterdir()):
            assert path.stat().st_mode & 0o777 == 0o600
            parts.append(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        label, preparer = (command[command.index(option) + 1].encode() for option in ("-volid", "-preparer"))
        descriptor = (b"\1CD001\1\0" + b" " * 32 + label.ljust(32)).ljust(446) + preparer.ljust(128)
        image = (bytes(16 * 2048) + descriptor).ljust(17 * 2048, b"\0") + self.version + b"".join(parts)
        Path(command[command.index("-output") + 1]).write_bytes(image)
        return 0, "", ""


def files_in(seed):
    """The files in a seed of the stand-in."""
    parts = Path(seed).read_bytes()[17 * 2048 :].split(b"\0")
    return {name.decode(): text.decode() for name, text in zip(parts[::2], parts[1::2])}
