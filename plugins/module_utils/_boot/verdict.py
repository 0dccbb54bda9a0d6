# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot on trial: what is remembered of it, which boot this is, and what speaks against it.

Pure. The record is written before the reboot and read by the node itself after it, and by the next run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .._cpus.cmdline import canonical, key_of
from .._cpus.errors import RefusalError
from .compared import MARK
from .one_shot import ADDED_KEYS

#: On the root file system, so that the node can judge its boot even if no other is mounted.
RECORD = "/etc/realtime-kvm/trial.json"
PROGRAM = "/etc/realtime-kvm/trial.pyz"
UNIT = "/etc/systemd/system/realtime-kvm-trial.service"
WANTED = "/etc/systemd/system/sysinit.target.wants/realtime-kvm-trial.service"
WATCHDOG = "/etc/systemd/system.conf.d/zz-realtime-kvm-trial.conf"

SCHEMA = 1
#: The states of a record. A trial that has ended is in one of the last two.
ARMED, CONFIRMED, RETURNED = "armed", "confirmed", "returned"
STATES = (ARMED, CONFIRMED, RETURNED)
#: How a trial stands while the tried entry runs and the node has not confirmed it; no record says so.
JUDGING = "judging"
#: How it stands when it was not confirmed and nothing makes the old entry the default any more; no record says so.
UNHELD = "unheld"
#: How it stands while an old boot runs and the one-time entry still waits, so a later boot would be the trial; no record says so.
UNSPENT = "unspent"

#: Which boot this is: still the one before the trial, the tried one, the new entry as the default, another one while the old entry is
#: the default, or another one while the menu decides.
WAITING, TRIED, DEFAULT, BACK, LOOSE = "waiting", "tried", "default", "back", "loose"


@dataclass(frozen=True)
class Boot:
    """A kernel and its arguments."""

    release: str
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Way:
    """The way by which Ansible came: the node's own address and port, and the address of the other end."""

    local: str
    port: int
    peer: str
    # the signs that it had before the reboot (_boot/way)
    source: str = ""
    cable: int = 0
    neighbour: bool = False
    greeting: bool = True  # of the SSH server, to the node itself; a server may refuse that address


@dataclass(frozen=True)
class Record:
    """A trial: both boots, what must work after it, and how it ended."""

    state: str
    boot_id: str  # of the boot in which it was prepared
    old: Boot
    new: Boot  # with the trial's own arguments
    extra: tuple[str, ...]  # the trial's own arguments
    folder: str  # of GRUB's files
    seconds: int  # until the node must be well
    way: Way | None = None
    libvirt: bool = False
    watchdog: bool = False
    panic: str = ""  # kernel.panic before the reboot
    folders: tuple[str, ...] = ()  # made for the trial's files
    reason: str = ""


class RecordError(RefusalError):
    """A record cannot be read."""


def dump(record: Record) -> bytes:
    """Return a record as the file's text."""
    return (json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1, sort_keys=True) + "\n").encode()


def load(data: bytes) -> Record:
    """Return the record in a file; ``RecordError`` when it is damaged or of a newer release."""
    try:
        fields = json.loads(data.decode())
        schema = fields.pop("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise RecordError(f"it was written by a newer release (schema {schema}, this one reads {SCHEMA})")
        way = fields.pop("way")
        record = Record(
            old=_boot(fields.pop("old")),
            new=_boot(fields.pop("new")),
            extra=_texts(fields.pop("extra")),
            folders=_texts(fields.pop("folders", [])),
            way=_way(way) if way else None,
            **fields,
        )
        texts = (record.state, record.boot_id, record.folder, record.panic, record.reason)
        sound = schema == SCHEMA and record.state in STATES and all(isinstance(text, str) for text in texts)
        if not sound or isinstance(record.seconds, bool) or not isinstance(record.seconds, int):
            raise TypeError("fields")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise RecordError("it is damaged") from None
    return record


def _boot(fields: Mapping[str, Any]) -> Boot:
    return Boot(str(fields["release"]), _texts(fields["tokens"]))


def _way(fields: Mapping[str, Any]) -> Way:
    port, cable = int(fields["port"]), int(fields.get("cable", 0))
    if not 0 < port < 1 << 16:
        raise ValueError("port")
    source, greeting = str(fields.get("source", "")), fields.get("greeting", True) is not False
    return Way(str(fields["local"]), port, str(fields["peer"]), source, cable, fields.get("neighbour") is True, greeting)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("texts")
    return tuple(values)


def missing_tokens(wanted: Iterable[str], running: Iterable[str]) -> list[str]:
    """Return the arguments that a running kernel lacks; GRUB's variables are not arguments."""
    there = {canonical(token) for token in running}
    return [token for token in wanted if canonical(token) not in there and not token.startswith("$")]


def same_boot(one: Boot, other: Boot) -> bool:
    """Whether two boots are of the same kernel with the same arguments."""
    return (
        one.release == other.release
        and not missing_tokens(one.tokens, other.tokens)
        and not missing_tokens(other.tokens, one.tokens)
    )


def without(boot: Boot, extra: Sequence[str]) -> Boot:
    """Return a boot without the trial's own arguments."""
    return Boot(boot.release, tuple(token for token in boot.tokens if token not in extra))


def which_boot(record: Record, boot_id: str, running: Boot, framed: bool) -> str:
    """Return which boot this is. ``framed``: the old entry is still the default.

    Where it is not, though no confirmation was written down, the new entry must be what runs: then the power was cut in between.
    Else something other than a confirmation has taken the frame away.
    """
    if boot_id == record.boot_id:
        return WAITING
    marked = MARK in running.tokens
    if framed:
        return TRIED if marked else BACK
    return DEFAULT if marked or runs_new(record, running) else LOOSE


def _as_configured(running: Boot) -> Boot:
    """Return a running boot without the tokens that GRUB itself adds, which no record has."""
    return Boot(running.release, tuple(token for token in running.tokens if key_of(token) not in ADDED_KEYS))


def runs_new(record: Record, running: Boot) -> bool:
    """Whether the new entry runs without the trial's arguments. It may differ from the old one by an argument less."""
    here = _as_configured(running)
    lacking = missing_tokens(without(record.new, record.extra).tokens, here.tokens)
    return here.release == record.new.release and not lacking and not same_boot(here, record.old)


@dataclass(frozen=True)
class Health:
    """What was found on a node that has booted; empty texts mean that nothing is wrong."""

    running: Boot
    way: str = ""
    libvirt: str = ""


def problems(record: Record, health: Health) -> list[str]:
    """Return what speaks against the new entry, each with what was expected."""
    found = []
    if health.running.release != record.new.release:
        found.append(f"kernel {health.running.release} runs, {record.new.release} was expected")
    lacking = missing_tokens(record.new.tokens, health.running.tokens)
    if lacking:
        found.append(f"the kernel's command line lacks {' '.join(lacking)}")
    if record.way and health.way:
        found.append(f"network: {health.way}")
    if record.libvirt and health.libvirt:
        found.append(f"libvirt: {health.libvirt}")
    return found


def why_back(record: Record, running: Boot, spent: bool) -> str:
    """Return why a node is not in its new shape, though nothing on it has judged the new one."""
    tried = f"{record.new.release} with its new arguments"
    if not spent:
        return (
            f"GRUB did not boot {tried}: the one-time entry is still in grubenv. GRUB's menu was not read (kexec instead of a reboot, as "
            "kexec-tools with LOAD_KEXEC=true do; another boot device), or GRUB could not write that file"
        )
    end = f"{tried} was booted once and did not come as far as to be judged: it panicked, hung until a reset, or did not find its disk"
    if not same_boot(_as_configured(running), record.old):
        end += f"; {running.release} runs now, with other arguments than before"
    return end


def why_again(record: Record) -> str:
    """Return why the new entry runs though it has failed; no boot loader does that."""
    said = record.reason or "it was booted once and not confirmed"
    return (
        f"{said}; {record.new.release} with its new arguments runs all the same, started without GRUB (kexec instead of a reboot): reset the node, "
        "by its BMC or systemctl reboot --force, and GRUB boots its old entry"
    )


def why_unheld(record: Record) -> str:
    """Return what nothing holds any more, and what the node itself has said of its trial."""
    said = f" Of its trial the node says: {record.reason}" if record.reason else ""
    return (
        f"{record.new.release} with its new arguments was not confirmed, and the part of {record.folder}/custom.cfg that makes the old entry "
        "the default is gone (another program has written that file, or /boot is not mounted), so the next boot is the menu's own "
        f"default.{said}"
    )


def panic_after(record: Record) -> str | None:
    """Return what ``kernel.panic`` is without the trial's own argument; None where the trial added none.

    That is the new entry's own value; else the one before the reboot, unless an argument of the old entry had set that one.
    """
    if not any(key_of(token) == "panic" for token in record.extra):
        return None
    own = [token.partition("=")[2] for token in without(record.new, record.extra).tokens if key_of(token) == "panic"]
    if own:
        return own[-1]
    return "0" if any(key_of(token) == "panic" for token in record.old.tokens) else record.panic or "0"
