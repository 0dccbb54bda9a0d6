# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""grubby of the RHEL family on trees of files: what is planned, made, repeated, refused, interrupted and undone."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.loaders import CONFIG, WANTED, FakeGrubby, plan, remove, use
from unit.trees import fill, snapshot, writable

OLD, NEW = "/boot/vmlinuz-5.14.0-503.el9.x86_64", "/boot/vmlinuz-5.14.0-503.el9.x86_64+rt"


@pytest.fixture(name="red")
def _red(tmp_path):
    root = tmp_path / "red"
    fill(root, {"/usr/sbin/grubby": "", "/var/lib/": None})
    return root, FakeGrubby({OLD: "ro tsc=nowatchdog quiet tsc=nowatchdog $tuned_params", NEW: "ro quiet"}, OLD)


def test_grubby_gets_the_arguments_and_the_kernel(red):
    root, grubby = red
    host, _rest, foreseen = use(root, plan(pattern="*+rt"), grubby)
    assert [change.resource for change in host.changes] == [f"grubby:{OLD}", f"grubby:{NEW}", "grubby:default", CONFIG]
    assert grubby.default == NEW == foreseen.kernel
    assert grubby.entries[NEW] == ["ro", "quiet", *WANTED] == list(foreseen.tokens)
    assert set(grubby.entries[OLD]) == {"ro", "tsc=nowatchdog", "quiet", "$tuned_params", *WANTED}


def test_grubby_a_second_run_is_unchanged(red):
    root, grubby = red
    use(root, plan(pattern="*+rt"), grubby)
    made = grubby.changes
    assert use(root, plan(pattern="*+rt"), grubby)[0].changes == []
    assert grubby.changes == made


def test_grubby_repeats_of_ours_are_healed(red):
    root, grubby = red
    use(root, plan(["tsc=nowatchdog"], None), grubby)
    assert grubby.entries[OLD].count("tsc=nowatchdog") == 1
    assert use(root, plan(["tsc=nowatchdog"], None), grubby)[0].changes == []


def test_grubby_page_sizes_stay_with_their_counts(red):
    root, grubby = red
    grubby.entries[NEW] = ["ro", "hugepagesz=2M", "hugepages=8", "quiet"]
    before = grubby.state()
    for count in ("0:4", "0:5"):
        use(root, plan(["hugepagesz=1G", f"hugepages={count}"], None), grubby)
        pages = [token for token in grubby.entries[NEW] if token.startswith("hugepages")]
        assert pages == ["hugepagesz=2M", "hugepages=8", "hugepagesz=1G", f"hugepages={count}"]
    assert use(root, plan(["hugepagesz=1G", "hugepages=0:5"], None), grubby)[0].changes == []
    use(root, remove(), grubby)
    assert grubby.state()[0][NEW] == before[0][NEW]
    assert [token for token in grubby.entries[NEW] if token.startswith("hugepages")] == ["hugepagesz=2M", "hugepages=8"]


def test_grubby_undo_restores_tokens_default_and_files(red):
    root, grubby = red
    before, files = grubby.state(), snapshot(root)
    use(root, plan(pattern="*+rt"), grubby)
    _rest, _rest, foreseen = use(root, remove(), grubby)
    assert grubby.default == OLD == foreseen.kernel
    assert {kernel: sorted(set(args)) for kernel, args in grubby.state()[0].items()} == {
        kernel: sorted(set(args)) for kernel, args in before[0].items()
    }
    assert snapshot(root) == files
    assert use(root, remove(), grubby)[0].changes == []


@pytest.mark.parametrize("finish", [["isolcpus=managed_irq,domain,3"], []])
def test_grubby_a_third_plan_still_knows_what_is_ours(red, finish):
    root, grubby = red
    for cpus in ("2-3", "2"):
        use(root, plan([f"isolcpus=managed_irq,domain,{cpus}", f"added{cpus}"], None), grubby)
    loader = find_boot_loader(writable(root, "kernel_arguments"), grubby)
    assert [token for tokens in loader.foreign().values() for token in tokens if token.startswith(("isolcpus", "added"))] == []
    use(root, plan(finish, None), grubby)
    assert [token for token in grubby.entries[NEW] if token.startswith(("isolcpus", "added"))] == finish


def test_grubby_a_kernel_installed_later_is_cleaned_too(red):
    root, grubby = red
    use(root, plan(pattern=None), grubby)
    later = f"{OLD}.later"
    grubby.entries[later] = [*grubby.entries[OLD], "own"]
    use(root, remove(), grubby)
    assert not set(WANTED) & set(grubby.entries[later])
    assert {"ro", "quiet", "own"} <= set(grubby.entries[later])


def test_grubby_removal_passes_over_a_kernel_that_has_gone(red):
    root, grubby = red
    use(root, plan(pattern=None), grubby)
    del grubby.entries[NEW]
    use(root, remove(), grubby)
    assert not os.path.exists(f"{root}/var/lib/realtime-kvm")


def test_grubby_the_admins_own_tokens_are_foreign(red):
    root, grubby = red
    grubby.entries[NEW].append("skew_tick=1")
    use(root, plan(pattern=None), grubby)
    loader = find_boot_loader(writable(root, "kernel_arguments"), grubby)
    assert loader.foreign()[f"boot entry {NEW}"] == ["ro", "quiet", "skew_tick=1"] or "skew_tick=1" in loader.ours
    use(root, remove(), grubby)
    assert "skew_tick=1" in grubby.entries[NEW]
    assert "skew_tick=1" not in grubby.entries[OLD]


def test_grubby_failures_are_told(red):
    root, grubby = red

    def failing(command):
        return (1, "", "no such kernel") if "update-kernel" in command[1] else grubby(command)

    with pytest.raises(HostError, match=r"^/usr/sbin/grubby --update-kernel=\S+ .*failed with exit code 1: no such kernel$"):
        use(root, plan(), failing)
    assert grubby.changes == 0
    with pytest.raises(HostError, match="lists no boot entry"):
        use(root, plan(), FakeGrubby({}, ""))


def test_grubby_killed_in_between_is_completed_or_taken_back(red):
    root, grubby = red
    before = grubby.state()
    for allowed in range(4):
        for finish in ("again", "undo"):
            tree = Path(f"{root}-{allowed}-{finish}")
            shutil.copytree(root, tree)
            fake = FakeGrubby({OLD: " ".join(grubby.entries[OLD]), NEW: " ".join(grubby.entries[NEW])}, grubby.default)

            def stopping(command, fake=fake, allowed=allowed):
                if not re.match("--(info|default)", command[1]) and fake.changes >= allowed:
                    raise KeyboardInterrupt
                return fake(command)

            if allowed < 3:
                with pytest.raises(KeyboardInterrupt):
                    use(tree, plan(pattern="*+rt"), stopping)
            use(tree, plan(pattern="*+rt") if finish == "again" else remove(), fake)
            if finish == "again":
                assert fake.default == NEW
                assert all(set(WANTED) <= set(args) for args in fake.entries.values())
            else:
                assert fake.default == before[1]
                assert not any(set(WANTED) & set(args) for args in fake.entries.values())
