# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders: what they boot next, and how they get the planned arguments.

Edge. ``find_boot_loader`` returns GRUB with drop-ins (Debian, Ubuntu) or grubby (the RHEL family).
Each plans its changes on the ``Host`` and returns the entry that will boot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial

from .._cpus.cmdline import canonical, kernel_part, key_of
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.files import replace_file
from .._host.host import Host, Runner
from .._host.paths import config_path
from .._host.resolve import resolve
from .._host.runner import run_checked
from .arguments import KernelArgumentError, is_list_key
from .grub_files import (
    BootEntry,
    drop_in_tokens,
    expand_tokens,
    menu_variables,
    newest_matching,
    parse_menu,
    render_drop_in,
    saved_entry,
)
from .grub_shell import GrubSettings, parse_reading, reading_script
from .grubby import Grubby
from .lines import check_line
from .one_shot import menu_problem
from .written import Written, parse_written

GRUB_DEFAULTS = "/etc/default/grub"
DROP_IN = "/etc/default/grub.d/99-realtime-kvm.cfg"
GRUB_CFG = "/boot/grub/grub.cfg"
GRUBENV = "/boot/grub/grubenv"
_WHERE = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def _find_program(host: Host, name: str) -> str | None:
    return next((f"{folder}/{name}" for folder in _WHERE if host.exists(f"{folder}/{name}")), None)


def installed_kernels(host: Host) -> list[str]:
    """Return the releases of the kernels in /boot that are complete: with their initial RAM disk."""
    releases = [path.partition("vmlinuz-")[2] for path in host.glob("/boot/vmlinuz-*") if "rescue" not in path]
    disks = ("/boot/initrd.img-{}", "/boot/initramfs-{}.img")
    return [release for release in releases if any(host.exists(disk.format(release)) for disk in disks)]


class Grub:
    """GRUB whose menu grub-mkconfig generates from /etc/default/grub and its drop-ins."""

    name = "grub"

    def __init__(self, host: Host, runner: Runner, mkconfig: str, written: Written) -> None:
        self.host = host
        self.runner = runner
        self.mkconfig = mkconfig
        self.written = written
        self.ours = drop_in_tokens(host.read(DROP_IN) or "")
        #: Whether custom.cfg holds the old entry as the default while the menu changes; then the new menu must obey it.
        self.held = False

    def check_writable(self) -> None:
        """Raise ``HostError``, before any change, when a file that must be written later is missing."""
        for path in (GRUB_DEFAULTS, GRUB_CFG):
            if not self.host.exists(path):
                raise HostError(f"{path} does not exist; install and configure GRUB first (grub-install, update-grub)")
        for path in (DROP_IN if self.host.exists(DROP_IN) else GRUB_DEFAULTS, GRUB_CFG):
            _check_opens(self.host, path)

    @cached_property
    def settings(self) -> GrubSettings:
        """What the administrator's files come to."""
        names = [GRUB_DEFAULTS, *self.host.glob("/etc/default/grub.d/*.cfg")]
        files = {name: self.host.path(name) for name in names if name != DROP_IN and self.host.exists(name)}
        code, out, err = self.runner(["sh", "-c", reading_script(files, DROP_IN)])
        if code != 0 or not out:
            raise HostError(
                f"{GRUB_DEFAULTS} and its drop-ins cannot be read by sh, so grub-mkconfig fails too: {err.strip()[-300:]}"
            )
        return parse_reading(out, DROP_IN)

    def foreign(self) -> dict[str, list[str]]:
        """Return the kernel tokens of the administrator's files, by file, and those of variables that the menu sets (tuned)."""
        variables = menu_variables(self.host.read(GRUB_CFG) or "")
        found = dict(self.settings.foreign)
        for name in self.settings.variables:
            tokens = expand_tokens([name], variables)
            if tokens != [name]:
                found[f"{GRUB_CFG} ({name})"] = tokens
        return found

    def following(self) -> BootEntry | None:
        """Return the entry that boots next without any change."""
        return self._default_of(self.host.read(GRUB_CFG) or "")

    def _default_of(self, menu: str) -> BootEntry | None:
        return parse_menu(menu, saved_entry(self.host.read(GRUBENV) or ""))[1]

    def plan(self, wanted: Sequence[str], default_kernel: str | None) -> BootEntry | None:
        """Plan the drop-in and the menu; return the entry that boots once they are made."""
        before = self.following()
        there = {canonical(token) for token in self.settings.tokens}
        tokens = [token for token in wanted if canonical(token) not in there or is_list_key(key_of(token))]
        newest = newest_matching(installed_kernels(self.host), default_kernel) if default_kernel else None
        after = self._predict(before, wanted, newest)
        certain = before is not None and before.release == newest and not self._older_than(self.settings.default_dropped_by)
        self._check_reach(tokens, None if certain else newest)
        if after:
            check_line(GRUB_CFG, after.kernel, after.lines, wanted)
        content = render_drop_in(tokens, default_kernel)
        rewritten = (self.host.read(DROP_IN) or "") != content
        self.host.set_file(DROP_IN, content.encode(), disruption="reboot", reason="kernel arguments and default kernel")
        if rewritten or before is None or after != before or self._older_than(DROP_IN):
            self._regenerate("stale", "current", wanted, newest)
        return after

    def _check_reach(self, tokens: Sequence[str], newest: str | None) -> None:
        """Refuse what the menu would not get, before anything is written."""
        found = self.settings
        if tokens and found.tokens_dropped_by:
            raise KernelArgumentError(
                f"{found.tokens_dropped_by} sets GRUB_CMDLINE_LINUX_DEFAULT again after {DROP_IN}, so {tokens[0]} and the other "
                'arguments would not reach the boot menu. Let it add to the variable ("${GRUB_CMDLINE_LINUX_DEFAULT} ..."), or '
                "give it a name that sorts before"
            )
        if newest and found.default_dropped_by:
            raise KernelArgumentError(
                f"{found.default_dropped_by} sets GRUB_DEFAULT again after {DROP_IN}, so {newest} would not become the default "
                "kernel. Remove GRUB_DEFAULT there, or give the file a name that sorts before"
            )
        if tokens and found.behind_dashes:
            where = next(name for name, theirs in found.foreign.items() if "--" in theirs)
            raise KernelArgumentError(
                f"{where} has -- in GRUB_CMDLINE_LINUX or GRUB_CMDLINE_LINUX_DEFAULT; the kernel hands everything behind it to "
                f"init, {tokens[0]} too. Move -- and what follows into a drop-in whose name sorts after {DROP_IN}"
            )

    def remove(self, added: Sequence[str]) -> BootEntry | None:
        """Plan to remove the drop-in.

        While the ``added`` kernels are still installed, the menu's own order may prefer one of them. A drop-in without
        arguments then makes a previous kernel the default until they are removed.
        """
        touched = DROP_IN in self.host.entries("file")
        before = self.following()
        if not touched:
            return before
        if not added:
            self.host.restore_files([DROP_IN])
            self._regenerate("with realtime.kvm's drop-in", "without")
            self.host.restore_files()  # what was written is known until the menu is without it
            return self._predict(before, [], None)
        kernels = [release for release in installed_kernels(self.host) if release not in added]
        newest = newest_matching(kernels, "*")
        if newest is None:
            raise HostError(
                f"every kernel in /boot would be removed ({', '.join(added)}); install one of the distribution's first"
            )
        content = render_drop_in([], newest)
        if (self.host.read(DROP_IN) or "") != content or before is None or before.release != newest or self._older_than(DROP_IN):
            self.host.set_file(DROP_IN, content.encode(), disruption="reboot", reason="back to a previous kernel")
            self._regenerate("stale", "current", (), newest)
        return self._predict(before, [], newest)

    def _predict(self, entry: BootEntry | None, wanted: Sequence[str], release: str | None) -> BootEntry | None:
        """Return the tokens that the menu will hold: the admin's as they are, then the planned ones that are missing there."""
        if entry is None:
            return None
        kept, ours = {*wanted, *self.settings.tokens}, {*self.ours, *self.written.tokens}
        keys = {key_of(token) for token in wanted if not is_list_key(key_of(token))}  # a menu edited by hand is made again

        def stays(token: str) -> bool:
            return token in kept or not (token in ours or key_of(token) in keys)

        lines = [_merged([token for token in line if stays(token)], wanted) for line in entry.lines]
        return _booting(entry, lines, release)

    def _older_than(self, path: str) -> bool:
        """Whether the menu was made before a file was written: with the drop-in, a run ended in between."""
        if not path:
            return False
        try:
            return os.stat(self.host.path(GRUB_CFG)).st_mtime_ns < os.stat(self.host.path(path)).st_mtime_ns
        except OSError:
            return True

    def _date_drop_in(self) -> None:
        """Give the drop-in the time of the menu that was made from it, where the clock has been set back since it was written."""
        if self._older_than(DROP_IN):
            with suppress(OSError):
                time = os.stat(self.host.path(GRUB_CFG)).st_mtime_ns
                os.utime(self.host.path(DROP_IN), ns=(time, time))

    def _regenerate(self, before: str, after: str, wanted: Sequence[str] = (), release: str | None = None) -> None:
        change = Change(GRUB_CFG, before, after, "reboot", "generated by grub-mkconfig")
        self.host.follow_up(change, partial(self._write_menu, wanted, release))

    def _write_menu(self, wanted: Sequence[str], release: str | None) -> None:
        # grub-mkconfig writes in place, and a power cut would then leave no menu; so it writes a draft
        real = resolve(self.host, GRUB_CFG)
        draft = f"{real}.realtime-kvm"
        run_checked(self.runner, [self.mkconfig, "-o", self.host.path(draft)])
        kept = f"it is kept as {draft} and {GRUB_CFG} is unchanged"
        entry = self._default_of(self.host.read(draft) or "")
        if entry is None:
            raise HostError(
                f"{self.mkconfig} generated a menu without a kernel, or one whose default a variable or a condition chooses; {kept}"
            )
        try:
            check_line(f"the menu that {self.mkconfig} generated", entry.kernel, entry.lines, wanted)
        except KernelArgumentError as error:
            raise HostError(
                f"{error}; {kept}. Does a file of /etc/grub.d ignore GRUB_CMDLINE_LINUX_DEFAULT or have arguments of its own? "
                f"{DROP_IN} has the planned ones; repair the file and run it again, or undo"
            ) from None
        if release and entry.release != release:
            raise HostError(
                f"{self.mkconfig} generated a menu whose default is {entry.release or entry.kernel} instead of {release}; {kept}. "
                "Does a file of /etc/grub.d choose the default entry?"
            )
        problem = menu_problem(self.host.read(draft) or "") if self.held else ""
        if problem:
            raise HostError(
                f"{self.mkconfig} generated a menu that would boot the new entry again and again: {problem}; {kept}. The old entry stays "
                "the default"
            )
        try:
            replace_file(self.host.path(draft), self.host.path(real))
        except OSError as error:
            raise HostError(f"{GRUB_CFG} cannot be written: {error.strerror}") from None
        self._date_drop_in()


def _merged(line: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Add the tokens that are missing; what follows -- is for init."""
    known = kernel_part(line)
    return [*known, *(token for token in wanted if token not in known), *line[len(known) :]]


def _booting(entry: BootEntry, lines: Sequence[Sequence[str]], release: str | None) -> BootEntry:
    """Return an entry with other command lines and, if a release is given, with that kernel."""
    kernel = f"{entry.kernel.rpartition('/')[0]}/vmlinuz-{release}" if release and release != entry.release else entry.kernel
    first, *others = (tuple(line) for line in lines)
    return replace(entry, kernel=kernel, tokens=first, others=tuple(others))


def _check_opens(host: Host, path: str) -> None:
    try:
        os.close(os.open(host.path(path), os.O_WRONLY | os.O_APPEND))
        folder = os.path.dirname(host.path(path))
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "its directory is not writable")
    except OSError as error:
        raise HostError(
            f"{path} cannot be written: {error.strerror}; the kernel arguments cannot be kept "
            "(is the file system mounted read-only, or the file immutable?)"
        ) from None


def find_boot_loader(host: Host, runner: Runner) -> Grub | Grubby:
    """Return the machine's boot loader; ``HostError`` names the programs that were looked for when none exists."""
    written = parse_written(host.read(config_path("kernel_arguments")) or "")
    grubby = _find_program(host, "grubby")
    if grubby:
        return Grubby(host, runner, grubby, written)
    mkconfig = _find_program(host, "grub-mkconfig")
    if mkconfig and (host.exists(GRUB_DEFAULTS) or host.exists(GRUB_CFG)):
        return Grub(host, runner, mkconfig, written)
    raise HostError(
        "no boot loader configuration was found: neither grubby (RHEL family) nor grub-mkconfig with /etc/default/grub "
        "(Debian, Ubuntu); "
        "set the kernel arguments by other means, or install one of them"
    )
