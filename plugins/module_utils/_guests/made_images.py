# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are made from a base, or empty, and grown. Edge.

An image is made under a temporary name beside its place and gets its own name when it is whole, so a run that is killed leaves no half
image under it; the next run begins again. An image that is there is never made again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .._cpus.errors import HostError
from .._host import files
from .._host.change import Change
from .._host.host import Host
from .bases import Base, Bases
from .disk_checks import takes_direct_io
from .disk_paths import check_kept, file_of
from .folders import owner_name, owners, stat_guarded
from .guest import IMAGE_FOLDER, Disk, GuestError, Recipe
from .plan import GuestPlan
from .programs import QEMU_IMG
from .qemu_img import EMPTY_BYTES, ImageError, QemuImg

GIB = 1 << 30
#: What a file system says that has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass
class _Image:
    """A disk with a recipe, and what there is of it."""

    plan: GuestPlan
    disk: Disk
    recipe: Recipe
    folder: os.stat_result | None = None  # None: the folder is yet to be made, with libvirt
    size: int | None = None  # bytes that the guest sees; None: there is no image, or nobody knows yet
    exists: bool = False
    base: Base | None = None  # of an image that is to be made

    @property
    def where(self) -> str:
        return f"realtime_guests: {self.plan.guest.name}: disk {self.disk.path}"

    @property
    def wanted(self) -> int:
        """The size in bytes; 0: not known yet."""
        given = (self.recipe.size_gib or 0) * GIB
        return given or (self.base.size if self.base else 0)

    @property
    def key(self) -> tuple[int, int, str]:
        """What tells one place from another, whatever the path to it."""
        name = os.path.basename(self.disk.path)
        return (self.folder.st_dev, self.folder.st_ino, name) if self.folder else (0, 0, self.disk.path)


class MadeImages:
    """Plans the images of a node's guests on its host."""

    def __init__(
        self, host: Host, tool: QemuImg, *, grow: Callable[[str, str, int], object], image_folder: str = IMAGE_FOLDER
    ) -> None:
        """``grow`` grows the disk of a running guest: by name, target and bytes. ``image_folder``: which libvirt's packages make."""
        self.host = host
        self.tool = tool
        self.image_folder = image_folder
        self._grow = grow
        self._images: list[_Image] = []

    def plan(self, plans: Sequence[GuestPlan], bases: Bases) -> None:
        """Check all disks with a recipe, then plan to make and grow images."""
        self._images = [_Image(plan, disk, disk.recipe) for plan in plans for disk in plan.guest.disks if disk.recipe is not None]
        if self._images and not self.tool.installed:
            self._without_tool()
        for image in self._images:
            self._look(image, bases)
        self._check_places()
        self._check_space()
        for image in self._images:
            self._plan(image)

    def _without_tool(self) -> None:
        if not self.host.dry:
            raise HostError(f"{QEMU_IMG} is not installed on this node; run the kvm_host role, which brings it, first")
        names = ", ".join(image.disk.path for image in self._images)
        self.host.notes.append(f"sizes and formats of {names} are not checked yet: the kvm_host role is yet to install qemu-img")

    # -- what there is -----------------------------------------------------------------------------

    def _look(self, image: _Image, bases: Bases) -> None:
        try:
            image.folder, info = stat_guarded(self.host, image.disk.path, f"{image.where} is not made or grown")
        except FileNotFoundError:
            self._check_folder(image)
            info = None
        bases.check_writers(image.plan.guest.name, image.recipe)
        if info is not None:
            self._check_there(image, info)
            return
        check_kept(image.plan.guest, image.disk, image.plan.domain.on_files() if image.plan.domain else None)
        self._check_lost(image)
        if image.recipe.base:
            image.base = bases.look(image.where, image.recipe)
        size = image.base.size if image.base else 0
        if image.recipe.size_gib and image.recipe.size_gib * GIB < size:
            raise GuestError(
                f"{image.where}: size_gib {image.recipe.size_gib} is less than its base {image.recipe.base} has ({exact(size)}), which would be "
                f"cut off; give size_gib: {-(-size // GIB)} or more, or leave it out"
            )

    def _check_folder(self, image: _Image) -> None:
        folder = os.path.dirname(image.disk.path)
        if self.host.dry and not self.tool.installed and folder == self.image_folder:
            return  # comes with libvirt
        raise GuestError(
            f"{image.where}: its folder {folder} does not exist on this node; make it first (owner root, mode 0711, as libvirt's own), "
            "or mount its file system"
        )

    def _check_lost(self, image: _Image) -> None:
        """Refuse to make an image again that the guest had: its file system may only be not mounted."""
        domain = image.plan.domain
        had = domain is not None and any(file_of(disk) == image.disk.path for disk in domain.on_files().findall("devices/disk"))
        if had:
            raise GuestError(
                f"{image.where} is gone, but its domain has it; it is not made again, since the guest would begin without its data. "
                "Mount its file system, or restore the image; to have it made anew, remove the guest first (state: absent)"
            )

    def _check_there(self, image: _Image, info: os.stat_result) -> None:
        image.exists = True
        if not stat.S_ISREG(info.st_mode):
            kind = "a link; give the path of the image itself" if stat.S_ISLNK(info.st_mode) else "no regular file"
            raise GuestError(f"{image.where} is {kind}")
        if info.st_uid not in owners():
            raise GuestError(f"{image.where} belongs to {owner_name(info.st_uid)}, neither to root nor to QEMU; change its owner")
        if not self.tool.installed:
            return
        try:
            found = self.tool.info(image.disk.path, image.disk.format)
        except ImageError as error:
            raise GuestError(f"{image.where} is not of format {image.disk.format}: {error}; give its format") from None
        if found.backing and image.recipe.base and not image.recipe.overlay:
            raise GuestError(
                f"{image.where} is there, as an overlay of {found.backing}, but base_mode is copy; an image that is there is not made again: "
                "give base_mode: overlay, or leave base out"
            )
        image.size = found.size
        if image.recipe.size_gib and image.wanted < found.size:
            raise GuestError(
                f"{image.where} has {exact(found.size)}, more than size_gib {image.recipe.size_gib}; a disk is never shrunk, since what lies at its "
                f"end would be lost: give size_gib: {-(-found.size // GIB)} or more, or leave it out"
            )

    def _check_places(self) -> None:
        """Refuse two disks at one place, which different paths may lead to."""
        users: dict[tuple[int, int, str], _Image] = {}
        for image in self._images:
            other = users.setdefault(image.key, image)
            if other is not image:
                raise GuestError(f"{image.where} is the same file as disk {other.disk.path} of {other.plan.guest.name}")

    def _check_space(self) -> None:
        """Refuse what does not fit, by file system over all guests."""
        systems: dict[int, list[_Image]] = {}
        for image in self._images:
            if not image.exists and image.folder is not None:
                systems.setdefault(image.folder.st_dev, []).append(image)
        for images in systems.values():
            folder = os.path.dirname(images[0].disk.path)
            found = os.statvfs(self.host.path(folder))
            free, needed = found.f_bavail * found.f_frsize, {image.disk.path: self._bytes(image) for image in images}
            if found.f_flag & os.ST_RDONLY:
                raise GuestError(f"{images[0].where}: the file system of {folder} is read-only")
            if sum(needed.values()) > free:
                most = sorted(needed.items(), key=lambda item: -item[1])
                raise GuestError(
                    f"realtime_guests: the file system of {folder} has {gib(free)} free, and the images to be made take {gib(sum(needed.values()))} "
                    f"({', '.join(f'{path} {gib(size)}' for path, size in most)}); free some, or put them elsewhere "
                    "(rt_guest_image_folder, pool, path)"
                )

    @staticmethod
    def _bytes(image: _Image) -> int:
        """Return what a new image takes at once; it grows as its guest writes."""
        return EMPTY_BYTES + (image.base.bytes if image.base and not image.recipe.overlay else 0)

    # -- changes -----------------------------------------------------------------------------------

    def _plan(self, image: _Image) -> None:
        path = image.disk.path
        if image.folder is not None:
            plan_cleaning(self.host, path)
        if not image.exists:
            self.host.follow_up(Change(path, None, _described(image)), partial(self._make, image))
        elif image.recipe.size_gib and image.size is not None and image.size < image.wanted:
            live = self._is_live(image)
            if not live and image.plan.domain is not None and image.plan.domain.saved:
                raise GuestError(
                    f"{image.where}: its guest has a saved state (virsh managedsave) that knows the disk as it was; start it before the disk grows, or "
                    f"give up what is in its memory (virsh managedsave-remove {image.plan.guest.name})"
                )
            reason = "its guest sees it at once" if live else ""
            grow = (
                partial(self._grow, image.plan.guest.name, image.disk.target, image.wanted)
                if live
                else partial(self._resize, image)
            )
            self.host.follow_up(Change(f"{path}: size", exact(image.size), exact(image.wanted), reason=reason), grow)

    @staticmethod
    def _is_live(image: _Image) -> bool:
        """Whether the running guest has the image."""
        domain = image.plan.domain
        if domain is None or not domain.running:
            return False
        for disk in domain.live_on_files().findall("devices/disk"):
            target = disk.find("target")
            if target is not None and target.get("dev") == image.disk.target:
                return file_of(disk) == image.disk.path
        return False

    def _resize(self, image: _Image) -> None:
        try:
            self.tool.resize(image.disk.path, image.disk.format, image.wanted)
        except ImageError as error:
            raise HostError(f"{image.disk.path} cannot be grown: {error}") from None

    def _make(self, image: _Image) -> None:
        path, recipe, base = image.disk.path, image.recipe, image.base
        temporary = files.temporary_of(path)
        full = self.host.path(temporary)
        try:
            files.unlink(full)  # left by a killed run
            os.close(os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            try:
                if base is None:
                    self.tool.empty(temporary, image.disk.format, image.wanted)
                elif recipe.overlay:
                    self.tool.overlay(temporary, base.path, recipe.base_format, image.wanted)
                else:
                    direct = all(takes_direct_io(self.host, one) for one in (base.path, temporary))
                    self.tool.copy(temporary, image.disk.format, base.path, recipe.base_format, direct=direct)
                    if image.wanted > base.size:
                        self.tool.resize(temporary, image.disk.format, image.wanted)
                _settle(full, self.host.path(path))
            finally:
                files.unlink(full)
        except FileExistsError:
            raise HostError(f"{path} has appeared meanwhile; it is left as it is. Run the playbook again") from None
        except ImageError as error:
            raise HostError(f"{path} cannot be made, and nothing is left of it: {error}") from None
        except OSError as error:
            raise HostError(f"{path} cannot be made: {error.strerror}") from None

    # -- reading back ------------------------------------------------------------------------------

    def unfinished(self) -> Mapping[str, str]:
        """Return how images differ from the plan after the changes, by path."""
        wrong = {}
        for image in self._images:
            try:
                found = self.tool.info(image.disk.path, image.disk.format)
            except ImageError as error:
                wrong[image.disk.path] = f"it cannot be read: {error}"
                continue
            if image.wanted and found.size < image.wanted:
                wrong[image.disk.path] = f"it has {exact(found.size)} instead of {exact(image.wanted)}"
        return wrong


def plan_cleaning(host: Host, path: str) -> None:
    """Plan to remove what a killed run has left beside a file."""
    temporary = files.temporary_of(path)
    if host.exists(temporary):
        host.perform(partial(remove_left, host, path))


def remove_left(host: Host, path: str) -> None:
    """Remove what a killed run has left beside a file."""
    temporary = files.temporary_of(path)
    try:
        files.unlink(host.path(temporary))
    except OSError as error:
        raise HostError(f"{temporary} cannot be removed: {error.strerror}") from None


def _settle(temporary: str, full: str) -> None:
    """Give a finished file its name, unless another file has it."""
    handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(temporary, full)  # refuses to replace a file, which a rename would not
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(full):
            raise FileExistsError(full) from None
        os.rename(temporary, full)
    files.sync_directory(os.path.dirname(full))


def _described(image: _Image) -> str:
    size = f"{exact(image.wanted)}, " if image.wanted else ""
    if not image.recipe.base:
        return f"{size}{image.disk.format}, empty"
    return f"{size}{image.disk.format}, {'an overlay' if image.recipe.overlay else 'a copy'} of {image.recipe.base}"


def gib(size: int) -> str:
    """Return a number of bytes for a message."""
    unit, name = (GIB, "GiB") if size >= GIB else (1 << 20, "MiB")
    return f"{round(size / unit, 2):g} {name}"


def exact(size: int) -> str:
    """Return the size of a disk, to the byte where two digits do not say it."""
    return gib(size) if size * 100 % GIB == 0 else f"{gib(size)} ({size} bytes)"
