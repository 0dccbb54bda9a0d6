# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment block and the frame: as text, and as GRUB itself reads them."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot import one_shot
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_files import parse_menu
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import (
    MARK,
    NEXT,
    ONCE,
    PREVIOUS,
    TRIAL,
    TRIAL_TOKENS,
    OneShotError,
    Recipe,
    arm_environment,
    bls_recipe,
    change_environment,
    custom_problem,
    disarm_environment,
    extra_tokens,
    frame,
    framed,
    is_armed,
    menu_problem,
    menu_recipes,
    new_entry,
    old_entry,
    parse_environment,
    place_problem,
    quoted,
    with_frame,
)
from unit.menus import menu

STOCK, RT = "6.1.0-50-amd64", "6.1.0-50-rt-amd64"
EMPTY = b"# GRUB Environment Block\n".ljust(1024, b"#")
OLD = Recipe(PREVIOUS, f"/boot/vmlinuz-{STOCK}", (f"/boot/initrd.img-{STOCK}",), ("root=UUID=1", "ro", "quiet"), ("insmod ext2",))
NEW = new_entry(Recipe("x", f"/boot/vmlinuz-{RT}", (f"/boot/initrd.img-{RT}",), ("ro",), (), "ro isolcpus=2"))


# -- the environment block -------------------------------------------------------------------------


def test_the_block_keeps_what_others_have_written():
    block = change_environment(change_environment(EMPTY, "saved_entry", "a>b"), "next_entry", TRIAL)
    assert parse_environment(block) == {"saved_entry": "a>b", "next_entry": TRIAL}
    again = change_environment(block, "next_entry", None)
    assert (len(again), parse_environment(again)) == (1024, {"saved_entry": "a>b"})


@pytest.mark.parametrize("data", [b"", b"\0" * 1024, EMPTY[:-1], EMPTY + b"#", b"next_entry=x\n".ljust(1024, b"#")])
def test_a_damaged_block_is_refused_with_the_command_that_helps(data):
    with pytest.raises(OneShotError, match=r"grubenv\) is damaged \(\d+ bytes, .*grub-editenv - create"):
        change_environment(data, "next_entry", TRIAL)


def test_a_full_block_is_refused_and_an_almost_full_one_is_not():
    room = 1024 - len(b"# GRUB Environment Block\n") - len(f"next_entry={TRIAL}\n") - len("a=\n")
    fits = change_environment(EMPTY, "a", "x" * room)
    assert parse_environment(change_environment(fits, "next_entry", TRIAL))["next_entry"] == TRIAL
    with pytest.raises(OneShotError, match=r"grubenv\) is full, next_entry does not fit"):
        change_environment(change_environment(EMPTY, "a", "x" * (room + 1)), "next_entry", TRIAL)


def test_arming_and_disarming_leave_the_other_variables():
    block = change_environment(change_environment(EMPTY, "saved_entry", "a>b"), NEXT, "memtest86+")
    armed = arm_environment(block)
    assert (parse_environment(armed), is_armed(armed)) == ({"saved_entry": "a>b", ONCE: "1"}, True)
    spent = change_environment(change_environment(armed, ONCE, ""), NEXT, "")  # as GRUB leaves them
    assert not is_armed(spent)
    assert parse_environment(disarm_environment(spent)) == {"saved_entry": "a>b"}
    assert disarm_environment(block) == block, "the administrator's one-time entry stays"
    before = change_environment(EMPTY, NEXT, TRIAL)  # as an earlier release armed it
    assert parse_environment(disarm_environment(before)) == {}
    assert not is_armed(b"damaged")


@pytest.mark.skipif(not shutil.which("grub-editenv"), reason="needs grub-editenv (grub-common)")
def test_grub_editenv_and_this_collection_read_each_other(tmp_path):
    path = tmp_path / "grubenv"
    subprocess.run(["grub-editenv", path, "create"], check=True)
    subprocess.run(["grub-editenv", path, "set", "saved_entry=a\\b c", "recordfail=1"], check=True)
    assert parse_environment(path.read_bytes()) == {"saved_entry": "a\\b c", "recordfail": "1"}
    path.write_bytes(change_environment(path.read_bytes(), "next_entry", TRIAL))
    listed = subprocess.run(["grub-editenv", path, "list"], check=True, capture_output=True, text=True).stdout
    assert sorted(listed.splitlines()) == [f"next_entry={TRIAL}", "recordfail=1", "saved_entry=a\\b c"]
    subprocess.run(["grub-editenv", path, "unset", "next_entry"], check=True)
    assert "next_entry" not in parse_environment(path.read_bytes())


# -- menus and places ------------------------------------------------------------------------------


def test_what_a_menu_must_have():
    whole = menu([RT])
    assert menu_problem(whole) == ""
    assert "41_custom" in menu_problem(re.sub(r"(?m)^.*custom\.cfg.*$", "", whole))
    assert menu_problem("")
    assert menu_problem(whole.replace("### END header ###", 'set default="1"\nset fallback=1')) == "", "before the frame"


@pytest.mark.parametrize(
    "line",
    [
        'set default="0"',
        "default=0",
        "set 'default=0'",
        "if true; then set default=0; fi",
        "set fallback=1",
        "x=1; fallback=1",
        "unset default",
        "unset fallback",
        "search --no-floppy --label --set=default x",
        "regexp --set 1:default '(.*)' x",
        "probe --set=fallback --fs-uuid x",
    ],
)
def test_what_chooses_an_entry_after_the_frame_is_seen(line):
    assert "it chooses the default again (" in menu_problem(f"{menu([RT])}{line}\n")
    assert custom_problem(f"set x=1\n{line}\n")
    assert not custom_problem(f"# {line}\nset my_default=1\nset default_x=1\nsearch --set=root x\n")


@pytest.mark.parametrize(
    ("file_system", "abstraction", "said"),
    [
        ("ext2\n", "\n", ""),
        ("xfs\n", "", ""),
        ("btrfs\n", "\n", "does not write to btrfs"),
        ("zfs\n", "\n", "does not write to zfs"),
        ("", "", "an unknown file system"),
        ("ext2\n", "lvm\n", "lies on lvm"),
        ("ext2\n", "diskfilter mdraid1x \n", "lies on diskfilter mdraid1x"),
    ],
)
def test_where_grub_can_write(file_system, abstraction, said):
    found = place_problem(file_system, abstraction)
    assert said in found
    assert bool(said) == bool(found)


# -- entries ---------------------------------------------------------------------------------------


def test_entries_of_a_generated_menu():
    found = {recipe.identity: recipe for recipe in menu_recipes(menu([RT, STOCK], "quiet isolcpus=2"))}
    entry = found[f"gnulinux-{RT}-advanced-5f1c-77aa"]
    assert (entry.kernel, entry.initrds, entry.release) == (f"/boot/vmlinuz-{RT}", (f"/boot/initrd.img-{RT}",), RT)
    assert entry.tokens == ("root=UUID=5f1c-77aa", "ro", "quiet", "isolcpus=2")
    assert "search --no-floppy --fs-uuid --set=root 5f1c-77aa" in entry.setup
    assert all(not line.startswith(("echo", "linux", "initrd")) for line in entry.setup)
    assert len(found) == 5  # the top entry, and two of each kernel; the firmware's is no kernel


def test_of_two_linux_lines_the_one_with_an_initrd_is_taken():
    text = (
        "menuentry 'Some Linux' $menuentry_id_option 'gnulinux-simple-x' {\n\tsearch --set=root x\n"
        '\tif [ "${initrdfail}" = 1 ]; then\n\t  linux\t/boot/vmlinuz-6.8-rt root=PARTUUID=aa ro\n\t  initrd\t/boot/initrd.img-6.8-rt\n'
        "\telse\n\t  linux\t/boot/vmlinuz-6.8-rt root=PARTUUID=aa ro panic=-1\n\tfi\n\tinitrdfail\n}\n"
    )
    (recipe,) = menu_recipes(text)
    assert recipe.tokens == ("root=PARTUUID=aa", "ro")
    assert (recipe.initrds, recipe.setup) == (("/boot/initrd.img-6.8-rt",), ("search --set=root x",))


def test_a_variable_of_the_menu_stands_for_its_arguments_in_the_entries():
    text = f'set tuned_params="skew_tick=1 x=a;b"\n{menu([RT], "quiet $tuned_params ${other}")}'
    recipe = menu_recipes(text)[1]
    assert recipe.tokens[-4:] == ("quiet", "skew_tick=1", "x=a;b", "${other}")
    assert recipe.text.endswith("quiet skew_tick=1 'x=a;b' ${other}")


@pytest.mark.parametrize("text", ["menu", "file"])
def test_a_device_tree_stays_with_its_entry(text):
    """Of boards whose firmware has none: Ubuntu's 10_linux, and the field of the Boot Loader Specification."""
    if text == "menu":
        (recipe,) = menu_recipes(
            "menuentry 'Some Linux' $menuentry_id_option 'gnulinux-simple-x' {\n\tsearch --set=root x\n\tlinux\t/boot/vmlinuz-6.8-rt ro\n"
            "\tinitrd\t/boot/initrd.img-6.8-rt\n\tdevicetree\t/boot/dtb-6.8-rt\n}\n"
        )
        path = "/boot/dtb-6.8-rt"
    else:
        recipe = bls_recipe("a", "linux /vmlinuz-6.8-rt\ninitrd /i.img\ndevicetree /dtb/board.dtb\noptions ro\n", {})
        path = "($root)/dtb/board.dtb"
    old = old_entry([recipe], "6.8-rt", ["ro"])
    assert re.findall(r"(?m)^  devicetree (.*)$", frame(old, new_entry(recipe))) == [path, path]


@pytest.mark.skipif(not shutil.which("grub-script-check"), reason="needs grub-script-check (grub-common)")
@pytest.mark.parametrize(
    "block",
    [
        'if [ "${recordfail}" = 1 ]; then\n  echo again\nfi',
        "if true; then\n  echo a\nelif true; then\n  echo b\nelse\n  echo c\nfi",
        "if true; then\n  echo a\nelse\n  search --set=root x\nfi",
        "if true; then\n  if true; then\n    echo a\n  fi\nfi",
        "if true; then insmod x; fi\nif true; then\n  insmod x\nfi",
    ],
)
def test_a_condition_of_whose_lines_none_is_kept_is_no_syntax_error(block):
    (recipe,) = menu_recipes(
        f"menuentry 'x' --id 'x' {{\n{block}\nlinux /boot/vmlinuz-6.8-rt ro\ninitrd /boot/initrd.img-6.8-rt\n}}\n"
    )
    done = subprocess.run(["grub-script-check"], input=frame(recipe), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_entry_of_the_boot_loader_specification():
    recipe = bls_recipe(
        "abc-5.14.0+rt",
        "title Some Linux\nversion 5.14.0+rt\nlinux /vmlinuz-5.14.0+rt\ninitrd /initramfs-5.14.0+rt.img $tuned_initrd\n"
        "options root=/dev/mapper/vg0-root ro $tuned_params $kernelopts\n",
        {"tuned_params": "skew_tick=1 tsc=reliable"},
    )
    assert recipe.tokens == ("root=/dev/mapper/vg0-root", "ro", "skew_tick=1", "tsc=reliable", "$kernelopts")
    assert recipe.kernel == "($root)/vmlinuz-5.14.0+rt"
    assert recipe.initrds == ("($root)/initramfs-5.14.0+rt.img",)
    text = frame(OLD, new_entry(recipe))
    assert (
        f"linux ($root)/vmlinuz-5.14.0+rt root=/dev/mapper/vg0-root ro skew_tick=1 tsc=reliable $kernelopts {' '.join(TRIAL_TOKENS)}\n"
        in text
    )


def test_an_entry_of_the_boot_loader_specification_with_tabs_is_read_as_grub_reads_it():
    recipe = bls_recipe(
        "x",
        "title\tFedora\nversion\t5.14.0\nlinux\t/vmlinuz-5.14.0-1.el9.x86_64\n  initrd \t/initramfs-5.14.0-1.el9.x86_64.img\t\n"
        "options \troot=/dev/sda1\tro  quiet\n#linux\t/vmlinuz-x\noptions\tof=a key\n",
        {},
    )
    assert (recipe.release, recipe.initrds) == ("5.14.0-1.el9.x86_64", ("($root)/initramfs-5.14.0-1.el9.x86_64.img",))
    assert recipe.text == "root=/dev/sda1 ro quiet", (
        "a line with blanks has its key up to the first one, so the last line is unknown to GRUB"
    )


def test_an_entry_of_a_menu_with_tabs():
    (recipe,) = menu_recipes(
        "menuentry 'x' --id 'x' {\n\tlinux\t/boot/vmlinuz-6.8-rt\troot=/dev/sda1\tro\n\tinitrd\t/boot/i.img\n}\n"
    )
    assert (recipe.kernel, recipe.tokens) == ("/boot/vmlinuz-6.8-rt", ("root=/dev/sda1", "ro"))
    assert menu_recipes("menuentry 'x' --id 'x' {\nlinux /boot/vmlinuz-6.8-rt\n}\n")[0].kernel == "/boot/vmlinuz-6.8-rt"


def test_the_old_entry_is_what_runs_with_its_files_from_the_menu():
    recipes = menu_recipes(menu([RT, STOCK], "quiet isolcpus=2"))
    old = old_entry(recipes, STOCK, ["BOOT_IMAGE=/boot/vmlinuz", "root=UUID=9", "ro", "quiet"])
    assert (old.kernel, old.tokens) == (f"/boot/vmlinuz-{STOCK}", ("root=UUID=9", "ro", "quiet"))
    after_a_trial = old_entry(recipes, RT, ["BOOT_IMAGE=x", "ro", "isolcpus=2", *TRIAL_TOKENS])
    assert after_a_trial.tokens == ("ro", "isolcpus=2")
    with pytest.raises(OneShotError, match=r"the running kernel 5\.10 has no entry in the boot menu"):
        old_entry(recipes, "5.10", ["ro"])


def test_a_kernel_without_its_initial_ram_disk_is_not_tried():
    with pytest.raises(OneShotError, match=f"kernel {RT} has no initial RAM disk.*update-initramfs -c -k {RT}"):
        new_entry(Recipe("x", f"/boot/vmlinuz-{RT}", (), ("ro",)))


def test_a_command_line_that_the_kernel_would_cut_is_not_tried():
    long = "a=" + "x" * 2000
    with pytest.raises(OneShotError, match=r"the command line of kernel .* characters with the arguments of the trial"):
        new_entry(Recipe("x", f"/boot/vmlinuz-{RT}", ("/i",), (long,), (), long))


def test_arguments_of_the_trial_stand_before_those_of_init():
    assert (
        new_entry(Recipe("x", "/boot/vmlinuz-1", ("/i",), (), (), "ro -- splash")).text
        == f"ro {' '.join(TRIAL_TOKENS)} -- splash"
    )


@pytest.mark.parametrize(
    ("own", "panic"),
    [([], True), (["panic=0"], True), (["panic=-1"], True), (["panic"], True), (["panic=30"], False), (["panic=10"], False)],
)
def test_a_panic_becomes_a_reset_unless_it_is_one_already(own, panic):
    found = extra_tokens(own)
    assert MARK in found
    assert ("panic=10" in found) == panic


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("root=UUID=1-2", "root=UUID=1-2"),
        ('dyndbg="file a.c +p"', "'dyndbg=file a.c +p'"),
        ("a=$x", "'a=$x'"),
        ("a;b", "'a;b'"),
        ("a={1}", "'a={1}'"),
    ],
)
def test_arguments_are_quoted_for_grub(token, text):
    assert quoted(token) == text


@pytest.mark.parametrize("token", ["a='b'", "a=\\b", "a\nb"])
def test_arguments_that_cannot_be_repeated_are_refused(token):
    with pytest.raises(OneShotError, match=r"cannot repeat; .*rt_kernel_trial: false"):
        quoted(token)


# -- the frame -------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [None, "", "\n", "set x=1", "menuentry 'mine' {\n}\n", "menuentry 'mine' {\n}", "### BEGIN\n"])
def test_the_frame_comes_and_goes_and_other_lines_stay_to_the_last_byte(own):
    text = with_frame(own, frame(OLD))
    assert text.startswith(framed(text)), "it comes first: what follows may end the file or be a syntax error"
    again = with_frame(text, frame(OLD, NEW))
    assert framed(again).partition("menuentry")[2] == frame(OLD, NEW).partition("menuentry")[2]
    assert with_frame(text, "") == own
    assert with_frame(again, "") == own


def test_a_frame_of_before_that_stands_behind_other_lines_is_put_first():
    old = f"set x=1\n{frame(OLD)}"
    assert with_frame(old, frame(OLD, NEW)) == f"{frame(OLD, NEW)}set x=1\n"
    assert with_frame(old, "") == "set x=1\n"


def test_the_default_of_a_menu_is_not_mistaken():
    """Whoever reads grub.cfg and custom.cfg as one text finds the old entry."""
    assert parse_menu(menu([RT, STOCK]) + frame(OLD))[1].identity == PREVIOUS


@pytest.mark.skipif(not shutil.which("grub-script-check"), reason="needs grub-script-check (grub-common)")
@pytest.mark.parametrize("text", [frame(OLD), frame(OLD, NEW), menu([RT, STOCK]) + frame(OLD, NEW)])
def test_grub_understands_the_frame(text):
    done = subprocess.run(["grub-script-check"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- GRUB itself, as a program ---------------------------------------------------------------------

EMULATOR = os.environ.get("GRUB_EMU") or shutil.which("grub-emu")
#: What grub-mkconfig writes first, up to the choice of the default (00_header of GRUB 2.06).
_HEADER = """\
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
set timeout=0
menuentry 'new' --id new {
  echo "BOOTED new"
  halt
}
menuentry 'other' --id other {
  echo "BOOTED other"
  halt
}
BEFORE
source ${config_directory}/custom.cfg
"""


def _boot(folder: Path, writable: bool, seconds: int = 60) -> str:
    """Let GRUB read the menu and boot; return the entry. Without ``writable`` it sees the files where it cannot write."""
    command = [EMULATOR, "-r", "host", "-d", f"{folder}/boot/grub"]
    if writable:
        disk = folder / "disk"
        if not disk.exists():
            tree = folder / "tree"
            shutil.copytree(folder / "boot", tree / "boot")
            with disk.open("wb") as stream:
                stream.truncate(4 << 20)
            subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext2", "-d", tree, disk], check=True, capture_output=True)
        (folder / "map").write_text(f"(hd0) {disk}\n")
        command = [EMULATOR, "-m", str(folder / "map"), "-r", "hd0", "-d", "/boot/grub"]
    master, slave = pty.openpty()
    try:
        shown = subprocess.run(
            command, stdin=slave, capture_output=True, timeout=seconds, check=False, env={**os.environ, "TERM": "dumb"}
        ).stdout
    except subprocess.TimeoutExpired as error:  # it waits at its menu
        shown = error.stdout or b""
    finally:
        os.close(master)
        os.close(slave)
    return (re.findall(r"BOOTED (\S+)", shown.decode(errors="replace")) or ["nothing"])[-1]


def _menu_folder(
    tmp_path: Path, armed: bool, own: str | None = None, before: str = "", env: dict[str, str] | None = None, fails: str = ""
) -> Path:
    folder = tmp_path / "boot" / "grub"
    folder.mkdir(parents=True)
    text = frame(OLD, NEW)
    for name in (PREVIOUS, TRIAL):  # the emulator has no kernel to start
        body = "linux /boot/nothing" if name == fails else rf'echo "BOOTED {name}"\n  halt'
        text = re.sub(rf"(--id '{name}' \{{\n)(?:  .*\n)*", rf"\1  {body}\n", text)
    (folder / "custom.cfg").write_text(with_frame(own, text))
    (folder / "grub.cfg").write_text(_HEADER.replace("BEFORE\n", before))
    block = arm_environment(EMPTY) if armed else EMPTY
    for name, value in (env or {}).items():
        block = change_environment(block, name, value)
    (folder / "grubenv").write_bytes(block)
    return tmp_path


needs_grub = pytest.mark.skipif(
    not EMULATOR or not Path("/usr/sbin/mke2fs").exists(), reason="needs grub-emu (or its path in GRUB_EMU) and mke2fs"
)


@needs_grub
@pytest.mark.parametrize(("armed", "booted"), [(True, [TRIAL, PREVIOUS, PREVIOUS]), (False, [PREVIOUS, PREVIOUS])])
def test_grub_boots_the_new_entry_once(tmp_path, armed, booted):
    folder = _menu_folder(tmp_path, armed)
    assert [_boot(folder, writable=True) for _again in booted] == booted


#: /etc/grub.d/08_fallback_counting of Fedora and the RHEL family, in short.
_COUNTING = """\
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  set default=1
  set boot_counter=-1
  save_env boot_counter
fi
"""


@needs_grub
@pytest.mark.parametrize("armed", [True, False])
@pytest.mark.parametrize(
    ("before", "env"),
    [
        ("set default=new\n", {}),
        ("default=1\n", {}),
        ("unset default\n", {}),
        (_COUNTING, {"boot_counter": "0", "boot_success": "0"}),
        ("", {"prev_saved_entry": "new"}),
        ("set boot_once=true\n", {}),
        ("", {NEXT: "new"}),
        ("set default=new\n", {NEXT: "other"}),
        (f"set {ONCE}=1\n", {}),
    ],
)
def test_nothing_that_the_menu_has_chosen_before_boots_a_third_entry(tmp_path, before, env, armed):
    folder = _menu_folder(tmp_path, armed, before=before, env=env)
    assert [_boot(folder, writable=True) for _again in range(3)] == [TRIAL if armed else PREVIOUS, PREVIOUS, PREVIOUS]


@needs_grub
@pytest.mark.parametrize(("fails", "booted"), [(TRIAL, ["nothing", PREVIOUS]), (PREVIOUS, ["nothing"])])
def test_where_the_files_of_an_entry_cannot_be_loaded_grub_boots_no_other_one_untried(tmp_path, fails, booted):
    """It waits at its menu; the administrator's choice for that case, which is the new entry, does not count."""
    folder = _menu_folder(tmp_path, fails == TRIAL, before="set fallback=0\n", fails=fails)
    found = [_boot(folder, writable=True, seconds=14)]
    found += [_boot(folder, writable=True) for _again in booted[1:]]
    assert found == booted


@needs_grub
@pytest.mark.parametrize(
    "own",
    [
        "menuentry 'mine' {\n  chainloader +1\n",
        "return\n",
        'if [ "$grub_platform" != "efi" ]; then\n  return\nfi\n',
        "fi\n",
        "}\n",
        "'",
        "set x=(\n",
    ],
)
def test_the_administrators_lines_of_the_custom_menu_do_not_undo_the_frame(tmp_path, own):
    folder = _menu_folder(tmp_path, True, own)
    assert [_boot(folder, writable=True) for _again in range(3)] == [TRIAL, PREVIOUS, PREVIOUS]


@needs_grub
def test_grub_that_cannot_write_its_block_boots_the_old_entry(tmp_path):
    folder = _menu_folder(tmp_path, True)
    assert [_boot(folder, writable=False) for _again in range(2)] == [PREVIOUS, PREVIOUS]


@needs_grub
def test_without_the_frame_the_menu_decides_again(tmp_path):
    folder = _menu_folder(tmp_path, False)
    (folder / "boot/grub/custom.cfg").write_text("")
    assert _boot(folder, writable=True) == "new"


def test_the_longest_command_line_leaves_room_for_what_grub_adds():
    assert one_shot._LONGEST + len("BOOT_IMAGE=(hd0,gpt2)/vmlinuz-5.14.0-600.el9.x86_64+rt-and-a-long-name ") < 2047
