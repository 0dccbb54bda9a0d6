# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity killed before any of its steps, with the daemons that read its files: the next run or an undo leaves them as they must be."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.watcher import WATCHER_UNIT
from ansible_collections.realtime.kvm.plugins.module_utils._module import irq_affinity
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, carry_out
from unit.features import KNOBS, PARTITION
from unit.trees import documented, fill, killed_at, machine_files, snapshot, task, writable

GROUP = "/sys/fs/cgroup/system.slice/realtime-kvm-watch.service"
OWN = "A=b"  # irqbalance's environment without this collection


@pytest.fixture(name="root")
def _root(tmp_path):
    files = {
        **machine_files(isolated="1-3"),
        **KNOBS,
        **documented(PARTITION),
        **{f"{folder}/": None for folder in ("/var/lib", "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib")},
        "/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs": "88\n",
        "/proc/88/environ": f"{OWN}\0",
    }
    return fill(tmp_path / "node", files)


class Systemd:
    """systemd, whose daemons read the files below ``root`` when they start."""

    def __init__(self, root):
        self.root = root

    def __call__(self, command):
        if command == ["systemctl", "try-restart", "irqbalance.service"]:
            list_ = Path(f"{self.root}/etc/realtime-kvm/irqbalance.env")
            fill(self.root, {"/proc/88/environ": f"{list_.read_text().strip() if list_.exists() else OWN}\0"})
        if command == ["systemctl", "restart", "realtime-kvm-watch.service"]:
            thread = {"allowed": "0", "started": 100}
            fill(self.root, {**task("/proc/870", "python3", **thread), **task("/proc/870/task/870", "python3", **thread)})
            fill(self.root, {"/proc/870/unit": Path(f"{self.root}{WATCHER_UNIT}").read_text()})
            fill(self.root, {f"{GROUP}/cgroup.procs": "870\n"})
        if command == ["systemctl", "stop", "realtime-kvm-watch.service"]:
            fill(self.root, {f"{GROUP}/cgroup.procs": ""})
        return 0, "", ""


def run(root, **parameters):
    given = {"state": "present", "partition": to_document(PARTITION), "irqbalance": True, "watcher": True}
    return carry_out(Edges(writable(root, "irq_affinity"), Systemd(root)), irq_affinity.run, {**given, **parameters})


def undo(root):
    return run(root, state="absent")


def state(root):
    """All that is on the node but the lock and the order of folders in the journal; of the watcher, whether it runs."""
    found = snapshot(root)
    if JOURNAL in found:
        journal = json.loads(found[JOURNAL][2])
        found[JOURNAL] = {**journal, "directories": sorted(journal["directories"])}
    watcher = found.get(f"{GROUP}/cgroup.procs", (b"",))[-1]
    plain = {path: one for path, one in found.items() if not path.startswith((GROUP, "/proc/870"))}
    return {"watcher": (bool(watcher),)} | {
        path: (*one[:2], one[2].strip()) if path.startswith("/proc/") and len(one) == 3 else one
        for path, one in plain.items()
        if path != "/var/lib/realtime-kvm/lock"
    }


def differing(one, other):
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))


@pytest.mark.parametrize("first", [run, undo], ids=["a run", "an undo"])
@pytest.mark.parametrize("then", [run, undo], ids=["then a run", "then an undo"])
def test_killed_before_any_step(root, tmp_path, first, then):
    """irqbalance has the list exactly while the files are there, and the journal is empty after an undo."""
    before = state(root)
    whole = tmp_path / "whole"
    shutil.copytree(root, whole, symlinks=True)
    run(whole)
    made = state(whole)
    assert made["/proc/88/environ"][2] == b"IRQBALANCE_BANNED_CPULIST=1-3\0"
    for step in itertools.count():
        tree = tmp_path / "tree"
        shutil.copytree(root if first is run else whole, tree, symlinks=True)
        killed = killed_at(step, lambda tree=tree: first(tree), tree)
        then(tree)
        assert differing(state(tree), made if then is run else before) == [], step
        assert then(tree)["changed"] is False, step
        shutil.rmtree(tree)
        if not killed:
            break
    assert step > 10


def test_a_watcher_whose_unit_was_changed_by_a_run_that_was_cut_off_is_restarted(root, tmp_path):
    run(root)
    wanted = (root / WATCHER_UNIT[1:]).read_text()
    for path in (WATCHER_UNIT, "/proc/870/unit"):
        fill(root, {path: "an older release's\n"})
    for step in itertools.count():
        tree = tmp_path / "tree"
        shutil.copytree(root, tree, symlinks=True)
        killed = killed_at(step, lambda tree=tree: run(tree), tree)
        run(tree)
        assert (tree / "proc/870/unit").read_text() == wanted, step
        shutil.rmtree(tree)
        if not killed:
            break
    assert step > 1
