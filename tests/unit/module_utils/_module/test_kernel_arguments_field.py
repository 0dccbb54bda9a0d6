# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_arguments on boot configurations from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._boot.other_loaders import COPIED_MENUS, LOADER_INFO
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from unit.calls import PARTITION
from unit.loaders import field
from unit.menus import MakeConfig
from unit.trees import documented, fill, plan, snapshot

SKEW = {"from_partition": False, "arguments": ["skew_tick=1"]}


@pytest.fixture(autouse=True)
def _documented(request):
    if "tree" in request.fixturenames:
        fill(request.getfixturevalue("tree"), documented(PARTITION))


def booted(tree, kernel, line):
    fill(
        tree,
        {
            "/proc/cmdline": line,
            "/proc/sys/kernel/osrelease": f"{kernel}\n",
            **{f"/boot/{kind}-{kernel}": "" for kind in ("vmlinuz", "initrd.img")},
        },
    )


def differences(result):
    return result["missing"], result["unexpected"], result["reboot_required"]


def regenerate(tree):
    MakeConfig(tree)(["/usr/sbin/grub-mkconfig", "-o", f"{tree}{GRUB_CFG}"])


def test_01_root_apart_from_the_arguments(call, tree, monkeypatch):
    parts = field("01")
    fill(tree, {"/usr/sbin/grubby": ""})
    booted(tree, "5.14.0-600.el9.x86_64+rt", parts["/proc/cmdline"])

    def grubby(command):
        answers = {"--info=ALL": parts["grubby --info=ALL"], "--default-index": "0\n"}
        return 0, answers[command[1]], ""

    monkeypatch.setattr(_door, "runner_of", lambda _module: grubby)
    result = call("kernel_arguments", **SKEW, default_kernel="*+rt")
    assert differences(result) == ([], [], False)
    assert result["foreign_differences"] == {"missing": [], "unexpected": []}


def test_03_single_quotes(call, tree):
    parts = field("03")
    fill(tree, {GRUB_DEFAULTS: parts["/etc/default/grub"]})
    os.unlink(tree / "boot/vmlinuz-6.1.0-50-rt-amd64")
    booted(tree, "6.12.9-rt-amd64", parts["/proc/cmdline"].replace("root=UUID=0a0a", "root=UUID=5f1c-77aa"))
    regenerate(tree)
    call("kernel_arguments", **SKEW, default_kernel="*-rt-*")
    result = call("kernel_arguments", **SKEW, default_kernel="*-rt-*")
    assert result["changed"] is False
    assert '"dyndbg=file drivers/net/* +p"' in result["following"]["tokens"]
    assert differences(result) == ([], [], False)
    assert result["foreign_differences"] == {"missing": [], "unexpected": []}


def test_07a_a_drop_in_that_is_overruled(call, tree):
    parts = field("07")
    last = "/etc/default/grub.d/z20-site.cfg"
    fill(tree, {GRUB_DEFAULTS: parts[f"a: {GRUB_DEFAULTS}"], last: parts[f"a: {last}"]})
    before = snapshot(tree)
    for check in (True, False):
        result = call("kernel_arguments", check=check, partition=PARTITION)
        assert result["msg"].startswith(
            f"kernel_arguments: {last} sets GRUB_CMDLINE_LINUX_DEFAULT again after {DROP_IN}, so isolcpus="
        )
        assert "would not reach the boot menu" in result["msg"]
        assert snapshot(tree) == before


def test_07b_a_menu_without_the_variable(call, tree, monkeypatch):
    make = MakeConfig(tree)
    make.changed = lambda text: re.sub(r"(?m)^(\s+linux\s.* ro) .*$", r"\1", text)  # what the changed 10_linux writes
    monkeypatch.setattr(_door, "runner_of", lambda _module: make)
    before = (tree / GRUB_CFG[1:]).read_bytes()
    for _again in range(2):
        result = call("kernel_arguments", partition=PARTITION)
        assert re.search(
            r"the menu that /usr/sbin/grub-mkconfig generated: isolcpus=\S+ did not reach the boot menu; it is kept as .* is unchanged\. "
            r"Does a file of /etc/grub\.d ignore GRUB_CMDLINE_LINUX_DEFAULT",
            result["msg"],
        )
        assert (tree / GRUB_CFG[1:]).read_bytes() == before


@pytest.mark.parametrize("number", range(4))
def test_08_isolcpus_that_only_sh_sees(call, tree, number):
    line = [line for line in field("08")[""].splitlines() if line and not line.startswith("#")][number]
    fill(tree, {"/etc/site/kernel-args": "isolcpus=1-3\n", GRUB_DEFAULTS: f"{line}\n".replace("/etc/site", f"{tree}/etc/site")})
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert f"{GRUB_DEFAULTS} has isolcpus=1-3, the plan needs isolcpus=managed_irq,domain,1-3" in result["msg"]
    assert snapshot(tree) == before


def test_14_grub_beside_what_boots(call, tree):
    parts = field("14")
    fill(tree, {"/proc/cmdline": parts["/proc/cmdline"], "/etc/kernel/cmdline": parts["/etc/kernel/cmdline"]})
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert result["msg"].startswith(
        "kernel_arguments: this machine was booted by an EFI boot loader such as systemd-boot, whose arguments come from "
        "/etc/kernel/cmdline; GRUB's files here decide nothing"
    )
    assert snapshot(tree) == before
    assert not call("kernel_arguments", state="absent").get("failed"), "undo where nothing was written"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({LOADER_INFO: b"\x06\0\0\0" + "systemd-boot 252\0".encode("utf-16-le")}, "booted by systemd-boot 252, whose arguments"),
        ({LOADER_INFO: b"\x06\0\0\0" + "GRUB 2.12\0".encode("utf-16-le")}, ""),
        ({COPIED_MENUS: "AB12-CD34\n"}, "proxmox-boot-tool copies kernels and menus"),
    ],
)
def test_the_boot_loader_is_asked_for(call, tree, files, said):
    fill(tree, files)
    result = call("kernel_arguments", check=True, partition=PARTITION)
    assert said in result.get("msg", "")
    assert bool(result.get("failed")) == bool(said)


@pytest.mark.parametrize("panic", [False, True])
def test_16_two_command_lines_of_one_entry(call, tree, panic):
    parts = field("16")
    booted(tree, "6.8.1-1009-realtime", parts["/proc/cmdline"].strip() + (" panic=-1" if panic else "") + "\n")
    fill(tree, {GRUB_CFG: "set default=0\n" + parts[""]})
    assert differences(call("kernel_arguments", check=True, state="absent")) == ([], [], False)
    result = call("kernel_arguments", check=True, **SKEW)
    assert differences(result) == (["skew_tick=1"], [], True)
    assert result["foreign_differences"] == {"missing": [], "unexpected": []}


@pytest.mark.parametrize("variable", ["GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_CMDLINE_LINUX"])
def test_19_arguments_for_init(call, tree, variable):
    fill(tree, {GRUB_DEFAULTS: field("19")[""].splitlines()[-1].replace("GRUB_CMDLINE_LINUX_DEFAULT", variable) + "\n"})
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert re.search(
        rf"{GRUB_DEFAULTS} has -- in .* the kernel hands everything behind it to init, isolcpus=\S+ too", result["msg"]
    )
    assert snapshot(tree) == before


def test_arguments_for_init_behind_ours_are_well(call, tree):
    fill(tree, {"/etc/default/grub.d/z-init.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT -- x"\n'})
    result = call("kernel_arguments", **SKEW)
    assert result["following"]["tokens"][-3:] == ["skew_tick=1", "--", "x"]
    assert call("kernel_arguments", **SKEW)["changed"] is False


def test_a_line_that_the_kernel_cuts_off_is_refused(call, tree):
    fill(tree, {GRUB_DEFAULTS: f'GRUB_CMDLINE_LINUX="long={"x" * 1900}"\n'})
    regenerate(tree)
    before = snapshot(tree)
    result = call("kernel_arguments", partition=PARTITION)
    assert re.search(r"its command line has 2\d\d\d bytes, and the kernel reads 2047; the rest would be lost", result["msg"])
    assert snapshot(tree) == before


def test_a_default_that_is_overruled(call, tree):
    booted(tree, "6.1.0-51-amd64", "BOOT_IMAGE=/boot/vmlinuz-6.1.0-51-amd64 root=UUID=0 ro\n")
    fill(tree, {"/boot/initrd.img-6.1.0-50-rt-amd64": "", "/etc/default/grub.d/z-site.cfg": "GRUB_DEFAULT=0\n"})
    regenerate(tree)
    before = snapshot(tree)
    result = call("kernel_arguments", **SKEW, default_kernel="*-rt-*")
    assert "z-site.cfg sets GRUB_DEFAULT again after" in result["msg"]
    assert "6.1.0-50-rt-amd64 would not become the default kernel" in result["msg"]
    assert snapshot(tree) == before


def test_a_file_that_sh_cannot_read_is_named(call, tree):
    fill(tree, {GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX="\n'})
    before = snapshot(tree)
    assert f"{GRUB_DEFAULTS} and its drop-ins cannot be read by sh" in call("kernel_arguments", **SKEW)["msg"]
    assert snapshot(tree) == before


def test_foreign_differences_need_no_reboot(call, tree):
    call("kernel_arguments", **SKEW)
    fill(tree, {"/proc/cmdline": "BOOT_IMAGE=/x root=UUID=other ro splash skew_tick=1\n"})
    result = call("kernel_arguments", **SKEW)
    assert differences(result) == ([], [], False)
    assert result["foreign_differences"] == {
        "missing": ["root=UUID=5f1c-77aa", "quiet"],
        "unexpected": ["root=UUID=other", "splash"],
    }


def test_what_an_earlier_run_wrote_needs_a_reboot_to_go(call, tree):
    both = {"from_partition": False, "arguments": ["skew_tick=1", "audit=0"]}
    call("kernel_arguments", **both)
    fill(tree, {"/proc/cmdline": "BOOT_IMAGE=/x root=UUID=5f1c-77aa ro quiet skew_tick=1 audit=0\n"})
    for changed in (True, False, False):
        result = call("kernel_arguments", **SKEW)
        assert (result["changed"], *differences(result)) == (changed, [], ["audit=0"], True)
    fill(tree, {"/proc/cmdline": "BOOT_IMAGE=/x root=UUID=5f1c-77aa ro quiet skew_tick=1\n"})
    result = call("kernel_arguments", **SKEW)
    assert (result["changed"], *differences(result)) == (False, [], [], False)


def test_undo_is_due_until_the_arguments_have_gone(call, tree):
    call("kernel_arguments", partition=PARTITION, arguments=["audit=0"])
    fill(tree, {"/proc/cmdline": "BOOT_IMAGE=/x root=UUID=5f1c-77aa ro quiet isolcpus=managed_irq,domain,1-3 audit=0\n"})
    for changed in (True, False):
        result = call("kernel_arguments", state="absent", arguments=["audit=0"])
        assert (result["changed"], *differences(result)) == (changed, [], ["isolcpus=managed_irq,domain,1-3", "audit=0"], True)
    fill(tree, {"/proc/cmdline": "BOOT_IMAGE=/x root=UUID=5f1c-77aa ro quiet\n"})
    assert differences(call("kernel_arguments", state="absent")) == ([], [], False)
    assert not Path(f"{tree}{DROP_IN}").exists()


def test_22_arm64_gets_no_arguments_of_x86(call, tree, monkeypatch):
    said = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: said.append(text))
    fill(tree, {"/proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\n"})
    booted(tree, "6.12.48+deb13-rt-arm64", "BOOT_IMAGE=/boot/vmlinuz-6.12.48+deb13-rt-arm64 root=UUID=0 ro\n")
    document = to_document(plan(Intent(cpus={"dataplane": "1", "realtime": "2-3"})))
    result = call("kernel_arguments", check=True, partition=document, cstates="boot", default_kernel="*-rt-*")
    keys = {argument["token"].partition("=")[0] for argument in result["arguments"]}
    assert not keys & {"iommu", "intel_iommu", "processor.max_cstate", "intel_idle.max_cstate", "tsc"}
    assert {"isolcpus", "nohz_full", "workqueue.unbound_cpus"} <= keys
    assert any("cstates: boot has no effect" in text for text in said)


def test_arguments_are_those_of_the_kernel_that_will_boot(call, tree):
    booted(tree, "6.12.9-rt-amd64", "BOOT_IMAGE=/boot/vmlinuz-6.1.0-50-amd64 root=UUID=0 ro\n")
    fill(tree, {"/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n"})
    for pattern, known in (("*-rt-*", True), ("*-none-*", False)):
        result = call("kernel_arguments", check=True, partition=PARTITION, default_kernel=pattern)
        assert ("workqueue.unbound_cpus=0" in [argument["token"] for argument in result["arguments"]]) is known


@pytest.mark.parametrize(
    ("files", "kvm"),
    [
        ({}, True),
        ({"modules.dep": "kernel/fs/xfs/xfs.ko:\n"}, False),
        ({"modules.dep": "kernel/arch/x86/kvm/kvm.ko.xz: kernel/virt/lib/irqbypass.ko.xz\n"}, True),
        ({"modules.dep": "", "modules.builtin": "kernel/arch/x86/kvm/kvm.ko\n"}, True),
    ],
)
def test_whether_the_next_kernel_has_kvm(call, tree, files, kvm):
    fill(tree, {f"/lib/modules/6.1.0-50-rt-amd64/{name}": text for name, text in files.items()})
    assert call("kernel_arguments", check=True, **SKEW)["following"]["kvm"] is kvm
