# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""grubby of the RHEL family on boot entries: what is planned, made, repeated, refused, interrupted and undone.

With REALTIME_KVM_GRUBBY=/path/to/grubby-bls every test runs the real script too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import KernelArgumentError
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grubby import NEXT_KERNEL, UPDATES
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import TRIAL_TOKENS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.bls import ARGS, ENTRIES, MACHINE, REAL, RELEASE, SNAPSHOT, STOCK, FakeGrubby, RealGrubby, entries_in, state_of
from unit.loaders import CONFIG, WANTED, plan, remove, use
from unit.trees import fill, snapshot, writable

OLD, NEW = f"{MACHINE}-{RELEASE}", f"{MACHINE}-{RELEASE}+rt"
SNAP = next(iter(SNAPSHOT))
DIALOGUE = Path(__file__).resolve().parents[3] / "fixtures" / "grubby" / "dialogue.json"


@pytest.fixture(name="kind", params=["stand-in", "real"])
def _kind(request):
    if request.param == "real" and not (REAL and os.geteuid() == 0 and shutil.which("grub-editenv")):
        pytest.skip("needs REALTIME_KVM_GRUBBY, root and grub-editenv, to run grubby's real script")
    return FakeGrubby if request.param == "stand-in" else RealGrubby


@pytest.fixture(name="red")
def _red(tmp_path, kind):
    root = entries_in(tmp_path / "red", STOCK, OLD)
    return root, kind(root)


def options(root, name):
    return re.search(r"(?m)^options (.*)$", Path(f"{root}{ENTRIES}/{name}.conf").read_text())[1].split()


def set_options(root, name, text):
    path = Path(f"{root}{ENTRIES}/{name}.conf")
    path.write_text(re.sub(r"(?m)^options .*$", f"options {text}", path.read_text()))


def default_of(root):
    return re.search(r"(?m)^saved_entry=(.*)$", Path(f"{root}/boot/grub2/grubenv").read_text())[1]


@pytest.mark.parametrize("ended", [plan(["skew_tick=1"], "*+rt"), remove()], ids=["next run", "undo"])
@pytest.mark.parametrize("listed", [True, False], ids=["cmdline", "no cmdline"])
def test_a_kernel_that_is_installed_in_the_tried_boot_does_not_keep_the_trials_arguments(red, listed, ended):
    """kernel-install makes its entry, and the file of the next kernels, of the running kernel's arguments."""
    root, tools = red
    if not listed:
        os.unlink(f"{root}{NEXT_KERNEL}")
    use(root, plan(["skew_tick=1"], "*+rt"), tools)
    entry = Path(f"{root}{ENTRIES}/{MACHINE}-9.9+rt.conf")
    line = f"root=/dev/mapper/vg0-root {ARGS} skew_tick=1 {' '.join(TRIAL_TOKENS)}"
    entry.write_text(f"title New\nversion 9.9+rt\nlinux /vmlinuz-9.9+rt\ninitrd /initramfs-9.9+rt.img\noptions {line}\n")
    if listed:
        Path(f"{root}{NEXT_KERNEL}").write_text(f"{line}\n")
    use(root, ended, tools)
    use(root, remove(), tools)
    for path in (entry, Path(f"{root}{NEXT_KERNEL}")):
        assert not path.exists() or not set(TRIAL_TOKENS) & set(path.read_text().split())


@pytest.mark.parametrize("path", [NEXT_KERNEL, UPDATES])
def test_files_of_others_keep_their_modes_and_links(red, path):
    root, tools = red
    os.rename(f"{root}{path}", f"{root}{path}.site")
    os.symlink(os.path.basename(f"{path}.site"), f"{root}{path}")
    os.chmod(f"{root}{path}.site", 0o600)
    before = snapshot(Path(f"{root}/etc"))
    use(root, plan(["skew_tick=1"], "*+rt"), tools)
    assert os.path.islink(f"{root}{path}")
    assert os.stat(f"{root}{path}").st_mode & 0o777 == 0o600
    use(root, remove(), tools)
    assert snapshot(Path(f"{root}/etc")) == before


def test_arguments_in_another_encoding_are_kept(red):
    root, tools = red
    path = Path(f"{root}{NEXT_KERNEL}")
    before = path.read_bytes().rstrip(b"\n") + b" site=K\xf6ln\n"
    path.write_bytes(before)
    use(root, plan(["skew_tick=1"], "*+rt"), tools)
    assert path.read_bytes().split() == [*before.split(), b"skew_tick=1"]
    use(root, remove(), tools)
    assert path.read_bytes() == before


@pytest.mark.parametrize("case", ["stock", "two entries of one kernel"])
def test_the_stand_in_says_and_writes_what_the_real_script_did(tmp_path, case):
    root = entries_in(tmp_path / "machine", {**STOCK, **(SNAPSHOT if case != "stock" else {})}, NEW)
    grubby = FakeGrubby(root)
    for step in json.loads(DIALOGUE.read_text())[case]:
        code, out, err = grubby(["/usr/sbin/grubby", *step["command"]])
        assert (code, out.strip(), err.strip()) == (step["code"], step["out"].strip(), step["err"].strip()), step["command"]
        assert state_of(root) == step["files"], step["command"]


def test_grubby_gets_the_arguments_and_the_kernel(red):
    root, grubby = red
    host, _rest, foreseen = use(root, plan(pattern="*+rt"), grubby)
    assert {change.resource for change in host.changes} == {
        *(f"grubby:{name}" for name in STOCK), NEXT_KERNEL, UPDATES, "grubby:default", CONFIG,
    }  # fmt: skip
    assert default_of(root) == NEW == foreseen.identity
    assert options(root, NEW) == ["root=/dev/mapper/vg0-root", *ARGS.split(), *WANTED] == foreseen.lines[0]
    assert set(WANTED) < set(options(root, OLD))


def test_grubby_kernels_installed_later_are_isolated_and_not_the_default(red):
    root, grubby = red
    use(root, plan(pattern="*+rt"), grubby)
    assert Path(f"{root}{NEXT_KERNEL}").read_text().split() == ["root=/dev/mapper/vg0-root", *ARGS.split(), *WANTED]
    ran = subprocess.run(["sh", "-c", f". {root}{UPDATES}; echo $UPDATEDEFAULT"], check=True, capture_output=True, text=True)
    assert ran.stdout == "no\n"


def test_grubby_a_second_run_is_unchanged(red):
    root, grubby = red
    use(root, plan(pattern="*+rt"), grubby)
    made, files = grubby.changes, snapshot(root)
    assert use(root, plan(pattern="*+rt"), grubby)[0].changes == []
    assert (grubby.changes, snapshot(root)) == (made, files)


def test_grubby_check_mode_foresees_all_and_makes_nothing(red):
    root, grubby = red
    before = snapshot(root)
    host = writable(root, "kernel_arguments", check_mode=True)
    foreseen = plan(pattern="*+rt")(find_boot_loader(host, grubby))
    host.commit()
    assert (snapshot(root), grubby.changes) == (before, 0)
    real, _rest, entry = use(root, plan(pattern="*+rt"), grubby)
    assert (real.changes, entry) == (host.changes, foreseen)


def test_grubby_repeats_of_ours_are_healed(red):
    root, grubby = red
    set_options(root, NEW, "root=/dev/x ro tsc=nowatchdog quiet tsc=nowatchdog nowatchdog nowatchdog")
    wanted = ["tsc=nowatchdog", "nowatchdog"]
    use(root, plan(wanted, None), grubby)
    assert sorted(options(root, NEW)) == sorted(["root=/dev/x", "ro", "quiet", *wanted])
    assert use(root, plan(wanted, None), grubby)[0].changes == []


def test_grubby_page_sizes_stay_with_their_counts(red):
    root, grubby = red
    before = "root=/dev/x ro hugepagesz=2M hugepages=8 quiet"
    set_options(root, NEW, before)
    for count in ("0:4", "0:5"):
        use(root, plan(["hugepagesz=1G", f"hugepages={count}"], None), grubby)
        pages = [token for token in options(root, NEW) if token.startswith("hugepages")]
        assert pages == ["hugepagesz=2M", "hugepages=8", "hugepagesz=1G", f"hugepages={count}"]
    assert use(root, plan(["hugepagesz=1G", "hugepages=0:5"], None), grubby)[0].changes == []
    use(root, remove(), grubby)
    assert sorted(options(root, NEW)) == sorted(before.split())
    assert [token for token in options(root, NEW) if token.startswith("hugepages")] == ["hugepagesz=2M", "hugepages=8"]


def test_grubby_undo_gives_every_byte_back(red):
    root, grubby = red
    before, files = state_of(root), snapshot(root)
    use(root, plan(pattern="*+rt"), grubby)
    use(root, plan(["skew_tick=1", "nosoftlockup"], "*+rt"), grubby)
    _rest, _rest, foreseen = use(root, remove(), grubby)
    assert default_of(root) == OLD == foreseen.identity
    assert state_of(root) == before
    assert set(snapshot(root)) == set(files)
    assert use(root, remove(), grubby)[0].changes == []


@pytest.fixture(name="twins")
def _twins(tmp_path, kind):
    root = entries_in(tmp_path / "twins", {**STOCK, **SNAPSHOT}, OLD)
    set_options(root, SNAP, f"root=/dev/mapper/vg0-snap1 {ARGS} panic=30")
    return root, kind(root)


def test_grubby_two_entries_of_one_kernel_keep_apart(twins):
    root, grubby = twins
    before = state_of(root)
    _host, _rest, foreseen = use(root, plan(pattern="*+rt"), grubby)
    assert foreseen.identity == NEW == default_of(root), "the package's own entry, not the snapshot that stands before it"
    assert "panic=30" in options(root, SNAP)
    assert "panic=30" not in options(root, NEW)
    assert options(root, SNAP)[0] == "root=/dev/mapper/vg0-snap1"
    assert use(root, plan(pattern="*+rt"), grubby)[0].changes == []
    use(root, remove(), grubby)
    assert state_of(root) == before


def test_grubby_an_entry_that_comes_in_between_moves_no_argument(twins):
    root, grubby = twins
    (snap,) = (Path(f"{root}{ENTRIES}/{SNAP}.conf"),)
    content = snap.read_text()
    snap.unlink()
    host = writable(root, "kernel_arguments")
    with host.locked():
        plan(pattern="*+rt")(find_boot_loader(host, grubby))
        snap.write_text(content)  # every index behind it changes
        host.commit()
    assert snap.read_text() == content
    assert set(WANTED) < set(options(root, NEW))
    assert default_of(root) == NEW


def test_grubby_the_chosen_snapshot_stays_the_default(twins):
    root, grubby = twins
    grubby(["/usr/sbin/grubby", "--set-default-index=0"])
    assert default_of(root) == SNAP
    use(root, plan(pattern="*+rt"), grubby)
    assert default_of(root) == SNAP


def test_grubby_snapshots_without_the_packages_entry_are_not_guessed(tmp_path):
    other = {f"{MACHINE}-{RELEASE}+rt-snap2": ("/dev/mapper/vg0-snap2", f"{RELEASE}+rt")}
    root = entries_in(tmp_path / "snaps", {OLD: STOCK[OLD], **SNAPSHOT, **other}, OLD)
    before = snapshot(root)
    with pytest.raises(HostError, match=r"has several boot entries \(.*snap2, .*snap1\); choose one: grubby --set-default-index"):
        use(root, plan(pattern="*+rt"), FakeGrubby(root))
    assert snapshot(root) == before


@pytest.mark.parametrize("finish", [["isolcpus=managed_irq,domain,3"], []])
def test_grubby_a_third_plan_still_knows_what_is_ours(red, finish):
    root, grubby = red
    for cpus in ("2-3", "2"):
        use(root, plan([f"isolcpus=managed_irq,domain,{cpus}", f"added{cpus}"], None), grubby)
    loader = find_boot_loader(writable(root, "kernel_arguments"), grubby)
    assert [token for tokens in loader.foreign().values() for token in tokens if token.startswith(("isolcpus", "added"))] == []
    use(root, plan(finish, None), grubby)
    assert [token for token in options(root, NEW) if token.startswith(("isolcpus", "added"))] == finish


def test_grubby_a_kernel_installed_later_is_cleaned_too(red):
    root, grubby = red
    use(root, plan(pattern=None), grubby)
    later = Path(f"{root}{ENTRIES}/{NEW}.later.conf")
    later.write_text(Path(f"{root}{ENTRIES}/{NEW}.conf").read_text().replace("options ", "options own "))
    use(root, remove(), grubby)
    assert options(root, f"{NEW}.later") == ["own", "root=/dev/mapper/vg0-root", *ARGS.split()]


def test_grubby_removal_passes_over_a_kernel_that_has_gone(red):
    root, grubby = red
    use(root, plan(pattern=None), grubby)
    os.unlink(f"{root}{ENTRIES}/{NEW}.conf")
    use(root, remove(), grubby)
    assert not os.path.exists(f"{root}/var/lib/realtime-kvm")


def test_grubby_a_former_default_that_has_gone_is_said(red):
    root, grubby = red
    use(root, plan(pattern="*+rt"), grubby)
    os.unlink(f"{root}{ENTRIES}/{OLD}.conf")
    host, _rest, foreseen = use(root, remove(), grubby)
    assert host.notes == [f"the former default boot entry {OLD} no longer exists; {NEW} stays the default"]
    assert foreseen.identity == NEW


def test_grubby_the_admins_own_tokens_are_foreign(red):
    root, grubby = red
    set_options(root, NEW, f"root=/dev/x {ARGS} skew_tick=1")
    use(root, plan(pattern=None), grubby)
    use(root, remove(), grubby)
    assert "skew_tick=1" in options(root, NEW)
    assert "skew_tick=1" not in options(root, OLD)


def test_grubby_variables_have_the_value_of_grubs_environment(red):
    root, grubby = red
    set_options(root, NEW, f"root=/dev/x {ARGS} $tuned_params $other")
    block = f"# GRUB Environment Block\nsaved_entry={NEW}\ntuned_params=isolcpus=1-3 x=1\n"
    fill(root, {"/boot/grub2/grubenv": block + "#" * (1024 - len(block))})
    loader = find_boot_loader(writable(root, "kernel_arguments"), grubby)
    assert {"isolcpus=1-3", "x=1"} < set(loader.foreign()[f"boot entry {NEW}"])
    assert loader.following().tokens[-3:] == ("isolcpus=1-3", "x=1", "$other")
    assert "$tuned_params" in options(root, NEW)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ro -- single", r"^boot entry \S+: \S+ stands behind --, and the kernel hands everything behind it to init"),
        (f"ro long={'x' * 1990}", r"^boot entry \S+: its command line has 2\d\d\d bytes, and the kernel reads 2047"),
    ],
)
def test_grubby_a_line_that_would_lose_arguments_is_refused(red, line, said):
    root, grubby = red
    set_options(root, NEW, f"root=/dev/x {line}")
    before = snapshot(root)
    with pytest.raises(KernelArgumentError, match=said):
        use(root, plan(), grubby)
    assert (snapshot(root), grubby.changes) == (before, 0)


def test_grubby_failures_are_told(red):
    root, grubby = red

    def failing(command):
        return (1, "", "no such kernel") if "update-kernel" in command[1] else grubby(command)

    with pytest.raises(HostError, match=r"^/usr/sbin/grubby --update-kernel=\S+ .*failed with exit code 1: no such kernel$"):
        use(root, plan(), failing)
    assert grubby.changes == 0

    def lying(command):
        return (0, "", "") if "update-kernel" in command[1] else grubby(command)

    with pytest.raises(
        HostError, match=rf"left the boot entry {MACHINE}\S+ with \".*\" instead of \".*{WANTED[0]}.*\"; repair it"
    ):
        use(root, plan(), lying)


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        ("", "lists no boot entry"),
        (
            'index=0\nkernel="/boot/vmlinuz-1"\nindex=1\nkernel="/boot/vmlinuz-1"\n',
            "lists two boot entries /boot/vmlinuz-1; remove one",
        ),
    ],
)
def test_grubby_entries_that_cannot_be_told_apart_are_refused(tmp_path, listing, said):
    fill(tmp_path, {"/usr/sbin/grubby": ""})
    with pytest.raises(HostError, match=said):
        use(tmp_path, plan(), lambda command: (0, listing if "--info" in command[1] else "0\n", ""))


def test_grubby_killed_in_between_is_completed_or_taken_back(red, kind):
    root, _grubby = red
    before = state_of(root)
    for allowed in range(5):
        for finish in ("again", "undo"):
            tree = Path(f"{root}-{allowed}-{finish}")
            shutil.copytree(root, tree)
            grubby = kind(tree)

            def stopping(command, grubby=grubby, allowed=allowed):
                if not re.match("--(info|default)", command[1]) and grubby.changes >= allowed:
                    raise KeyboardInterrupt
                return grubby(command)

            if allowed < 4:
                with pytest.raises(KeyboardInterrupt):
                    use(tree, plan(pattern="*+rt"), stopping)
            use(tree, plan(pattern="*+rt") if finish == "again" else remove(), grubby)
            if finish == "again":
                assert default_of(tree) == NEW
                assert all(set(WANTED) <= set(options(tree, name)) for name in STOCK)
                assert use(tree, plan(pattern="*+rt"), grubby)[0].changes == []
            else:
                assert state_of(tree) == before
