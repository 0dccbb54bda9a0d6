# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders: what they boot next, and how they get the planned arguments.

Edge. ``find_boot_loader`` returns GRUB with drop-ins (Debian, Ubuntu) or grubby (the RHEL family).
Each plans its changes on the ``Host`` and returns the entry that will boot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from .._cpus.answers import AnswerError, decode
from .._cpus.cmdline import key_of
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.files import replace_file
from .._host.host import Host, Runner
from .._host.paths import config_path
from .._host.resolve import resolve
from .._host.runner import run_checked
from .arguments import family_of, is_list_key, merge
from .grub_files import BootEntry, admin_tokens, drop_in_tokens, newest_matching, parse_grubby, parse_menu, render_drop_in

GRUB_DEFAULTS = "/etc/default/grub"
DROP_IN = "/etc/default/grub.d/99-realtime-kvm.cfg"
GRUB_CFG = "/boot/grub/grub.cfg"
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

    def __init__(self, host: Host, runner: Runner, mkconfig: str) -> None:
        self.host = host
        self.runner = runner
        self.mkconfig = mkconfig
        self.ours = drop_in_tokens(host.read(DROP_IN) or "")

    def check_writable(self) -> None:
        """Raise ``HostError``, before any change, when a file that must be written later is missing."""
        for path in (GRUB_DEFAULTS, GRUB_CFG):
            if not self.host.exists(path):
                raise HostError(f"{path} does not exist; install and configure GRUB first (grub-install, update-grub)")
        for path in (DROP_IN if self.host.exists(DROP_IN) else GRUB_DEFAULTS, GRUB_CFG):
            _check_opens(self.host, path)

    def foreign(self) -> dict[str, list[str]]:
        """Return the kernel tokens of the admin's files, by file."""
        files = [GRUB_DEFAULTS, *(path for path in self.host.glob("/etc/default/grub.d/*.cfg") if path != DROP_IN)]
        return {path: tokens for path in files for tokens in [admin_tokens(self.host.read(path) or "")] if tokens}

    def following(self) -> BootEntry | None:
        """Return the entry that boots next without any change."""
        return parse_menu(self.host.read(GRUB_CFG) or "")[1]

    def plan(self, wanted: Sequence[str], default_kernel: str | None) -> BootEntry | None:
        """Plan the drop-in and the menu; return the entry that boots once they are made."""
        before = self.following()
        # tokens that the admin's files set and the menu has: a later file may overrule an earlier one (cloud images do that)
        there = {token for tokens in self.foreign().values() for token in tokens} & set(before.tokens if before else ())
        tokens = [token for token in wanted if token not in there or token in self.ours or is_list_key(key_of(token))]
        content = render_drop_in(tokens, default_kernel)
        rewritten = (self.host.read(DROP_IN) or "") != content
        self.host.set_file(DROP_IN, content.encode(), disruption="reboot", reason="kernel arguments and default kernel")
        newest = newest_matching(installed_kernels(self.host), default_kernel) if default_kernel else None
        after = self._predict(before, wanted, newest)
        if rewritten or before is None or after != before or self._older_than_drop_in():
            self._regenerate("stale", "current")
        return after

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
            self.host.restore_files()
            self._regenerate("with realtime.kvm's drop-in", "without")
            return self._predict(before, [], None)
        kernels = [release for release in installed_kernels(self.host) if release not in added]
        newest = newest_matching(kernels, "*")
        if newest is None:
            raise HostError(
                f"every kernel in /boot would be removed ({', '.join(added)}); install one of the distribution's first"
            )
        content = render_drop_in([], newest)
        if (self.host.read(DROP_IN) or "") != content or before is None or before.release != newest or self._older_than_drop_in():
            self.host.set_file(DROP_IN, content.encode(), disruption="reboot", reason="back to a previous kernel")
            self._regenerate("stale", "current")
        return self._predict(before, [], newest)

    def _predict(self, entry: BootEntry | None, wanted: Sequence[str], release: str | None) -> BootEntry | None:
        """Return the tokens that the menu will hold: the admin's as they are, then the planned ones that are missing there."""
        if entry is None:
            return None
        foreign = {token for tokens in self.foreign().values() for token in tokens}
        gone = set(self.ours) - set(wanted) - foreign
        kept = [token for token in entry.tokens if token not in gone]
        return _booting(entry, [*kept, *(token for token in wanted if token not in kept)], release)

    def _older_than_drop_in(self) -> bool:
        """Whether a run ended between the drop-in and the menu."""
        try:
            return os.stat(self.host.path(GRUB_CFG)).st_mtime_ns < os.stat(self.host.path(DROP_IN)).st_mtime_ns
        except OSError:
            return True

    def _regenerate(self, before: str, after: str) -> None:
        self.host.follow_up(Change(GRUB_CFG, before, after, "reboot", "generated by grub-mkconfig"), self._write_menu)

    def _write_menu(self) -> None:
        # grub-mkconfig writes in place, and a power cut would then leave no menu; so it writes a draft
        real = resolve(self.host, GRUB_CFG)
        draft = f"{real}.realtime-kvm"
        run_checked(self.runner, [self.mkconfig, "-o", self.host.path(draft)])
        if parse_menu(self.host.read(draft) or "")[1] is None:
            raise HostError(
                f"{self.mkconfig} generated a menu without a kernel; it is kept as {draft} and {GRUB_CFG} is unchanged"
            )
        try:
            replace_file(self.host.path(draft), self.host.path(real))
        except OSError as error:
            raise HostError(f"{GRUB_CFG} cannot be written: {error.strerror}") from None


class Grubby:
    """The RHEL family: grubby edits separate boot entries, token by token."""

    name = "grubby"
    _RESOURCE = "grubby:"

    def __init__(self, host: Host, runner: Runner, program: str) -> None:
        self.host = host
        self.runner = runner
        self.program = program
        self.entries = parse_grubby(run_checked(runner, [program, "--info=ALL"]))
        self.default = run_checked(runner, [program, "--default-kernel"]).strip()
        self.originals = {name: json.loads(text) for name, text in host.entries("grubby").items()}
        self.ours = self._ours()

    def _ours(self) -> list[str]:
        """Return the tokens that earlier runs added: those of the first run, and those of the last run that were new."""
        tokens = {token for original in self.originals.values() for token in original.get("ours", [])}
        theirs = [token for original in self.originals.values() for token in original.get("tokens", [])]
        if theirs:
            try:
                asked = decode(self.host.read(config_path("kernel_arguments")) or "", {"tokens": [str]})["tokens"]
            except AnswerError:
                asked = []
            tokens |= {token for token in asked if token not in theirs}
        return sorted(tokens)

    def check_writable(self) -> None:
        if not self.entries:
            raise HostError(f"{self.program} --info=ALL lists no boot entry; the boot loader is not configured")

    def foreign(self) -> dict[str, list[str]]:
        """Return the tokens of other users in the entries, by kernel."""
        return {
            f"boot entry {entry.kernel}": [
                token for token in entry.tokens if token not in self.ours and not token.startswith("$")
            ]
            for entry in self.entries
        }

    def following(self) -> BootEntry | None:
        return next((entry for entry in self.entries if entry.kernel == self.default), None)

    def plan(self, wanted: Sequence[str], default_kernel: str | None) -> BootEntry | None:
        """Plan the changes of every entry and of the default one."""
        for entry in self.entries:
            merged = merge(entry.tokens, wanted, self.ours)
            if list(entry.tokens) != merged:
                self._plan_entry(entry, merged, wanted)
        newest = newest_matching([entry.release for entry in self.entries], default_kernel) if default_kernel else None
        chosen = next((entry for entry in self.entries if entry.release == newest), self.following())
        if chosen and chosen.kernel != self.default:
            change = Change("grubby:default", self.default, chosen.kernel, "reboot", "default kernel")
            self.host.change(
                change,
                partial(self._call, f"--set-default={chosen.kernel}"),
                kind="grubby",
                original=json.dumps({"default": self.default}),
            )
        return _booting(chosen, merge(chosen.tokens, wanted, self.ours), None) if chosen else None

    def _plan_entry(self, entry: BootEntry, merged: Sequence[str], wanted: Sequence[str]) -> None:
        resource = f"{self._RESOURCE}{entry.kernel}"
        change = Change(resource, " ".join(entry.tokens), " ".join(merged), "reboot", "kernel arguments")
        original = json.dumps({"tokens": list(entry.tokens), "ours": [token for token in wanted if token not in entry.tokens]})
        self.host.change(change, partial(self._set_tokens, entry, merged), kind="grubby", original=original)

    def _set_tokens(self, entry: BootEntry, tokens: Sequence[str]) -> None:
        # to remove a repeat, all are removed and one is added again
        gone = [token for token in dict.fromkeys(entry.tokens) if entry.tokens.count(token) > tokens.count(token)]
        new = [token for token in tokens if token in gone or tokens.count(token) > entry.tokens.count(token)]
        # grubby removes tokens with the key of a new one, so all tokens of keys that may repeat are given again, in order
        lists = {family_of(key_of(token)) for token in new if is_list_key(key_of(token))}
        gone += [token for token in dict.fromkeys(entry.tokens) if family_of(key_of(token)) in lists and token not in gone]
        new = [token for token in tokens if token in new or family_of(key_of(token)) in lists]
        self._call(
            f"--update-kernel={entry.kernel}",
            *([f"--remove-args={' '.join(gone)}"] if gone else []),
            *([f"--args={' '.join(new)}"] if new else []),
        )

    def _call(self, *arguments: str) -> None:
        run_checked(self.runner, [self.program, *arguments])

    def remove(self, added: Sequence[str]) -> BootEntry | None:
        """Plan to restore every entry and the default; then no ``added`` kernel is the default."""
        del added
        result = self.following()
        for resource, original in self.originals.items():
            if "default" in original:
                change = Change(resource, self.default, original["default"], "reboot", "restored")
                self.host.restore(
                    None if change.before == change.after else change,
                    resource,
                    partial(self._call, f"--set-default={original['default']}"),
                )
                result = next((entry for entry in self.entries if entry.kernel == original["default"]), result)
                continue
            entry = next((entry for entry in self.entries if f"{self._RESOURCE}{entry.kernel}" == resource), None)
            tokens = original["tokens"]
            if entry is None or list(entry.tokens) == tokens:
                self.host.restore(None, resource, lambda: None)
            else:
                change = Change(resource, " ".join(entry.tokens), " ".join(tokens), "reboot", "restored")
                self.host.restore(change, resource, partial(self._set_tokens, entry, tokens))
        for entry in self.entries:  # of kernels installed since, which take their arguments from the others
            resource = f"{self._RESOURCE}{entry.kernel}"
            rest = merge(entry.tokens, [], self.ours)
            if resource not in self.originals and list(entry.tokens) != rest:
                change = Change(resource, " ".join(entry.tokens), " ".join(rest), "reboot", "restored")
                self.host.follow_up(change, partial(self._set_tokens, entry, rest))
        self.host.restore_files()
        return _booting(result, merge(result.tokens, [], self.ours), None) if result else None


def _booting(entry: BootEntry, tokens: Sequence[str], release: str | None) -> BootEntry:
    """Return an entry with other tokens and, if a release is given, with that kernel."""
    kernel = f"{entry.kernel.rpartition('/')[0]}/vmlinuz-{release}" if release and release != entry.release else entry.kernel
    return replace(entry, kernel=kernel, tokens=tuple(tokens))


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
    grubby = _find_program(host, "grubby")
    if grubby:
        return Grubby(host, runner, grubby)
    mkconfig = _find_program(host, "grub-mkconfig")
    if mkconfig and (host.exists(GRUB_DEFAULTS) or host.exists(GRUB_CFG)):
        return Grub(host, runner, mkconfig)
    raise HostError(
        "no boot loader configuration was found: neither grubby (RHEL family) nor grub-mkconfig with /etc/default/grub "
        "(Debian, Ubuntu); "
        "set the kernel arguments by other means, or install one of them"
    )
