# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boot loader a tree has, and which kernels."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import (
    GRUB_DEFAULTS,
    Grub,
    Grubby,
    find_boot_loader,
    installed_kernels,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.bls import STOCK, FakeGrubby, entries_in
from unit.menus import MakeConfig
from unit.trees import fill, writable


def test_which_boot_loader(tmp_path):
    with pytest.raises(HostError, match=r"no boot loader configuration was found: neither grubby .* nor grub-mkconfig"):
        find_boot_loader(writable(tmp_path), MakeConfig(tmp_path))
    fill(tmp_path, {"/usr/sbin/grub-mkconfig": ""})
    with pytest.raises(HostError, match="no boot loader"):
        find_boot_loader(writable(tmp_path), MakeConfig(tmp_path))
    fill(tmp_path, {GRUB_DEFAULTS: ""})
    assert isinstance(find_boot_loader(writable(tmp_path), MakeConfig(tmp_path)), Grub)
    entries_in(tmp_path, STOCK, "")
    assert isinstance(find_boot_loader(writable(tmp_path), FakeGrubby(tmp_path)), Grubby)


def test_installed_kernels(tmp_path):
    names = ("vmlinuz-6.1", "initrd.img-6.1", "vmlinuz-0-rescue-abc", "vmlinuz-5.10", "initramfs-5.10.img", "vmlinuz-6.5")
    fill(tmp_path, {f"/boot/{name}": "" for name in names})
    assert installed_kernels(writable(tmp_path)) == ["5.10", "6.1"]  # 6.5 has no initial RAM disk yet
