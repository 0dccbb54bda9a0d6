# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial: what is planned on the node so that GRUB boots the new entry once and the old one stays the default.

Edge. ``hold`` comes before the boot loader's own changes, ``arm`` after them, so that a run that is killed anywhere leaves a node
whose next boot is the old entry or the tried one. The node's own program (``_node/trial``) ends the trial.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase

from .._cpus.errors import HostError
from .._host import files
from .._host.change import Change
from .._host.checkpoint import checkpoint
from .._host.host import Host, Runner
from .._host.kernel import read_kernel
from .._host.session import ssh_session
from .compared import MARK
from .grub_files import BootEntry
from .loader import find_boot_loader
from .one_shot import (
    NEXT,
    TRIAL,
    OneShotError,
    Recipe,
    arm_environment,
    bls_recipe,
    disarm_environment,
    extra_tokens,
    frame,
    framed,
    is_armed,
    menu_recipes,
    new_entry,
    old_entry,
    parse_environment,
    running_tokens,
    with_frame,
)
from .place import ENTRIES, check_menu, check_place, check_script
from .verdict import (
    ARMED,
    BACK,
    CONFIRMED,
    DEFAULT,
    JUDGING,
    LOOSE,
    PROGRAM,
    RECORD,
    RETURNED,
    TRIED,
    UNHELD,
    UNIT,
    UNSPENT,
    WAITING,
    WANTED,
    WATCHDOG,
    Boot,
    Record,
    RecordError,
    Way,
    dump,
    load,
    runs_new,
    same_boot,
    which_boot,
    why_again,
    why_back,
    why_unheld,
    without,
)
from .watchdog import watchdog_settings
from .way import look_at_way, server_problem

RESOURCE = "boot on trial"
#: Seconds for the greeting of the SSH server that serves this run.
_GREETING_S = 10


class BootTrial:
    """The trial on one node. ``program`` is the file that judges the boot there, ``unit`` and ``watchdog`` are texts for systemd."""

    def __init__(self, host: Host, runner: Runner, loader: str, program: bytes, unit: str, watchdog: str) -> None:
        self.host = host
        self.runner = runner
        self.folder = "/boot/grub2" if loader == "grubby" else "/boot/grub"
        self.program, self.unit, self.watchdog = program, unit, watchdog
        self.custom = f"{self.folder}/custom.cfg"
        self.environment = f"{self.folder}/grubenv"
        kernel = read_kernel(host)
        self.running = Boot(kernel.release, kernel.cmdline)
        self.record = self._load()

    def _load(self) -> Record | None:
        data = self.host.read_bytes(RECORD)
        if data is None:
            return None
        try:
            return load(data)
        except RecordError as error:
            self.host.notes.append(f"{RECORD}: {error}; it is not used")
            return None

    # -- what is the case --------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """Return how the last trial stands (none, armed, judging, confirmed, returned, unspent, unheld), and why.

        As long as the tried entry runs and the old one is the default, the trial has not ended, whatever the record says: the
        node may have given up and be shutting down, or the record may be lost.
        """
        record, text = self.record, framed(self._custom())
        if record is None:
            if MARK in self.running.tokens and _tries(text):
                return {"state": JUDGING, "reason": f"{RECORD} cannot be read"}
            return {"state": "none", "reason": ""}
        boot = which_boot(record, self.host.boot_id(), self.running, bool(text))
        if boot == TRIED and record.state != CONFIRMED:
            return {"state": JUDGING, "reason": record.reason}
        if record.state != CONFIRMED and (boot == LOOSE or (boot == WAITING and not text)):
            return {"state": UNHELD, "reason": why_unheld(record)}
        if boot == BACK and runs_new(record, self.running) and not self._waits():
            return {"state": JUDGING, "reason": why_again(record)}
        if record.state != ARMED:
            return {"state": record.state, "reason": record.reason}
        if boot == BACK:
            waits = self._waits() and _tries(text)
            return {"state": UNSPENT if waits else RETURNED, "reason": why_back(record, self.running, not waits)}
        return {"state": CONFIRMED if boot == DEFAULT else ARMED, "reason": ""}

    def _custom(self) -> str:
        return (self.host.read_whole(self.custom) or b"").decode("utf-8", "surrogateescape")

    def _block(self) -> bytes:
        return self.host.read_bytes(self.environment) or b""

    def _waits(self) -> bool:
        return is_armed(self._block())

    def _left(self) -> bool:
        """Return whether the environment block has something of a trial."""
        try:
            return disarm_environment(self._block()) != self._block()
        except OneShotError:
            return False

    # -- what must hold before any change ----------------------------------------------------------

    def judging(self) -> bool:
        """Return whether the node is about to confirm its boot or to give it up; a run that would change it is refused."""
        found = self.state()
        if found["state"] != JUDGING:
            return False
        if self.host.dry:
            return True
        if self.record is None:
            raise HostError(
                f"the node runs a boot entry on trial and {found['reason']}, so it cannot be confirmed; reboot the node, which leads back to "
                "its old boot entry, and run the playbook again"
            )
        if found["reason"]:
            raise HostError(
                f"the node has given up its new boot entry ({found['reason']}); run the playbook again once its old one has booted"
            )
        raise HostError(
            f"the node is judging its new boot entry; wait until it has (at most {self.record.seconds} s after the boot)"
        )

    def check(self) -> None:
        """Raise, before any change, when GRUB cannot boot an entry once here or a failed boot could not lead back."""
        check_place(self.host, self.runner, self.folder)
        check_script(self.host, self.runner, frame(self._old()))

    def _recipes(self) -> list[Recipe]:
        if self.folder.endswith("2"):
            variables = parse_environment(self.host.read_bytes(self.environment) or b"")
            names = [path.rpartition("/")[2][: -len(".conf")] for path in self.host.glob(f"{ENTRIES}/*.conf")]
            return [bls_recipe(name, self.host.read(f"{ENTRIES}/{name}.conf") or "", variables) for name in names]
        return menu_recipes(self.host.read(f"{self.folder}/grub.cfg") or "")

    def _old(self) -> Recipe:
        old = old_entry(self._recipes(), self.running.release, self.running.tokens)
        self._check_files(old)
        return old

    def _check_files(self, recipe: Recipe) -> None:
        for path in (recipe.kernel, *recipe.initrds):
            name = f"/boot/{os.path.basename(path)}"
            if not self.host.exists(name):
                raise OneShotError(
                    f"{name} does not exist, which the boot entry of kernel {recipe.release} needs; install it again"
                )

    # -- plans -------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Plan that the running kernel with its arguments is what boots by default, whatever the menu says."""
        custom = self._custom()
        text = frame(self._old())
        # an entry on trial may stand there already: it boots only if next_entry names it
        if _entry_of(text) == _entry_of(framed(custom)) and custom.startswith(framed(custom)):
            return
        there = custom if self.host.exists(self.custom) else None
        change = Change(self.custom, there, with_frame(there, text), "none", "the old entry stays the default")
        self.host.follow_up(change, lambda: self._hold(text))

    def arm(self, following: BootEntry, seconds: int, pattern: str | None, new: str = "") -> None:
        """Plan that the next boot is the new entry's, once; a ``pattern`` given is that of its kernel release.

        ``new`` is what people are told to boot; its release when empty.
        """
        if self._armed(following, seconds):
            return
        once = parse_environment(self._block()).get(NEXT)
        if once and once != TRIAL:
            self.host.notes.append(
                f"{self.environment} names {once} for the next boot (grub-reboot); the trial takes its place, so choose it again after the trial"
            )
        before = self.state()["state"]
        after = f"{new or following.release} once, then as before unless the node confirms it"
        change = Change(RESOURCE, before, after, "none", "one boot on trial")
        self.host.follow_up(change, lambda: self._arm(seconds, pattern))

    def _armed(self, following: BootEntry, seconds: int) -> bool:
        record = self.record
        return (
            record is not None
            and (record.state, record.boot_id, record.seconds) == (ARMED, self.host.boot_id(), seconds)
            and _is_entry(without(record.new, record.extra), following)
            and self._waits()
            and _tries(framed(self._custom()))
            and self.host.read_bytes(PROGRAM) == self.program
            and self.host.read(UNIT) == self.unit
        )

    def lift(self, *, whole: bool) -> None:
        """Plan that no trial is waiting. ``whole``: what is remembered of the last one goes too."""
        there = [path for path in (WATCHDOG, WANTED, UNIT, PROGRAM) if self.host.exists(path)]
        ended = self.record is not None and self.record.state == CONFIRMED and not whole
        if there or framed(self._custom()) or self._left() or (self.host.exists(RECORD) and not ended):
            change = Change(RESOURCE, self.state()["state"], "none", "none", "no boot on trial is waiting")
            self.host.follow_up(change, lambda: self._lift(whole))

    # -- steps -------------------------------------------------------------------------------------

    def _hold(self, text: str) -> None:
        # a confirmation that was not written down shows only by the missing frame, which comes back now
        if self.record and self.record.state == ARMED and self.state()["state"] == CONFIRMED:
            self.host.write_file(RECORD, dump(replace(self.record, state=CONFIRMED)))
        self._write_custom(text)

    def _write_custom(self, text: str) -> None:
        content = with_frame(self._custom() if self.host.exists(self.custom) else None, text)
        mode = files.mode_of(self.host.path(self.custom)) if self.host.exists(self.custom) else 0o644
        self.host.write_file(self.custom, None if content is None else content.encode("utf-8", "surrogateescape"), mode)
        # before a menu or the environment block changes, which GRUB may see without this file
        why = checkpoint(self.host.path(os.path.dirname(self.custom)), self.host.root)
        if why and text:
            note = (
                f"{self.custom} may be in the journal of its file system only, which GRUB does not read: {why}. A power cut before the node "
                "has shut down may boot the menu's new entry untried; put /boot on a file system of its own to exclude that"
            )
            self.host.notes.extend([] if note in self.host.notes else [note])

    def _set_armed(self, *, armed: bool) -> None:
        """Arm the trial, or disarm it. The block is written in place, as GRUB's own tools do, so GRUB sees it even before the journal."""
        block = self.host.read_bytes(self.environment)
        if block is None:
            return
        changed = arm_environment(block) if armed else disarm_environment(block)
        try:
            with open(self.host.path(self.environment), "r+b") as stream:
                stream.write(changed)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise HostError(f"{self.environment} cannot be written: {error.strerror}") from None

    def _arm(self, seconds: int, pattern: str | None) -> None:
        entry = find_boot_loader(self.host, self.runner).following()
        if entry is None or (pattern and not fnmatchcase(entry.release, pattern)):
            name = entry.release if entry else "no kernel"
            raise HostError(
                f"the boot menu would boot {name} instead of a kernel {pattern or ''}; the old entry stays the default"
            )
        if _is_entry(Boot(self.running.release, tuple(running_tokens(self.running.tokens))), entry):
            self._lift(whole=True)  # the menu, once generated, boots what runs already
            return
        check_menu(self.host, self.folder)
        recipes = [recipe for recipe in self._recipes() if recipe.release == entry.release]
        named = [recipe for recipe in recipes if recipe.identity == entry.identity] or recipes
        if not named:
            raise HostError(f"the boot menu has no entry of kernel {entry.release}; the old entry stays the default")
        old, new = self._old(), new_entry(named[0])
        self._check_files(new)
        check_script(self.host, self.runner, frame(old, new))
        served = watchdog_settings(self.host)
        record = Record(
            ARMED,
            self.host.boot_id(),
            Boot(old.release, tuple(running_tokens(self.running.tokens))),
            Boot(new.release, new.tokens),
            extra_tokens(named[0].tokens),
            self.folder,
            seconds,
            self._way(),
            self._libvirt_answers(),
            bool(served),
            self.host.value("/proc/sys/kernel/panic") or "",
            self._new_folders(bool(served)),
        )
        self.host.write_file(PROGRAM, self.program)
        self.host.write_file(UNIT, self.unit.encode())
        self._write_link()
        self.host.write_file(RECORD, dump(record))  # before the folder that it names
        self.host.write_file(WATCHDOG, (self.watchdog + served).encode() if served else None)
        self._write_custom(frame(old, new))
        self._set_armed(armed=True)

    def _write_link(self) -> None:
        full = self.host.path(WANTED)
        try:
            files.make_directories(os.path.dirname(full))
            files.unlink(full)
            os.symlink(UNIT, full)
            files.sync_directory(os.path.dirname(full))
        except OSError as error:
            raise HostError(f"{WANTED} cannot be written: {error.strerror}") from None

    def _lift(self, whole: bool) -> None:
        state = self.state()["state"]
        if self._left():  # first: it means nothing without the frame
            self._set_armed(armed=False)
        if framed(self._custom()):
            self._write_custom("")
        for path in (WATCHDOG, WANTED, UNIT, PROGRAM):
            self.host.write_file(path, None)
        if not whole and self.record and state == CONFIRMED:
            self.host.write_file(RECORD, dump(replace(self.record, state=CONFIRMED)))
        else:
            self.host.write_file(RECORD, None)
        # an empty folder that the administrator has made stays
        for folder in (os.path.dirname(RECORD), *(self.record.folders if self.record else ())):
            with suppress(OSError):  # other files are there
                os.rmdir(self.host.path(folder))

    def _new_folders(self, watches: bool) -> tuple[str, ...]:
        """Return the folders that exist for the trial alone, an earlier one included."""
        folder = os.path.dirname(WATCHDOG)
        made = self.record is not None and folder in self.record.folders
        return (folder,) if made or (watches and not self.host.exists(folder)) else ()

    def _way(self) -> Way | None:
        session = ssh_session(self.host)
        if session is None:
            return None
        signs = look_at_way(self.runner, self.host.path("/").rstrip("/"), session.client)
        greeting = not server_problem(session.server, session.port, _GREETING_S)
        return Way(session.server, session.port, session.client, signs.source, signs.cable, signs.neighbour, greeting)

    def _libvirt_answers(self) -> bool:
        if not any(self.host.exists(f"{folder}/virsh") for folder in ("/usr/bin", "/bin")):
            return False
        return self.runner(["timeout", "20", "virsh", "-q", "-c", "qemu:///system", "uri"])[0] == 0


def _is_entry(boot: Boot, entry: BootEntry) -> bool:
    """Whether a boot is what an entry boots, by one of its command lines."""
    return any(same_boot(boot, Boot(entry.release, tuple(line))) for line in entry.lines)


def _tries(text: str) -> bool:
    """Whether a frame has an entry on trial."""
    return f"--id '{TRIAL}'" in text


def _entry_of(text: str) -> str:
    """Return the old entry in a frame."""
    return text.partition("\n}\n")[0].partition("menuentry ")[2]
