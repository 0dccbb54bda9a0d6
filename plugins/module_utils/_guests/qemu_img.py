# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-img: what is in an image, and new images. Edge.

Every format is named: an image that a guest can write may begin like one of another format, whose header then names files of the host
(QEMU, docs/system/images.rst; qemu-img(1), option -f).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.errors import HostError
from .._host.host import Host, Runner
from .._host.runner import Transaction
from .programs import QEMU_IMG

#: A new qcow2 image without data: header, and tables that grow with use; measured up to 16 TiB.
EMPTY_BYTES = 4 << 20


@dataclass(frozen=True)
class ImageInfo:
    """What an image says of itself."""

    size: int  # bytes that the guest sees
    backing: str = ""
    data_file: str = ""
    encrypted: bool = False


class ImageError(HostError):
    """An image cannot be read in its format, or not be made; the message is qemu-img's."""


class QemuImg:
    """The node's qemu-img."""

    def __init__(self, host: Host, runner: Runner) -> None:
        self._host = host
        self._runner = runner

    @property
    def installed(self) -> bool:
        return self._host.exists(QEMU_IMG)

    def info(self, path: str, image: str) -> ImageInfo:
        """Return what an image says of itself, also one that a running guest has open; ``ImageError`` if it is no such image."""
        found = self._answer("info", ["--force-share", "-f", image, self._host.path(path)])
        try:
            data = (found.get("format-specific") or {}).get("data") or {}
            backing = str(found.get("full-backing-filename") or found.get("backing-filename") or "")
            return ImageInfo(
                int(found["virtual-size"]), backing, str(data.get("data-file") or ""), encrypted=bool(found.get("encrypted"))
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ImageError(f"qemu-img info says nothing that is understood of {path}") from None

    def copy_bytes(self, path: str, image: str) -> int:
        """Return about how many bytes a copy takes on the disk: what is in the image, without holes and compression."""
        found = self._answer("measure", ["-O", "qcow2", "--force-share", "-f", image, self._host.path(path)])
        try:
            return int(found["required"])
        except (KeyError, TypeError, ValueError):
            raise ImageError(f"qemu-img measure says nothing that is understood of {path}") from None

    def empty(self, path: str, image: str, size: int) -> None:
        """Make an image with nothing in it."""
        self._make("create", "-f", image, self._host.path(path), str(size))

    def overlay(self, path: str, base: str, base_format: str, size: int) -> None:
        """Make an image of the differences from a base."""
        self._make("create", "-f", "qcow2", "-b", self._host.path(base), "-F", base_format, self._host.path(path), str(size))

    def copy(self, path: str, image: str, base: str, base_format: str, *, direct: bool) -> None:
        """Copy a base with all that is in it; ``direct`` goes past the page cache, whose writing back would come in bursts."""
        cache = ["-T", "none", "-t", "none"] if direct else []
        self._make("convert", *cache, "-f", base_format, "-O", image, self._host.path(base), self._host.path(path))

    def resize(self, path: str, image: str, size: int) -> None:
        """Grow an image that no running guest has."""
        self._make("resize", "-f", image, self._host.path(path), str(size))

    def _make(self, command: str, *arguments: str) -> None:
        code, out, err = self._runner(Transaction([QEMU_IMG, command, "-q", *arguments]))
        if code != 0:
            raise ImageError(_words(command, code, err or out))

    def _answer(self, command: str, arguments: Sequence[str]) -> dict[str, Any]:
        code, out, err = self._runner([QEMU_IMG, command, "--output=json", *arguments])
        if code != 0:
            raise ImageError(_words(command, code, err or out))
        try:
            found = json.loads(out)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ImageError(f"qemu-img {command} gave no answer that is understood")
        return found


def _words(command: str, code: int, said: str) -> str:
    return " ".join(said.split())[-300:] or f"qemu-img {command} failed with exit code {code}"
