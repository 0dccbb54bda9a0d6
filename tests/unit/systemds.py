# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd that remembers units, and a package manager on it, as their programs answer."""

from __future__ import annotations


class Killed(BaseException):
    """The run ends here."""


class Systemd:
    """Units by name: [enabled, active]. ``also``: units that enabling or disabling takes along."""

    def __init__(self, units=None, also=None):
        self.units = {name: list(state) for name, state in (units or {}).items()}
        self.also = also or {}
        self.calls = []
        self.kill_at = None  # die before this call that changes something

    def _changes(self, words):
        if self.kill_at == len(self.calls):
            raise Killed
        self.calls.append(" ".join(words))

    def __call__(self, command):
        verb, *rest = [word for word in command[1:] if not word.startswith("--")]
        if verb == "show":
            return 0, "\n".join(self._shown(name) for name in rest), ""
        self._changes([verb, *rest])
        for name in rest:
            if verb in ("stop", "start"):
                self.units[name][1] = verb == "start"
            else:
                for one in (name, *self.also.get(name, ())):
                    self.units[one][0] = verb == "enable"
        return 0, "", ""

    def _shown(self, name):
        enabled, active = self.units.get(name, (False, False))
        load = "loaded" if name in self.units else "not-found"
        state = ("enabled" if enabled else "disabled") if name in self.units else ""
        return f"Id={name}\nLoadState={load}\nActiveState={'active' if active else 'inactive'}\nUnitFileState={state}\n"
