# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB on trees of files: what is planned, made, repeated, refused, interrupted and undone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot import loader as _boot
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import KernelArgumentError, find_conflicts
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_files import drop_in_tokens, parse_menu
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG, GRUB_DEFAULTS, find_boot_loader
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.loaders import CONFIG, RT, STOCK, WANTED, plan, remove, use
from unit.menus import UUID, MakeConfig
from unit.trees import fill, killed_at, snapshot, writable

#: As grub-mkconfig leaves its menu, which only root can then write.
MODE = 0o444 if os.geteuid() == 0 else 0o644


@pytest.fixture(name="root")
def _root(tmp_path):
    root = tmp_path / "machine"
    files = {
        GRUB_DEFAULTS: 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="console=ttyS0"\n',
        "/etc/default/grub.d/": None,
        "/usr/sbin/grub-mkconfig": "",
        "/var/lib/": None,
        "/boot/grub/": None,
        **{f"/boot/{kind}-{kernel}": kernel for kind in ("vmlinuz", "initrd.img") for kernel in (STOCK, RT)},
    }
    fill(root, files)
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    os.chmod(f"{root}{GRUB_CFG}", MODE)
    return root


def booting(root):
    return parse_menu(Path(f"{root}{GRUB_CFG}").read_text())[1]


def test_grub_gets_the_arguments_and_the_kernel(root):
    host, runner, foreseen = use(root, plan())
    assert [(change.resource, change.disruption) for change in host.changes] == [
        (DROP_IN, "reboot"),
        (GRUB_CFG, "reboot"),
        (CONFIG, "none"),
    ]
    assert runner.calls == 1
    now = booting(root)
    assert now.release == RT == foreseen.release
    assert set(now.tokens) == set(foreseen.tokens) == {f"root=UUID={UUID}", "ro", "console=ttyS0", "quiet", *WANTED}
    assert os.stat(f"{root}{GRUB_CFG}").st_mode & 0o7777 == MODE
    assert [path for path in snapshot(root) if path.startswith("/boot/grub/")] == [GRUB_CFG]


def test_grub_a_second_run_is_unchanged(root):
    use(root, plan())
    before = snapshot(root)
    host, runner, _rest = use(root, plan())
    assert host.changes == []
    assert runner.calls == 0
    assert snapshot(root) == before


def test_grub_undo_gives_every_byte_back(root):
    before = snapshot(root)
    use(root, plan())
    use(root, plan(["skew_tick=1", "nosoftlockup"]))
    host, runner, _rest = use(root, remove())
    assert {change.resource for change in host.changes} == {DROP_IN, GRUB_CFG, CONFIG}
    assert runner.calls == 1
    assert snapshot(root) == before
    again, runner, _rest = use(root, remove())
    assert again.changes == []
    assert runner.calls == 0


def test_grub_check_mode_foresees_all_and_makes_nothing(root):
    before = snapshot(root)
    runner = MakeConfig(root)
    host = writable(root, "kernel_arguments", check_mode=True)
    foreseen = plan()(find_boot_loader(host, runner))
    host.commit()
    assert (snapshot(root), runner.calls) == (before, 0)
    real, _rest, entry = use(root, plan())
    assert real.changes == host.changes
    assert entry == foreseen


def test_grub_changed_arguments_replace_ours(root):
    use(root, plan())
    host, _rest, foreseen = use(root, plan(["skew_tick=1", "nohz=on"]))
    assert host.results()["changed"]
    assert (
        set(booting(root).tokens)
        == set(foreseen.tokens)
        == {f"root=UUID={UUID}", "ro", "console=ttyS0", "quiet", "skew_tick=1", "nohz=on"}
    )


def test_grub_the_admins_token_stays_his(root):
    fill(root, {GRUB_DEFAULTS: 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet skew_tick=1"\n'})
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    use(root, plan())
    assert drop_in_tokens(Path(f"{root}{DROP_IN}").read_text()) == WANTED[:1]
    assert booting(root).tokens.count("skew_tick=1") == 1
    assert use(root, plan())[0].changes == []


def test_grub_a_token_whose_file_is_overruled_is_ours(root):
    """As on cloud images, whose own drop-in sets the variable again."""
    fill(root, {GRUB_DEFAULTS: 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet skew_tick=1"\n'})
    fill(root, {"/etc/default/grub.d/50-cloud.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1"\n'})
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    use(root, plan())
    assert "skew_tick=1" in booting(root).tokens
    assert use(root, plan())[0].changes == []


def test_grub_a_page_count_of_the_admins_is_not_ours(root):
    fill(root, {GRUB_DEFAULTS: 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="hugepagesz=2M hugepages=4"\n'})
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    use(root, plan(["hugepagesz=1G", "hugepages=4"]))
    assert [token for token in booting(root).tokens if token.startswith("hugepages")] == [
        "hugepagesz=2M",
        "hugepages=4",
        "hugepagesz=1G",
        "hugepages=4",
    ]
    assert use(root, plan(["hugepagesz=1G", "hugepages=4"]))[0].changes == []


def test_grub_foreign_tokens_are_told_by_file(root):
    fill(
        root,
        {
            "/etc/default/grub.d/50-x.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX isolcpus=1"\n',
            DROP_IN: "",
            "/etc/default/grub.d/empty.cfg": "",
        },
    )
    foreign = find_boot_loader(writable(root), MakeConfig(root)).foreign()
    assert foreign == {GRUB_DEFAULTS: ["console=ttyS0", "quiet"], "/etc/default/grub.d/50-x.cfg": ["isolcpus=1"]}


def test_grub_a_token_that_the_admin_has_twice_is_not_added_a_third_time(root):
    fill(
        root, {"/etc/default/grub.d/50-admin.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX skew_tick=1 skew_tick=1 panic=30"\n'}
    )
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    use(root, plan())
    assert list(booting(root).tokens).count("skew_tick=1") == 2
    assert use(root, plan())[0].changes == []


def test_grub_a_newly_installed_kernel_is_taken(root):
    use(root, plan())
    fill(root, {"/boot/vmlinuz-6.1.0-51-rt-amd64": ""})
    assert use(root, plan())[0].changes == [], "without its initrd it is half installed and would not boot"
    fill(root, {"/boot/initrd.img-6.1.0-51-rt-amd64": ""})
    host, _rest, foreseen = use(root, plan())
    assert [change.resource for change in host.changes] == [GRUB_CFG]
    assert booting(root).release == foreseen.release == "6.1.0-51-rt-amd64"


def test_grub_removal_keeps_an_earlier_kernel_until_the_added_have_gone(root):
    os.unlink(f"{root}/boot/vmlinuz-{RT}")
    os.unlink(f"{root}/boot/initrd.img-{RT}")
    MakeConfig(root)(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    before = snapshot(root)
    use(root, plan())
    fill(root, {f"/boot/vmlinuz-{RT}": RT, f"/boot/initrd.img-{RT}": RT})
    use(root, plan())
    assert booting(root).release == RT

    _rest, _rest, foreseen = use(root, remove([RT]))
    assert booting(root).release == STOCK == foreseen.release
    assert not set(WANTED) & set(booting(root).tokens)
    assert not set(WANTED) & set(foreseen.tokens)
    again, runner, _rest = use(root, remove([RT]))
    assert (again.changes, runner.calls) == ([], 0)

    os.unlink(f"{root}/boot/vmlinuz-{RT}")
    os.unlink(f"{root}/boot/initrd.img-{RT}")
    use(root, remove())
    assert snapshot(root) == before


def test_grub_removal_with_no_kernel_left_is_refused(root):
    use(root, plan())
    before = snapshot(root)
    with pytest.raises(
        HostError, match=r"^every kernel in /boot would be removed \(.*\); install one of the distribution's first"
    ):
        use(root, remove([STOCK, RT]))
    assert snapshot(root) == before


def test_grub_removal_where_we_never_were(root):
    before = snapshot(root)
    host, runner, entry = use(root, remove([RT]))
    assert (host.changes, runner.calls, entry) == ([], 0, booting(root))
    assert snapshot(root) == before


def test_grub_killed_between_drop_in_and_menu(root):
    use(root, plan())
    os.utime(f"{root}{GRUB_CFG}", ns=(1, 1))
    host, runner, _rest = use(root, plan())
    assert [change.resource for change in host.changes] == [GRUB_CFG]
    assert runner.calls == 1
    assert use(root, plan())[0].changes == []


def test_grub_a_default_of_a_later_file_is_refused_though_the_menu_does_not_have_it_yet(root):
    use(root, plan())
    fill(root, {"/etc/default/grub.d/zz-cloud.cfg": "GRUB_DEFAULT=0\n"})
    later = os.stat(f"{root}{GRUB_CFG}").st_mtime_ns + 10**9
    os.utime(f"{root}/etc/default/grub.d/zz-cloud.cfg", ns=(later, later))
    before = snapshot(root)
    with pytest.raises(KernelArgumentError, match=r"^/etc/default/grub.d/zz-cloud.cfg sets GRUB_DEFAULT again after"):
        use(root, plan())
    assert snapshot(root) == before


def test_grub_a_clock_that_is_set_back_ends_the_changes(root):
    """The drop-in was written an hour ahead of the clock that dates the menu."""
    use(root, plan())
    ahead = os.stat(f"{root}{GRUB_CFG}").st_mtime_ns + 3600 * 10**9
    os.utime(f"{root}{DROP_IN}", ns=(ahead, ahead))
    assert [change.resource for change in use(root, plan())[0].changes] == [GRUB_CFG]
    assert use(root, plan())[0].changes == []


def test_grub_killed_anywhere_is_completed_or_taken_back(root, tmp_path):
    before = snapshot(root)
    whole = tmp_path / "whole"
    shutil.copytree(root, whole, symlinks=True)
    use(whole, plan())
    expected = {path: content for path, content in snapshot(whole).items() if "journal" not in path}
    step, killed = 0, True
    while killed:
        for name, finish in (("again", plan()), ("undo", remove())):
            tree = tmp_path / f"{name}{step}"
            shutil.copytree(root, tree, symlinks=True)
            killed = killed_at(step, lambda tree=tree: use(tree, plan()), tree)
            menu = booting(tree)
            assert menu is not None, "a power cut would leave the machine without a menu"
            use(tree, finish)
            found = {path: content for path, content in snapshot(tree).items() if "journal" not in path}
            if name == "again":
                assert found == expected, f"killed before step {step}"
            else:
                assert found == before, f"killed before step {step}"
        step += 1
    assert step > 12


@pytest.mark.parametrize("step", range(4))  # journal, drop-in, menu, options
@pytest.mark.parametrize("reason", [(28, "No space left on device"), (30, "Read-only file system")])
def test_grub_a_write_that_fails_leaves_a_menu_and_is_made_later(root, tmp_path, monkeypatch, reason, step):
    old, real, calls = booting(root), os.rename, iter(range(99))
    whole = tmp_path / "whole"
    shutil.copytree(root, whole, symlinks=True)
    use(whole, plan())
    expected = {path: content for path, content in snapshot(whole).items() if "journal" not in path}

    def full(source, target):
        if next(calls) == step:
            raise OSError(*reason)
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", full)
        with pytest.raises(HostError, match=f"cannot be written: {reason[1]}$"):
            use(root, plan())
    assert booting(root) == (old if step < 3 else booting(whole))
    use(root, plan())
    assert {path: content for path, content in snapshot(root).items() if "journal" not in path} == expected


def test_grub_undo_whose_menu_failed_is_made_again(root):
    before = snapshot(root)
    use(root, plan())
    failing = MakeConfig(root)
    failing.answer = (1, "", "no space")
    with pytest.raises(HostError, match=r"^/usr/sbin/grub-mkconfig -o \S+ failed with exit code 1: no space$"):
        use(root, remove(), failing)
    host, runner, _rest = use(root, remove())
    assert [change.resource for change in host.changes] == [GRUB_CFG, CONFIG]
    assert runner.calls == 1
    assert snapshot(root) == before


@pytest.mark.parametrize("text", ["", "set default=0\n", "menuentry 'x' {\n}\n"])
def test_grub_a_menu_without_a_kernel_is_refused_and_the_old_one_kept(root, text):
    menu = Path(f"{root}{GRUB_CFG}").read_bytes()
    broken = MakeConfig(root)
    broken.text = text
    with pytest.raises(
        HostError,
        match=rf"a menu without a kernel, or one whose default a variable or a condition chooses; it is kept as {GRUB_CFG}\S+ and {GRUB_CFG} is unchanged",
    ):
        use(root, plan(), broken)
    assert Path(f"{root}{GRUB_CFG}").read_bytes() == menu
    use(root, plan())
    assert booting(root).release == RT


@pytest.mark.parametrize("missing", [GRUB_DEFAULTS, GRUB_CFG])
def test_grub_missing_files_are_refused(root, missing):
    os.unlink(f"{root}{missing}")
    with pytest.raises(HostError, match=f"^{missing} does not exist; install and configure GRUB first"):
        use(root, plan())


@pytest.mark.parametrize("path", [GRUB_DEFAULTS, GRUB_CFG])
def test_grub_a_file_that_cannot_be_written_is_refused_before_any_change(root, path, monkeypatch):
    before = snapshot(root)
    real = os.open

    def refuse(name, flags, *rest, **options):
        if name == f"{root}{path}" and flags & os.O_WRONLY:
            raise OSError(30, "Read-only file system")
        return real(name, flags, *rest, **options)

    monkeypatch.setattr(_boot.os, "open", refuse)
    with pytest.raises(HostError, match=rf"^{path} cannot be written: Read-only file system; .*mounted read-only"):
        use(root, plan())
    monkeypatch.undo()
    assert snapshot(root) == before


def test_grub_a_directory_that_cannot_be_written_is_refused(root, monkeypatch):
    monkeypatch.setattr(_boot.os, "access", lambda path, _mode: not path.endswith("/boot/grub"))
    with pytest.raises(HostError, match=f"^{GRUB_CFG} cannot be written: its directory is not writable"):
        use(root, plan())


def test_grub_a_menu_behind_a_link_is_replaced_where_it_is(root):
    os.rename(f"{root}{GRUB_CFG}", f"{root}/boot/real.cfg")
    os.symlink("../real.cfg", f"{root}{GRUB_CFG}")
    use(root, plan())
    assert os.path.islink(f"{root}{GRUB_CFG}")
    assert booting(root).release == RT


def test_grub_a_menu_that_cannot_be_read_is_made_anew(root):
    fill(root, {GRUB_CFG.replace("/grub.cfg", "/x"): ""})
    os.chmod(f"{root}{GRUB_CFG}", 0o644)
    Path(f"{root}{GRUB_CFG}").write_text("")
    _rest, runner, foreseen = use(root, plan())
    assert foreseen is None
    assert runner.calls == 1
    assert booting(root).release == RT


# -- the genuine grub-mkconfig, in a mount namespace ------------------------------------------------

_PROBE = f"""#!/bin/sh
case "$*" in
  *target=device*) echo /dev/vda1 ;;
  *target=fs_uuid*) echo {UUID} ;;
  *target=partuuid*) echo 01 ;;
  *target=fs) echo ext2 ;;
esac
"""


def _genuine(root):
    probe = Path(f"{root}/probe")
    probe.write_text(_PROBE)
    probe.chmod(0o755)
    program = shutil.which("grub-mkconfig", path="/usr/sbin:/usr/bin")
    tool = shutil.which("grub-probe", path="/usr/sbin:/usr/bin")
    if (
        os.geteuid() != 0
        or not program
        or not tool
        or not Path("/etc/grub.d/10_linux").exists()
        or not Path("/etc/default/grub.d").exists()
    ):
        pytest.skip("needs root and an installed GRUB, to let grub-mkconfig see a tree as its machine")
    script = f"mount --bind '{probe}' {tool} && mount --bind '{root}/boot' /boot && mount --bind '{root}/etc/default' /etc/default && exec \"$@\""

    def runner(command):
        if command[0] == "sh":
            return MakeConfig(root)(command)
        given = [word[len(str(root)) :] if word.startswith(str(root)) else word for word in command]
        ran = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", program, *given[1:]], check=False, capture_output=True, text=True
        )
        return ran.returncode, ran.stdout, ran.stderr

    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    return runner


def test_grub_with_the_genuine_grub_mkconfig(root):
    for kernel in (STOCK, RT, "6.1.0-9-rt-amd64", "6.1.0-51-amd64"):
        shutil.copy("/bin/true", f"{root}/boot/vmlinuz-{kernel}")
        fill(root, {f"/boot/initrd.img-{kernel}": ""})
    runner = _genuine(root)
    assert runner(["grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])[0] == 0
    os.chmod(f"{root}{GRUB_CFG}", 0o600)
    before = snapshot(root)
    assert booting(root).release == "6.1.0-51-amd64"
    _rest, _rest, foreseen = use(root, plan(), runner)
    assert booting(root).release == foreseen.release == RT
    assert set(booting(root).tokens) == set(foreseen.tokens)
    assert set(WANTED) <= set(booting(root).tokens)
    assert use(root, plan(), runner)[0].changes == []
    use(root, remove(), runner)
    assert snapshot(root) == before


# -- what others put into the menu -----------------------------------------------------------------


@pytest.mark.parametrize("line", ["set default=2", 'default="2"', "x=2\nset default=$x", 'set default="${unknown}"'])
def test_a_script_that_chooses_another_default_is_seen_in_the_generated_menu(root, line):
    runner = MakeConfig(root)
    runner.changed = lambda text: text.replace(
        "if [ -f  ${config_directory}/custom.cfg", f"{line}\nif [ -f  ${{config_directory}}/custom.cfg", 1
    )
    before = Path(f"{root}{GRUB_CFG}").read_bytes()
    with pytest.raises(HostError, match=r"kept as /boot/grub/grub\.cfg\.realtime-kvm"):
        use(root, plan(), runner)
    assert Path(f"{root}{GRUB_CFG}").read_bytes() == before


def with_tuned(root, tokens):
    """A node on which tuned has its arguments: a variable in /etc/default/grub, whose value 00_tuned puts into the menu."""
    fill(
        root,
        {
            GRUB_DEFAULTS: Path(f"{root}{GRUB_DEFAULTS}").read_text()
            + 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT \\$tuned_params"\n'
        },
    )
    runner = MakeConfig(root)
    runner.changed = lambda text: f'set tuned_params="{tokens}"\nset tuned_initrd=""\n{text}'
    os.chmod(f"{root}{GRUB_CFG}", 0o644)
    runner(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    return runner


def test_arguments_of_tuned_are_foreign_ones(root):
    runner = with_tuned(root, "skew_tick=1 isolcpus=5-7")
    found = find_boot_loader(writable(root), runner).foreign()
    assert found[f"{GRUB_CFG} ($tuned_params)"] == ["skew_tick=1", "isolcpus=5-7"]
    assert str(find_conflicts(found, ["isolcpus=2-3"])[0]).startswith(f"{GRUB_CFG} ($tuned_params)")


def test_tuned_that_sets_such_arguments_since_the_last_menu_is_seen_in_the_generated_one(root):
    runner = with_tuned(root, "")
    runner.changed = lambda text: f'set tuned_params="nohz_full=5-7"\n{text}'
    with pytest.raises(HostError, match=r"it has nohz_full=5-7 beside the planned nohz_full="):
        use(root, plan(["nohz_full=2-3"]), runner)


def test_arguments_of_tuned_that_agree_change_nothing_a_second_time(root):
    runner = with_tuned(root, "tsc=reliable mitigations=off")
    _host, _runner, foreseen = use(root, plan(), runner)
    assert set(booting(root).tokens) == set(foreseen.tokens) >= {"tsc=reliable", "mitigations=off", *WANTED}
    assert use(root, plan(), runner)[0].changes == []
