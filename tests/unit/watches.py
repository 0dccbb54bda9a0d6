# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with a folder for metrics, an exporter as files of /proc, and a systemd that remembers timers."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_metrics
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.features import PARTITION
from unit.systemds import Systemd
from unit.trees import documented, fill, machine_files, writable

FOLDER = "/var/lib/prometheus/node-exporter"
OUTPUT = f"{FOLDER}/realtime_kvm.prom"
DEFAULTS = {key: option.get("default") for key, option in rt_metrics.OPTIONS.items()}
TIMERS = ["realtime-kvm-metrics.timer", "realtime-kvm-audit.timer"]


def exporter(*words, pid=700, name="node_exporter", root="../.."):
    """An exporter that runs; ``root``: what is its root, by default the node's."""
    return {
        f"/proc/{pid}/comm": f"{name}\n",
        f"/proc/{pid}/cmdline": "\0".join((name, *words)) + "\0",
        f"/proc/{pid}/root": ("link", root),
    }


def node(root, *parts, folder=FOLDER):
    """A node with a partition (CPU 0 keeps house), systemd and a folder for metrics."""
    base = {**machine_files(isolated="1-3"), **documented(PARTITION), "/run/systemd/system/": None, "/var/lib/": None}
    base.update({f"{name}/": None for name in ("/usr/local/lib", "/etc/systemd/system", "/run", "/var/cache")})
    base.update({f"{folder}/": None} if folder else {})
    for part in parts:
        base.update(part)
    return fill(root, base)


class Timers(Systemd):
    """systemd on such a node."""

    def __call__(self, command):
        verb, *names = [word for word in command[1:] if not word.startswith("--")]
        if verb in ("daemon-reload", "restart"):
            self._changes([verb, *names])
            for name in names:
                self.units.setdefault(name, [True, True])[1] = True
            return 0, "", ""
        for name in names if verb == "stop" else ():
            self.units.setdefault(name, [False, False])
        return super().__call__(command)


def run(root, systemd, *, check_mode=False, **parameters):
    """A run of the module."""
    edges = Edges(writable(root, "rt_metrics", check_mode=check_mode), systemd)
    given = {**DEFAULTS, "partition": to_document(PARTITION), "enabled": True, **parameters}
    return {**carry_out(edges, rt_metrics.run, given), "notes": edges.host.notes}
