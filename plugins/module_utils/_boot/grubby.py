# SPDX-License-Identifier: GPL-3.0-or-later
"""The RHEL family: grubby edits separate boot entries, token by token. Edge.

Sources: grubby(8), Fedora's grubby-bls; 20-grub.install and grub2-get-kernel-settings of the family's grub2 package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from .._cpus.cmdline import key_of, split_tokens
from .._cpus.errors import HostError
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.lines import add_lines, restore_lines
from .._host.resolve import read_text, rewrite_text, rewriting
from .._host.runner import run_checked
from .arguments import family_of, is_list_key, merge
from .grub_files import BootEntry, newest_matching, parse_grubby
from .lines import check_line
from .one_shot import without_trial
from .written import Written

#: kernel-install gives the next kernel these arguments; without this file, those of the running kernel.
NEXT_KERNEL = "/etc/kernel/cmdline"
#: Whether a kernel update becomes the default.
UPDATES = "/etc/sysconfig/kernel"
_KEEP_DEFAULT = "# realtime.kvm: a kernel update must not become the default; its next run chooses the newest\nUPDATEDEFAULT=no\n"
GRUBENV = "/boot/grub2/grubenv"


class Grubby:
    """Boot entries, each known by its id: two entries may have the same kernel (snapshots of a volume)."""

    name = "grubby"

    def __init__(self, host: Host, runner: Runner, program: str, written: Written) -> None:
        self.host = host
        self.runner = runner
        self.program = program
        self.written = written
        self.held = False  # no menu is generated
        self.entries = list(self._listed().values())
        self.default = self._default()
        self.originals = {name: json.loads(text) for name, text in host.entries("grubby").items()}
        self.ours = self._ours()

    def _listed(self) -> dict[int, BootEntry]:
        """Return the entries by their index, which changes whenever an entry comes or goes."""
        return parse_grubby(run_checked(self.runner, [self.program, "--info=ALL"]))

    def _default(self) -> str:
        """Return the id of the default entry; without a valid one, GRUB boots the first."""
        index = run_checked(self.runner, [self.program, "--default-index"]).strip()
        listed = self._listed()
        found = listed.get(int(index)) if index.isdecimal() else None
        return (found or next(iter(listed.values()), None) or BootEntry("", "", "", ())).identity

    def _ours(self) -> list[str]:
        """Return the tokens that earlier runs added: those of the first run, and those of the last run that were new."""
        tokens = {token for original in self.originals.values() for token in original.get("ours", [])}
        theirs = [token for original in self.originals.values() for token in original.get("tokens", [])]
        if theirs:
            tokens |= {token for token in self.written.tokens if token not in theirs}
        return sorted(tokens)

    def check_writable(self) -> None:
        """Raise ``HostError``, before any change, when no entry can be written later."""
        if not self.entries:
            raise HostError(f"{self.program} --info=ALL lists no boot entry; the boot loader is not configured")
        names = [entry.identity for entry in self.entries]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise HostError(f"{self.program} --info=ALL lists two boot entries {twice}; remove one (grubby --remove-kernel)")

    def foreign(self) -> dict[str, list[str]]:
        """Return the tokens of other users in the entries, by entry, with GRUB's variables as they will be read."""
        found = {f"boot entry {entry.identity}": self._expanded(entry).tokens for entry in self.entries}
        found[NEXT_KERNEL] = tuple(split_tokens(self.host.read(NEXT_KERNEL) or ""))
        named = {
            place: [token for token in tokens if token not in self.ours and not token.startswith("$")]
            for place, tokens in found.items()
        }
        return {place: tokens for place, tokens in named.items() if tokens}

    def _expanded(self, entry: BootEntry) -> BootEntry:
        """Return an entry with the values of its variables (tuned's $tuned_params), which GRUB keeps in its environment."""
        text = self.host.read(GRUBENV) or ""

        def value(token: str) -> list[str]:
            match = re.search(rf"(?m)^{re.escape(token[1:])}=(.*)$", text) if token.startswith("$") else None
            return split_tokens(match[1]) if match else [token]

        return replace(entry, tokens=tuple(part for token in entry.tokens for part in value(token)))

    def _entry(self, identity: str) -> BootEntry | None:
        return next((entry for entry in self.entries if entry.identity == identity), None)

    def following(self) -> BootEntry | None:
        """Return the entry that boots next without any change."""
        entry = self._entry(self.default)
        return self._expanded(entry) if entry else None

    def plan(self, wanted: Sequence[str], default_kernel: str | None) -> BootEntry | None:
        """Plan the changes of every entry, of what the next kernel gets, and of the default entry."""
        for entry in self.entries:
            merged = merge(without_trial(entry.tokens), wanted, self.ours)
            check_line(f"boot entry {entry.identity}", entry.kernel, replace(entry, tokens=tuple(merged)).lines, wanted)
            if list(entry.tokens) != merged:
                self._plan_entry(entry, merged, wanted)
        self._plan_next_kernel(wanted)
        chosen = self._chosen(default_kernel)
        if chosen and chosen.identity != self.default:
            change = Change("grubby:default", self.default, chosen.identity, "reboot", "default boot entry")
            original = json.dumps({"default": self.default})
            self.host.change(change, partial(self._set_default, chosen.identity), kind="grubby", original=original)
        if default_kernel and re.search(r"(?m)^\s*UPDATEDEFAULT=[\"']?yes", self.host.read(UPDATES) or ""):
            add_lines(self.host, UPDATES, _KEEP_DEFAULT, reason="a kernel update must not become the default")
        return self._expanded(replace(chosen, tokens=tuple(merge(chosen.tokens, wanted, self.ours)))) if chosen else None

    def _chosen(self, default_kernel: str | None) -> BootEntry | None:
        """Return the entry of the newest matching kernel; of several, the default or the one that its package made."""
        current = self._entry(self.default)
        newest = newest_matching([entry.release for entry in self.entries], default_kernel) if default_kernel else None
        found = [entry for entry in self.entries if entry.release == newest]
        if not found or current in found:
            return current
        package = f"{(self.host.value('/etc/machine-id') or '')}-{newest}"
        named = [entry for entry in found if entry.identity == package] or found
        if len(named) > 1:
            names = ", ".join(entry.identity for entry in named)
            raise HostError(f"{newest} has several boot entries ({names}); choose one: grubby --set-default-index=<index>")
        return named[0]

    def _plan_entry(self, entry: BootEntry, merged: Sequence[str], wanted: Sequence[str]) -> None:
        change = Change(_resource(entry), " ".join(entry.tokens), " ".join(merged), "reboot", "kernel arguments")
        original = json.dumps(
            {"tokens": without_trial(entry.tokens), "ours": [token for token in wanted if token not in entry.tokens]}
        )
        self.host.change(change, partial(self._set_tokens, entry, merged), kind="grubby", original=original)

    def _plan_next_kernel(self, wanted: Sequence[str]) -> None:
        """Plan that kernels installed later have the arguments too."""
        text = read_text(self.host, NEXT_KERNEL)
        tokens = without_trial(split_tokens(text or ""))
        merged = merge(tokens, wanted, self.ours)
        if text is None or merged == split_tokens(text):
            return
        after = " ".join(merged) + "\n"
        change = rewriting(NEXT_KERNEL, text, after, reason="arguments of kernels installed later")
        ours = [token for token in wanted if token not in tokens]
        original = json.dumps({"text": text, "ours": ours})
        self.host.change(change, partial(rewrite_text, self.host, NEXT_KERNEL, after), kind="grubby", original=original)

    def _index(self, identity: str) -> str:
        found = [index for index, entry in self._listed().items() if entry.identity == identity]
        if len(found) != 1:
            raise HostError(f"the boot entry {identity} has disappeared meanwhile; run it again")
        return str(found[0])

    def _set_default(self, identity: str) -> None:
        self._call(f"--set-default-index={self._index(identity)}")

    def _set_tokens(self, entry: BootEntry, tokens: Sequence[str]) -> None:
        # to remove a repeat, all are removed and one is added again
        gone = [token for token in dict.fromkeys(entry.tokens) if entry.tokens.count(token) > tokens.count(token)]
        new = [token for token in tokens if token in gone or tokens.count(token) > entry.tokens.count(token)]
        # grubby removes tokens with the key of a new one, so all tokens of keys that may repeat are given again, in order
        lists = {family_of(key_of(token)) for token in new if is_list_key(key_of(token))}
        gone += [token for token in dict.fromkeys(entry.tokens) if family_of(key_of(token)) in lists and token not in gone]
        new = [token for token in tokens if token in new or family_of(key_of(token)) in lists]
        self._call(
            f"--update-kernel={self._index(entry.identity)}",
            *([f"--remove-args={' '.join(gone)}"] if gone else []),
            *([f"--args={' '.join(new)}"] if new else []),
        )
        made = next((found for found in self._listed().values() if found.identity == entry.identity), None)
        if made is None or set(made.tokens) != set(tokens):
            raise HostError(
                f'{self.program} left the boot entry {entry.identity} with "{" ".join(made.tokens if made else ())}" '
                f'instead of "{" ".join(tokens)}"; repair it (grubby --info={entry.kernel}) before the next reboot'
            )

    def _call(self, *arguments: str) -> None:
        run_checked(self.runner, [self.program, *arguments])

    def remove(self, added: Sequence[str]) -> BootEntry | None:
        """Plan to restore every entry and the default; then no ``added`` kernel is the default."""
        del added
        for resource, original in self.originals.items():
            if "tokens" in original:
                self._restore_entry(resource, original["tokens"])
        self._restore_next_kernel()
        for entry in self.entries:  # of kernels installed since, which take their arguments from the others
            rest = merge(without_trial(entry.tokens), [], self.ours)
            if _resource(entry) not in self.originals and list(entry.tokens) != rest:
                change = Change(_resource(entry), " ".join(entry.tokens), " ".join(rest), "reboot", "restored")
                self.host.follow_up(change, partial(self._set_tokens, entry, rest))
        result = self._restore_default()
        restore_lines(self.host)
        self.host.restore_files()
        return self._expanded(replace(result, tokens=tuple(merge(result.tokens, [], self.ours)))) if result else None

    def _restore_entry(self, resource: str, tokens: list[str]) -> None:
        entry = next((entry for entry in self.entries if _resource(entry) == resource), None)
        if entry is None or list(entry.tokens) == tokens:
            self.host.restore(None, resource, lambda: None)
            return
        change = Change(resource, " ".join(entry.tokens), " ".join(tokens), "reboot", "restored")
        self.host.restore(change, resource, partial(self._set_tokens, entry, tokens))

    def _restore_next_kernel(self) -> None:
        text, original = read_text(self.host, NEXT_KERNEL), self.originals.get(NEXT_KERNEL, {}).get("text", "")
        rest = merge(without_trial(split_tokens(text or "")), [], self.ours)
        after = original if rest == split_tokens(original) else " ".join(rest) + "\n"
        changes = text is not None and split_tokens(text) != split_tokens(after)
        change = rewriting(NEXT_KERNEL, text, after, reason="restored") if changes else None
        if NEXT_KERNEL in self.originals:
            self.host.restore(change, NEXT_KERNEL, partial(rewrite_text, self.host, NEXT_KERNEL, after))
        elif change:  # made since, from an entry
            self.host.follow_up(change, partial(rewrite_text, self.host, NEXT_KERNEL, after))

    def _restore_default(self) -> BootEntry | None:
        current = self._entry(self.default)
        original = self.originals.get("grubby:default", {}).get("default")
        if original is None:
            return current
        before = self._entry(original)
        if before is None:
            self.host.notes.append(f"the former default boot entry {original} no longer exists; {self.default} stays the default")
        change = Change("grubby:default", self.default, original, "reboot", "restored")
        needed = before is not None and original != self.default
        self.host.restore(change if needed else None, "grubby:default", partial(self._set_default, original))
        return before or current


def _resource(entry: BootEntry) -> str:
    return f"grubby:{entry.identity}"
