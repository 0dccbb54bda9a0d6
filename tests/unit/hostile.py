# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a party that lies may put into any field of its answer, and documents with it in each of their places."""

from __future__ import annotations

import copy

#: Paths out of a folder, templates, escape sequences, numbers out of range.
TEXTS = (
    "../../../inventory/group_vars/all",
    "/etc/cron.d/x",
    "{{ lookup('pipe', 'touch /tmp/owned') }}",
    "{% for x in y %}",
    "\x1b]0;owned\x07\x1b[2J",
    "a\nb\r\0c\x9b31m\u202e",
    "9" * 5000,
    "",
)
NUMBERS = (-1, 10**30, 1.5, float("1e308"), True)
EMPTY = (None, [], {})


def nested(depth=40):
    """Lists in lists, below the bound of levels."""
    value = []
    for _level in range(depth):
        value = [value]
    return value


LARGE = "x" * (10 << 20)
VALUES = (
    *TEXTS,
    *NUMBERS,
    *EMPTY,
    nested(),
    ["text", 1, None],
    {"../x": {"a": []}, "ansible_facts": {"bios_address": "192.0.2.9"}},
)


def places(document, path=()):
    """Return the path of every field, containers included."""
    found = [path] if path else []
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def replaced(document, path, value):
    """Return a copy with another value in one place."""
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def variants(document, values=VALUES):
    """Yield the document with each value in each place, and without each key of its objects."""
    for path in places(document):
        for value in values:
            yield replaced(document, path, value)
