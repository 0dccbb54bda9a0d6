# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection's programs on a node tell the journal: one number per kind of event, and its fields. Pure.

``journalctl MESSAGE_ID=...`` finds one kind, ``journalctl SYSLOG_IDENTIFIER=realtime-kvm`` all. The numbers never change; docs/monitoring.md shows this
table. How the journal names and keeps fields: systemd.journal-fields(7).
"""

from __future__ import annotations

from dataclasses import dataclass

#: As in syslog(3).
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
#: Before each of our own fields.
PREFIX = "REALTIME_KVM_"


@dataclass(frozen=True)
class Event:
    """A kind of event; ``fields`` are names without ``PREFIX``."""

    name: str
    id: str  # of 32 hexadecimal digits, MESSAGE_ID
    level: int
    meaning: str
    fields: tuple[str, ...] = ()


VALUE_MADE = Event(
    "value-made",
    "f6316a25c44347139a81351f51026659",
    NOTICE,
    "The boot service has set a value.",
    ("FEATURE", "RESOURCE", "BEFORE", "AFTER"),
)
FEATURE_FAILED = Event(
    "feature-failed",
    "3e068928937a40b083d5549dfceb20db",
    ERROR,
    "The boot service could not set the values of these features, and why.",
    ("FEATURE",),
)
BOOT_NOTE = Event(
    "boot-note", "3cf39f7f808e481e8f8d46fefab611fc", NOTICE, "The boot service notes something beside its changes.", ("FEATURE",)
)
NOT_KEPT = Event(
    "not-kept",
    "01d31cae6d6e4c17b313ad1a11561b1f",
    WARNING,
    "The boot service could not write down what it has set, so a reboot restores it, not undo.",
    ("FEATURE",),
)
INTERRUPT_MOVED = Event(
    "interrupt-moved",
    "45059cd32711460ea80adf94bc9e003e",
    NOTICE,
    "The watcher has moved an interrupt, or a packet queue, off isolated CPUs.",
    ("RESOURCE", "IRQ", "BEFORE", "AFTER"),
)
WATCHER_NOTE = Event(
    "watcher-note", "83213ae3b1b54db7ad06fbcfc8e1f247", WARNING, "The watcher names what it cannot move, or could not look at."
)
GUEST_ADMITTED = Event(
    "guest-admitted",
    "9caf2ac1196c43fabd116a0a8dd60935",
    INFO,
    "libvirt's hook lets a real-time guest start on these CPUs.",
    ("GUEST", "CPUS"),
)
GUEST_REFUSED = Event(
    "guest-refused",
    "c6432713aea14605941055fa5784d731",
    ERROR,
    "libvirt's hook has kept a guest from starting, and why.",
    ("GUEST", "OPERATION", "CPUS"),
)
GUEST_ALLOWED = Event(
    "guest-allowed",
    "7f8a07bb1fda437b83a34aa01be3827b",
    WARNING,
    "A guest starts although the node is not ready, since an operator allows it.",
    ("GUEST", "CPUS"),
)
GUEST_INCOMPLETE = Event(
    "guest-incomplete",
    "ee2e4597f4c140a89e7f2589c0d9920b",
    ERROR,
    "A guest runs, but not all of its threads, CPUs or devices are as they should be.",
    ("GUEST", "OPERATION"),
)
SWITCH_INCOMPLETE = Event(
    "switch-incomplete",
    "f9d070e6658b4082a4e882d6bfc17dec",
    ERROR,
    "The CPUs of the switch could not be arranged while it started or stopped.",
    ("OPERATION",),
)
TRIAL_CONFIRMED = Event(
    "trial-confirmed",
    "2fd56ada18034aa7bfe057792a1be384",
    NOTICE,
    "The node is well after its reboot: the new boot entry is the default.",
)
TRIAL_RETURNED = Event(
    "trial-returned",
    "9007d2fbdac446eeaf69e58fcb8770ab",
    ERROR,
    "The node was not well after its reboot, and reboots into its old boot entry.",
)
FINDING_NEW = Event(
    "finding-new",
    "1c3d7546df5f4ca7a3cc21bf01098f81",
    WARNING,
    "The node's own audit has found what the audit before did not.",
    ("RULE", "SEVERITY", "RESOURCE"),
)
FINDING_GONE = Event(
    "finding-gone",
    "3974cc7a33964b9996e4cd833dfafb2b",
    NOTICE,
    "The node's own audit no longer finds it.",
    ("RULE", "SEVERITY", "RESOURCE"),
)

#: In the order of docs/monitoring.md.
EVENTS = (
    VALUE_MADE, FEATURE_FAILED, BOOT_NOTE, NOT_KEPT, INTERRUPT_MOVED, WATCHER_NOTE, GUEST_ADMITTED, GUEST_REFUSED, GUEST_ALLOWED, GUEST_INCOMPLETE,
    SWITCH_INCOMPLETE, TRIAL_CONFIRMED, TRIAL_RETURNED, FINDING_NEW, FINDING_GONE,
)  # fmt: skip


class Line(str):
    """A line for people, and what it is about for the journal."""

    event: Event
    fields: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, event: Event, text: str, **fields: str | tuple[str, ...]) -> Line:
        """Return a line; a field is named as in the table, in lower case, and may have several values."""
        line = cls(text)
        line.event = event
        line.fields = {name.upper(): (value,) if isinstance(value, str) else value for name, value in fields.items()}
        if strangers := set(line.fields) - set(event.fields):
            raise ValueError(f"{event.name} has no field {', '.join(sorted(strangers))}")
        return line
