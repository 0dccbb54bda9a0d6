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
from .._host.host import Host, Runner
from .._host.kernel import read_kernel
from .._host.session import ssh_session
from .._host.watchdogs import find_watchdog, set_by_others
from .grub_files import BootEntry
from .loader import find_boot_loader
from .one_shot import (
    TRIAL,
    OneShotError,
    Recipe,
    bls_recipe,
    change_environment,
    extra_tokens,
    frame,
    framed,
    menu_problem,
    menu_recipes,
    new_entry,
    old_entry,
    parse_environment,
    place_problem,
    running_tokens,
    with_frame,
)
from .verdict import (
    ARMED,
    BACK,
    CONFIRMED,
    DEFAULT,
    PROGRAM,
    RECORD,
    RETURNED,
    TRIED,
    UNIT,
    WANTED,
    WATCHDOG,
    Boot,
    Record,
    RecordError,
    Way,
    dump,
    load,
    same_boot,
    which_boot,
    why_back,
    without,
)

RESOURCE = "boot on trial"
_ENTRIES = "/boot/loader/entries"
_WITHOUT = "or boot without a way back (rt_kernel_trial: false)"
_PROBES = ("/usr/sbin/grub-probe", "/usr/sbin/grub2-probe", "/usr/bin/grub-probe", "/usr/bin/grub2-probe")
#: Seconds after which a node that hangs in the trial is reset.
_WATCHDOG_S = 60


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
        """Return how the last trial stands (none, armed, judging, confirmed, returned), and why."""
        record = self.record
        if record is None or record.state != ARMED:
            return {"state": record.state if record else "none", "reason": record.reason if record else ""}
        boot = which_boot(record, self.host.boot_id(), self.running, bool(framed(self._custom())))
        if boot == BACK:
            return {"state": RETURNED, "reason": why_back(record, self.running, self._one_time() != TRIAL)}
        return {"state": {DEFAULT: CONFIRMED, TRIED: "judging"}.get(boot, ARMED), "reason": ""}

    def _custom(self) -> str:
        return (self.host.read_bytes(self.custom) or b"").decode("utf-8", "surrogateescape")

    def _one_time(self) -> str | None:
        try:
            return parse_environment(self.host.read_bytes(self.environment) or b"").get("next_entry")
        except OneShotError:
            return None

    # -- what must hold before any change ----------------------------------------------------------

    def judging(self) -> bool:
        """Return whether the node is about to confirm its boot or to give it up; a run that would change it is refused."""
        if self.record is None or self.state()["state"] != "judging":
            return False
        if not self.host.dry:
            raise HostError(
                f"the node is judging its new boot entry; wait until it has (at most {self.record.seconds} s after the boot)"
            )
        return True

    def check(self) -> None:
        """Raise, before any change, when GRUB cannot boot an entry once here or a failed boot could not lead back."""
        if not any(token.startswith("BOOT_IMAGE=") for token in self.running.tokens):
            raise HostError(
                "GRUB did not boot this node (its kernel command line has no BOOT_IMAGE=), so GRUB cannot boot an entry once; "
                f"let GRUB boot it, {_WITHOUT}"
            )
        problem = menu_problem(self.host.read(f"{self.folder}/grub.cfg") or "")
        if problem:
            raise HostError(f"{self.folder}/grub.cfg cannot boot an entry once: {problem}, {_WITHOUT}")
        for path in (self.custom, self.environment):
            if files.read_link(self.host.path(path)) is not None:
                raise HostError(f"{path} is a symbolic link, which GRUB may not follow; put the file itself there, {_WITHOUT}")
        block = self.host.read_bytes(self.environment)
        if block is None:
            maker = "grub2-editenv" if self.folder.endswith("2") else "grub-editenv"
            raise HostError(
                f"{self.environment} does not exist, and GRUB cannot create it; create it ({maker} - create), {_WITHOUT}"
            )
        change_environment(block, "next_entry", TRIAL)
        problem = place_problem(self._probe("fs"), self._probe("abstraction"))
        if problem:
            raise HostError(
                f"GRUB cannot write {self.environment}, so an entry would boot again and again: {problem}; move /boot to a plain "
                f"partition, {_WITHOUT}"
            )
        self._old()

    def _probe(self, target: str) -> str:
        program = next((path for path in _PROBES if self.host.exists(path)), None)
        if program is None:
            raise HostError(
                f"grub-probe was not found, so it is unknown whether GRUB can write here; install grub-common, {_WITHOUT}"
            )
        code, out, err = self.runner([program, f"--target={target}", self.folder])
        if code != 0:
            raise HostError(
                f"{program} --target={target} {self.folder} failed: {(err or out).strip()[-300:]}; repair it, {_WITHOUT}"
            )
        return out

    def _recipes(self) -> list[Recipe]:
        if self.folder.endswith("2"):
            variables = parse_environment(self.host.read_bytes(self.environment) or b"")
            names = [path.rpartition("/")[2][: -len(".conf")] for path in self.host.glob(f"{_ENTRIES}/*.conf")]
            return [bls_recipe(name, self.host.read(f"{_ENTRIES}/{name}.conf") or "", variables) for name in names]
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
        if _entry_of(text) == _entry_of(framed(custom)):
            return
        after = with_frame(custom or None, text)
        change = Change(self.custom, custom or None, after, "none", "the old entry stays the default")
        self.host.follow_up(change, lambda: self._write_custom(text))

    def arm(self, following: BootEntry, seconds: int, pattern: str | None) -> None:
        """Plan that the next boot is the new entry's, once; a ``pattern`` given is that of its kernel release."""
        if self._armed(following, seconds):
            return
        before = self.state()["state"]
        change = Change(
            RESOURCE, before, f"{following.release} once, then as before unless the node confirms it", "none", "one boot on trial"
        )
        self.host.follow_up(change, lambda: self._arm(seconds, pattern))

    def _armed(self, following: BootEntry, seconds: int) -> bool:
        record = self.record
        return (
            record is not None
            and (record.state, record.boot_id, record.seconds) == (ARMED, self.host.boot_id(), seconds)
            and _is_entry(without(record.new, record.extra), following)
            and self._one_time() == TRIAL
            and f"--id '{TRIAL}'" in framed(self._custom())
            and self.host.read_bytes(PROGRAM) == self.program
            and self.host.read(UNIT) == self.unit
        )

    def lift(self, *, whole: bool) -> None:
        """Plan that no trial is waiting. ``whole``: what is remembered of the last one goes too."""
        there = [path for path in (WATCHDOG, WANTED, UNIT, PROGRAM) if self.host.exists(path)]
        ended = self.record is not None and self.record.state == CONFIRMED and not whole
        if there or framed(self._custom()) or self._one_time() == TRIAL or (self.host.exists(RECORD) and not ended):
            change = Change(RESOURCE, self.state()["state"], "none", "none", "no boot on trial is waiting")
            self.host.follow_up(change, lambda: self._lift(whole))

    # -- steps -------------------------------------------------------------------------------------

    def _write_custom(self, text: str) -> None:
        content = with_frame(self._custom() if self.host.exists(self.custom) else None, text)
        mode = files.mode_of(self.host.path(self.custom)) if self.host.exists(self.custom) else 0o644
        self.host.write_file(self.custom, None if content is None else content.encode("utf-8", "surrogateescape"), mode)

    def _set_one_time(self, value: str | None) -> None:
        """Write the block in place, as GRUB's own tools do, so that GRUB reads it even before the file system's journal."""
        block = self.host.read_bytes(self.environment)
        if block is None:
            return
        changed = change_environment(block, "next_entry", value)
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
        recipes = [recipe for recipe in self._recipes() if recipe.release == entry.release]
        named = [recipe for recipe in recipes if recipe.identity == entry.identity] or recipes
        if not named:
            raise HostError(f"the boot menu has no entry of kernel {entry.release}; the old entry stays the default")
        old, new = self._old(), new_entry(named[0])
        self._check_files(new)
        session, served = ssh_session(self.host), self._watchdog()
        record = Record(
            ARMED,
            self.host.boot_id(),
            Boot(old.release, tuple(running_tokens(self.running.tokens))),
            Boot(new.release, new.tokens),
            extra_tokens(named[0].tokens),
            self.folder,
            seconds,
            Way(session.server, session.port, session.client) if session else None,
            self._libvirt_answers(),
            bool(served),
        )
        self.host.write_file(PROGRAM, self.program)
        self.host.write_file(UNIT, self.unit.encode())
        self._write_link()
        self.host.write_file(WATCHDOG, (self.watchdog + served).encode() if served else None)
        self.host.write_file(RECORD, dump(record))
        self._write_custom(frame(old, new))
        self._set_one_time(TRIAL)

    def _write_link(self) -> None:
        full = self.host.path(WANTED)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        files.unlink(full)
        os.symlink(UNIT, full)
        files.sync_directory(os.path.dirname(full))

    def _lift(self, whole: bool) -> None:
        state = self.state()["state"]
        # the one-time entry first: it means nothing without the frame
        if self._one_time() in (TRIAL, ""):  # GRUB leaves it empty
            self._set_one_time(None)
        if framed(self._custom()):
            self._write_custom("")
        for path in (WATCHDOG, WANTED, UNIT, PROGRAM):
            self.host.write_file(path, None)
        if not whole and self.record and state == CONFIRMED:
            self.host.write_file(RECORD, dump(replace(self.record, state=CONFIRMED)))
        else:
            self.host.write_file(RECORD, None)
        for path in (RECORD, WATCHDOG):
            with suppress(OSError):  # other files are there
                os.rmdir(os.path.dirname(self.host.path(path)))

    def _libvirt_answers(self) -> bool:
        if not any(self.host.exists(f"{folder}/virsh") for folder in ("/usr/bin", "/bin")):
            return False
        return self.runner(["timeout", "20", "virsh", "-q", "-c", "qemu:///system", "uri"])[0] == 0

    def _watchdog(self) -> str:
        """Return systemd's settings for the trial; empty: no watchdog in hardware can be stopped again, or the admin has chosen a time."""
        device = find_watchdog(self.host, WATCHDOG)
        seconds = device.fitting(_WATCHDOG_S) if device else 0
        if not device or not seconds or self.host.value(f"{device.path}/nowayout") != "0":
            return ""
        return "" if set_by_others(self.host, "RuntimeWatchdogSec", WATCHDOG) else device.settings(seconds)


def _is_entry(boot: Boot, entry: BootEntry) -> bool:
    """Whether a boot is what an entry boots, by one of its command lines."""
    return any(same_boot(boot, Boot(entry.release, tuple(line))) for line in entry.lines)


def _entry_of(text: str) -> str:
    """Return the old entry in a frame."""
    return text.partition("\n}\n")[0]
