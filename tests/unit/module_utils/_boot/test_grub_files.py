# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's files: the menu as read, the drop-in as sh executes it, the order of kernels."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.grub_files import (
    BootEntry,
    drop_in_tokens,
    grub_words,
    menu_variables,
    newest_matching,
    parse_grubby,
    parse_menu,
    render_drop_in,
    saved_entry,
    version_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.loaders import field
from unit.menus import UUID, evaluate, menu, sorted_as_sort_does
from unit.trees import fill

KERNELS = ["6.1.0-50-rt-amd64", "6.1.0-50-amd64", "6.1.0-9-rt-amd64"]

# -- the menu --------------------------------------------------------------------------------------


def test_every_entry_of_a_menu_is_read():
    entries, default = parse_menu(menu(KERNELS, "quiet isolcpus=2-3", everywhere="console=ttyS0"))
    assert [entry.release for entry in entries] == [KERNELS[0], *(kernel for kernel in KERNELS for _rest in range(2))]
    assert default == entries[0]
    assert default.tokens == (f"root=UUID={UUID}", "ro", "console=ttyS0", "quiet", "isolcpus=2-3")
    assert default.title == "Debian GNU/Linux"
    assert entries[2].tokens == (f"root=UUID={UUID}", "ro", "single", "console=ttyS0")
    assert entries[2].title == f"Debian GNU/Linux, with Linux {KERNELS[0]} (recovery mode)"


@pytest.mark.parametrize(
    ("default", "identity"),
    [
        ("0", f"gnulinux-simple-{UUID}"),
        ("1>0", f"gnulinux-{KERNELS[0]}-advanced-{UUID}"),
        ("1>2", f"gnulinux-{KERNELS[1]}-advanced-{UUID}"),
        (f"gnulinux-advanced-{UUID}>gnulinux-{KERNELS[2]}-advanced-{UUID}", f"gnulinux-{KERNELS[2]}-advanced-{UUID}"),
        (f"gnulinux-advanced-{UUID}>3", f"gnulinux-{KERNELS[1]}-recovery-{UUID}"),
        ("Debian GNU/Linux", f"gnulinux-simple-{UUID}"),
        (
            f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {KERNELS[1]}",
            f"gnulinux-{KERNELS[1]}-advanced-{UUID}",
        ),
        ("9", f"gnulinux-simple-{UUID}"),
        ("1>9", f"gnulinux-simple-{UUID}"),
        ("no such", f"gnulinux-simple-{UUID}"),
        ("${saved_entry}", f"gnulinux-simple-{UUID}"),
    ],
)
def test_the_default_entry(default, identity):
    assert parse_menu(menu(KERNELS, default=default))[1].identity == identity


def test_the_default_of_a_menu_without_submenu():
    found = parse_menu(menu(KERNELS, default=f"gnulinux-{KERNELS[2]}-advanced-{UUID}", submenu=False))[1]
    assert found.release == KERNELS[2]


@pytest.mark.parametrize("text", ["", 'set default="0"\n', menu([]), "menuentry 'x' {\n", "}\n}\n", "submenu 'x' {\n}\n"])
def test_a_menu_without_a_kernel_has_no_default(text):
    assert parse_menu(text) == ([], None)


def test_other_ways_to_write_an_entry():
    text = """
set default=b
menuentry "With ' quotes" --id b {
  linuxefi /vmlinuz-5.14.0-427.el9.x86_64+rt ro dyndbg="file x +p" quiet $vt_handoff
}
menuentry Bare {
  linux16 (hd0,gpt2)/old/vmlinuz-2.6 ro
}
"""
    entries, default = parse_menu(text)
    assert [(entry.title, entry.release) for entry in entries] == [("With ' quotes", "5.14.0-427.el9.x86_64+rt"), ("", "2.6")]
    assert default.tokens == ("ro", '"dyndbg=file x +p"', "quiet", "$vt_handoff")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ro  quiet\t$vt_handoff", ["ro", "quiet", "$vt_handoff"]),
        (
            "dyndbg='file drivers/net/* +p' acpi_osi='Some System 2020'",
            ['"dyndbg=file drivers/net/* +p"', '"acpi_osi=Some System 2020"'],
        ),
        ('a="b c" "d=e f" g=""', ['"a=b c"', '"d=e f"', "g="]),
        (r"a\ b c\"d", ['"a b"', r"c\"d"]),
        (r"""'x"y' "p\"q" "a\$b" z=\x20""", [r"x\"y", r"p\"q", "a$b", "z=x20"]),
        ("tail='open", ["tail=open"]),
        ("", []),
    ],
)
def test_words_are_as_grub_hands_them_to_the_kernel(line, words):
    assert grub_words(line) == words


def test_an_entry_may_have_several_command_lines():
    entry = parse_menu(field("16")[""])[1]
    assert entry.lines == [["root=PARTUUID=aa", "ro", "console=ttyS0"], ["root=PARTUUID=aa", "ro", "console=ttyS0", "panic=-1"]]
    assert entry.release == "6.8.1-1009-realtime"


def test_the_saved_entry_is_the_default():
    text = menu(KERNELS, default="0").replace('set default="0"', 'set default="${saved_entry}"')
    saved = f"gnulinux-advanced-{UUID}>gnulinux-{KERNELS[2]}-advanced-{UUID}"
    assert saved_entry(f"# GRUB Environment Block\nsaved_entry={saved}\n####") == saved
    assert parse_menu(text, saved)[1].release == KERNELS[2]
    assert parse_menu(text)[1].release == KERNELS[0]
    assert saved_entry("# GRUB Environment Block\n####") == ""


# -- the drop-in, by sh ----------------------------------------------------------------------------


def kernels_in(root, *releases):
    files = {f"/boot/{kind}-{release}": "" for kind in ("vmlinuz", "initrd.img") for release in releases}
    return fill(root, {"/etc/default/grub.d/": None, **files})


def executed(root, tokens, pattern=None, **given_variables):
    fill(root, {"/etc/default/grub.d/99.cfg": render_drop_in(tokens, pattern)})
    return evaluate(root, GRUB_DEVICE_UUID=UUID, **given_variables)


def test_the_drop_in_adds_to_the_admins_arguments(tmp_path):
    kernels_in(tmp_path)
    tokens = ["isolcpus=managed_irq,domain,2-3", "hugepages=0:16,1:16", "8250.nr_uarts=4"]
    found = executed(
        tmp_path, tokens, GRUB_CMDLINE_LINUX_DEFAULT='quiet dyndbg="file x +p"', GRUB_CMDLINE_LINUX="a", GRUB_DEFAULT="0"
    )
    assert found["GRUB_CMDLINE_LINUX_DEFAULT"] == 'quiet dyndbg="file x +p" ' + " ".join(tokens)
    assert (found["GRUB_CMDLINE_LINUX"], found["GRUB_DEFAULT"]) == ("a", "0")


def test_the_drop_in_without_arguments_of_the_admin(tmp_path):
    kernels_in(tmp_path)
    assert executed(tmp_path, ["a=1"])["GRUB_CMDLINE_LINUX_DEFAULT"].split() == ["a=1"]
    assert executed(tmp_path, [], GRUB_CMDLINE_LINUX_DEFAULT="quiet")["GRUB_CMDLINE_LINUX_DEFAULT"] == "quiet"


@pytest.mark.parametrize(
    ("variables", "default"),
    [
        ({}, f"gnulinux-advanced-{UUID}>gnulinux-6.1.0-50-rt-amd64-advanced-{UUID}"),
        ({"GRUB_DISABLE_SUBMENU": "false"}, f"gnulinux-advanced-{UUID}>gnulinux-6.1.0-50-rt-amd64-advanced-{UUID}"),
        ({"GRUB_DISABLE_SUBMENU": "y"}, f"gnulinux-6.1.0-50-rt-amd64-advanced-{UUID}"),
        ({"GRUB_DISABLE_SUBMENU": "yes"}, f"gnulinux-6.1.0-50-rt-amd64-advanced-{UUID}"),
        ({"GRUB_DISABLE_SUBMENU": "true"}, f"gnulinux-6.1.0-50-rt-amd64-advanced-{UUID}"),
    ],
)
def test_the_newest_matching_kernel_is_the_default_in_the_menu(tmp_path, variables, default):
    kernels_in(tmp_path, *KERNELS, "6.1.0-51-amd64")
    found = executed(tmp_path, ["a"], "*-rt-*", GRUB_DEFAULT="0", **variables)
    assert found["GRUB_DEFAULT"] == default
    submenu = variables.get("GRUB_DISABLE_SUBMENU") not in ("y", "yes", "true")
    chosen = parse_menu(menu(["6.1.0-51-amd64", *KERNELS], default=found["GRUB_DEFAULT"], submenu=submenu))[1]
    assert chosen.release == "6.1.0-50-rt-amd64" == newest_matching([*KERNELS, "6.1.0-51-amd64"], "*-rt-*")


def test_a_kernel_without_its_initrd_is_not_the_default(tmp_path):
    kernels_in(tmp_path, *KERNELS)
    fill(tmp_path, {"/boot/vmlinuz-6.1.0-51-rt-amd64": ""})
    assert "gnulinux-6.1.0-50-rt-amd64-advanced" in executed(tmp_path, [], "*-rt-*")["GRUB_DEFAULT"]


def test_without_a_matching_kernel_the_admins_default_stays(tmp_path):
    kernels_in(tmp_path, "6.1.0-50-amd64")
    assert executed(tmp_path, ["a"], "*-rt-*", GRUB_DEFAULT="saved")["GRUB_DEFAULT"] == "saved"


@pytest.mark.parametrize("tokens", [[], ["a"], ["isolcpus=managed_irq,domain,2-3", "b=1,2:3/4"]])
@pytest.mark.parametrize("pattern", [None, "*-rt-*"])
def test_our_tokens_are_found_again(tokens, pattern):
    assert drop_in_tokens(render_drop_in(tokens, pattern)) == tokens


def test_a_file_that_is_not_ours_has_none_of_ours():
    assert drop_in_tokens('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n') == []


# -- grubby ----------------------------------------------------------------------------------------


def test_grubby():
    text = """\
index=0
kernel="/boot/vmlinuz-5.14.0-503.el9.x86_64+rt"
args="ro crashkernel=1G-4G:192M $tuned_params isolcpus=2"
root="UUID=1"
initrd="/boot/initramfs-5.14.0-503.el9.x86_64+rt.img"
title="Red Hat Enterprise Linux (5.14.0-503.el9.x86_64+rt)"
id="abc-5.14.0-503.el9.x86_64+rt"
index=1
kernel="/boot/vmlinuz-0-rescue-abc"
args="ro"
title="rescue"
id="abc-0-rescue"
index=2
non linux entry
index=3
kernel=/boot/vmlinuz-4
"""
    assert parse_grubby(text) == {
        0: BootEntry(
            "abc-5.14.0-503.el9.x86_64+rt",
            "Red Hat Enterprise Linux (5.14.0-503.el9.x86_64+rt)",
            "/boot/vmlinuz-5.14.0-503.el9.x86_64+rt",
            ("ro", "crashkernel=1G-4G:192M", "$tuned_params", "isolcpus=2"),
            "UUID=1",
        ),
        1: BootEntry("abc-0-rescue", "rescue", "/boot/vmlinuz-0-rescue-abc", ("ro",)),
        3: BootEntry("/boot/vmlinuz-4", "", "/boot/vmlinuz-4", ()),
    }
    assert parse_grubby(text)[0].lines == [["root=UUID=1", "ro", "crashkernel=1G-4G:192M", "$tuned_params", "isolcpus=2"]]
    assert parse_grubby("") == {}


# -- versions --------------------------------------------------------------------------------------


def releases():
    number = st.integers(0, 120).map(str)
    flavour = st.sampled_from(["", "-rt-amd64", "-amd64", "-cloud-amd64", "-rt", "-generic", "-lowlatency", "-realtime", "+rt"])
    vendor = st.sampled_from(["", ".el9.x86_64", ".el9_4.x86_64", ".rt7.346.el9.x86_64", "-rc1", "+deb12", "-pve"])
    return st.builds("{}.{}.{}-{}{}{}".format, st.sampled_from("456"), number, number, number, vendor, flavour)


@settings(max_examples=60, deadline=None)
@given(st.lists(releases(), min_size=2, max_size=40, unique=True))
def test_kernels_are_ordered_as_sort_does(names):
    assert sorted(names, key=version_key) == sorted_as_sort_does(names)


@pytest.mark.parametrize(
    ("pattern", "newest"),
    [
        ("*-rt-*", "6.1.0-50-rt-amd64"),
        ("*", "6.1.0-50-rt-amd64"),
        ("*-amd64", "6.1.0-50-rt-amd64"),
        ("6.1.0-9*", "6.1.0-9-rt-amd64"),
        ("x", None),
    ],
)
def test_newest_matching(pattern, newest):
    assert newest_matching(KERNELS, pattern) == newest


RT, STOCK = KERNELS[:2]

# -- what chooses the default, and what variables stand for ----------------------------------------


def with_lines(*lines):
    """A menu whose default is the stock kernel, and lines of 40_custom."""
    text = menu([RT, STOCK], default=f"gnulinux-advanced-{UUID}>gnulinux-{STOCK}-advanced-{UUID}")
    return text.replace(
        "if [ -f  ${config_directory}/custom.cfg", "\n".join((*lines, "if [ -f  ${config_directory}/custom.cfg")), 1
    )


@pytest.mark.parametrize(
    "line",
    [
        "set default=0",
        "default=0",
        "set default='0'",
        'set default="0"',
        'chosen=0\nset default="$chosen"',
        "set chosen=0\nset default=${chosen}",
        "set default=",
        "set   default=0 # the newest",
        "set default='Debian GNU/Linux'",
        'set default="Debian GNU/Linux"',
    ],
)
def test_a_default_of_a_script_is_read_as_grub_reads_it(line):
    assert parse_menu(with_lines(line))[1].release == RT
    assert parse_menu(with_lines(line), saved="1")[1].release == RT


@pytest.mark.parametrize(
    "line",
    [
        "# set default=0",
        "set my_default=0",
        "function f {\n  set default=0\n}",
        "set x=default=0",
        "menuentry 'x' {\n  set default=0\n}",
    ],
)
def test_what_is_no_default_is_none(line):
    assert parse_menu(with_lines(line))[1].release == STOCK


@pytest.mark.parametrize(
    "lines",
    [
        ["if [ -f /x ]; then set default=0; fi"],
        ['if [ "${x}" = 1 ]; then', '  set default="0"', "fi"],
        ['if [ "${x}" = 1 ]; then', "  true", "else", "  set default=0", "fi"],
        ['if [ "${next_entry}" ]; then', "  true", 'elif [ "${x}" ]; then', "  set default=0", "fi"],
        [
            "if cmostest 1:2 ; then",
            "  set default=0",
            'elif [ "${next_entry}" ]; then',
            "  true",
            "else",
            "  set default=2",
            "fi",
        ],
        ["for x in 1 2; do", "  set default=0", "done"],
        ["if [ -f /x ]; then", "  x=0", "fi", "set default=$x"],
        ["x=0", "x=$unknown", "set default=$x"],
    ],
)
def test_a_default_that_a_condition_chooses_is_unknown(lines):
    assert parse_menu(with_lines(*lines))[1] is None
    assert parse_menu(with_lines(*lines, "set default=0"))[1].release == RT, "one behind it is certain"


def test_a_condition_that_chooses_what_is_chosen_already_is_no_doubt():
    assert parse_menu(with_lines("set default=0", "if [ -f /x ]; then", "  set default=0", "fi"))[1].release == RT


def test_a_default_that_an_unknown_variable_chooses_is_unknown():
    assert parse_menu(with_lines('set default="${chosen_by_firmware}"'))[1] is None
    assert parse_menu(with_lines("if [ -f /x ]; then", "x=0", "else", "x=1", "fi", "set default=$x"))[1] is None


@pytest.mark.parametrize("written", ["$tuned_params", "${tuned_params}"])
def test_a_variable_of_the_menu_stands_for_its_arguments(written):
    line = 'set tuned_params="skew_tick=1 isolcpus=5-7"'
    text = f"{line}\n{menu([RT, STOCK], f'quiet {written} $other')}"
    assert menu_variables(text)["tuned_params"] == "skew_tick=1 isolcpus=5-7"
    assert parse_menu(text)[1].tokens == ("root=UUID=5f1c-77aa", "ro", "quiet", "skew_tick=1", "isolcpus=5-7", "$other")
