# SPDX-License-Identifier: GPL-3.0-or-later
"""Images with what guests' first boots are told, made with xorriso. Edge.

The same files give the same image, byte for byte, so the image on the node says whether anything has changed. Secrets may be in it: it is
readable for root alone, its files lie in a folder of root's in memory (/run) while it is made, and no result shows any of it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from .._cpus.errors import HostError
from .._host import files
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.locks import release, take_lock
from .cloud_init import seed_files
from .folders import stat_guarded
from .guest import IMAGE_FOLDER, Disk, GuestError
from .guest_disks import seed_name
from .made_images import plan_cleaning
from .plan import GuestPlan
from .programs import XORRISO

#: By which cloud-init finds it (docs/reference/datasources/nocloud.rst), and whose it is.
LABEL, PREPARER = b"cidata", b"REALTIME.KVM"
#: Nothing in the image tells when it was made.
_EPOCH, _DATE = "1577836800", "2020010100000000"
_FOLDER, _LOCK = "/run/realtime-kvm-seeds", "/run/realtime-kvm-seeds.lock"
#: Where the primary volume descriptor of an ISO 9660 image is, and its fields (ECMA-119, 8.4).
_DESCRIPTOR, _LABEL_AT, _PREPARER_AT = 16 * 2048, slice(40, 72), slice(446, 574)
_SEED, _OTHER = "cloud-init seed", "cloud-init seed with other content"


class Seeds:
    """Plans the seeds of a node's guests on its host."""

    def __init__(self, host: Host, runner: Runner, *, image_folder: str = IMAGE_FOLDER) -> None:
        """``image_folder``: which libvirt's packages make."""
        self.host = host
        self.runner = runner
        self.image_folder = image_folder

    def plan(self, plan: GuestPlan) -> None:
        """Plan a guest's seed, if it has one that is made."""
        for disk in plan.guest.disks:
            if disk.seed:
                self._plan(plan, disk)

    def _plan(self, plan: GuestPlan, disk: Disk) -> None:
        path, name = disk.path, plan.guest.name
        where = f"realtime_guests: {name}: cloud_init: {path}"
        found = self._look(where, path)
        built = self._built(seed_files(plan.guest, plan.tree.findtext("uuid") or ""), path)
        if found is not None and (built is None or found == (built, 0o600)):
            if built is None:
                self.host.notes.append(f"{path} is not compared yet: the kvm_host role is yet to install xorriso")
            return
        reason = "its guest runs with the former one until its next start" if found is not None and plan.running else ""
        change = Change(path, None if found is None else _SEED, _SEED if found is None else _OTHER, reason=reason)
        self.host.follow_up(change, partial(self._write, path, built))

    def _look(self, where: str, path: str) -> tuple[bytes, int] | None:
        """Return a seed's content and mode, or None if it does not exist; refuse a file that this collection has not made."""
        try:
            _folder, info = stat_guarded(self.host, path, f"{where} is not made")
        except FileNotFoundError:
            folder = os.path.dirname(path)
            if self.host.dry and folder == self.image_folder and not self.host.exists(XORRISO):
                return None  # comes with libvirt
            raise GuestError(
                f"{where}: its folder {folder} does not exist on this node; make it first (owner root, mode 0711)"
            ) from None
        plan_cleaning(self.host, path)
        if info is None:
            return None
        content = self.host.read_bytes(path) if stat.S_ISREG(info.st_mode) else None
        if content is None or not is_our_seed(content):
            raise GuestError(
                f"{where} is there, and this collection has not made it; move it away, or attach it as it is (seed: {path} in place of cloud_init)"
            )
        return content, stat.S_IMODE(info.st_mode)

    def _built(self, given: Mapping[str, bytes], path: str) -> bytes | None:
        """Return the image of such files; None where the tool is yet to be installed."""
        if self.host.captured:
            return None
        if not self.host.exists(XORRISO):
            if self.host.dry:
                return None
            raise HostError(
                f"{XORRISO} is not installed on this node; run the kvm_host role, which brings it for guests with cloud_init, first"
            )
        try:
            with _private_folder(self.host) as folder:
                return self._build(given, folder)
        except OSError as error:
            raise HostError(f"{path} cannot be made: {error.strerror or error}") from None

    def _build(self, given: Mapping[str, bytes], folder: str) -> bytes | None:
        source, image = f"{folder}/files", f"{folder}/seed.iso"
        os.mkdir(source, 0o700)
        for name, text in given.items():
            with open(os.open(f"{source}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
                stream.write(text)
        command = [
            "/usr/bin/env",
            f"SOURCE_DATE_EPOCH={_EPOCH}",
            "TZ=UTC",
            XORRISO,
            "-no_rc",
            "-as",
            "mkisofs",
            "-quiet",
            "-output",
            image,
        ]
        command += [
            "-volid",
            LABEL.decode(),
            "-preparer",
            PREPARER.decode(),
            "-joliet",
            "-rational-rock",
            "--set_all_file_dates",
            _DATE,
        ]
        umask = os.umask(0o077)
        try:
            code, _out, _err = self.runner([*command, source])
        finally:
            os.umask(umask)
        content = files.read_file(image) if code == 0 else None
        if content is None:  # what it says may quote what is in the files
            raise HostError(f"{XORRISO} could not make the image of a seed (exit code {code}); is the file system of /run full?")
        return content

    def _write(self, path: str, content: bytes | None) -> None:
        if content is not None:
            self.host.write_file(path, content, 0o600)


def is_our_seed(content: bytes) -> bool:
    """Whether an image is a seed that this collection has made."""
    descriptor = content[_DESCRIPTOR : _DESCRIPTOR + 2048]
    label, preparer = (descriptor[place].strip() for place in (_LABEL_AT, _PREPARER_AT))
    return descriptor[1:6] == b"CD001" and label == LABEL and preparer == PREPARER


def made_seed(host: Host, guest: str, path: str) -> bool:
    """Whether the drive of a removed guest holds a seed that this collection has made for it."""
    if os.path.basename(path) != seed_name(guest):
        return False
    with suppress(HostError):
        content = host.read_bytes(path)
        return content is not None and is_our_seed(content)
    return False


@contextmanager
def _private_folder(host: Host) -> Iterator[str]:
    """Have a folder that only root can enter; what a killed run has left in it goes first, and all of it goes at the end."""
    folder, lock = host.path(_FOLDER), host.path(_LOCK)
    handle = take_lock(lock, host.owner)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder, 0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        files.unlink(lock)
        release(handle)
