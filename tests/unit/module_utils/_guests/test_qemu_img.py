# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-img's commands, always with a format, and its answers, also odd ones. The real one: tests/conformance/test_disk_tools.py."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.qemu_img import ImageError, ImageInfo, QemuImg
from ansible_collections.realtime.kvm.plugins.module_utils._host.runner import Transaction
from unit.trees import fill, writable


class Tool(QemuImg):
    def __init__(self, answer=(0, "", "")):
        super().__init__(writable("/"), self._run)
        self.answer, self.ran = answer, []

    def _run(self, command):
        self.ran.append(command)
        return self.answer


def test_what_makes_an_image_is_never_cut_short_and_names_every_format():
    tool = Tool()
    tool.empty("/a", "qcow2", 5)
    tool.overlay("/a", "/b", "raw", 5)
    tool.copy("/a", "raw", "/b", "qcow2", direct=True)
    tool.copy("/a", "raw", "/b", "qcow2", direct=False)
    tool.resize("/a", "raw", 5)
    assert [" ".join(command[1:]) for command in tool.ran] == [
        "create -q -f qcow2 /a 5",
        "create -q -f qcow2 -b /b -F raw /a 5",
        "convert -q -T none -t none -f qcow2 -O raw /b /a",
        "convert -q -f qcow2 -O raw /b /a",
        "resize -q -f raw /a 5",
    ]
    assert {type(command) for command in tool.ran} == {Transaction}
    assert {command[0] for command in tool.ran} == {"/usr/bin/qemu-img"}


def test_a_running_guests_image_can_be_looked_at():
    tool = Tool((0, json.dumps({"virtual-size": 7, "full-backing-filename": "/b", "encrypted": True}), ""))
    assert tool.info("/a", "qcow2") == ImageInfo(7, backing="/b", encrypted=True)
    assert " ".join(tool.ran[0][1:]) == "info --output=json --force-share -f qcow2 /a"
    tool = Tool((0, json.dumps({"virtual-size": 7, "format-specific": {"data": {"data-file": "d"}}}), ""))
    assert tool.info("/a", "qcow2") == ImageInfo(7, data_file="d")


def test_bytes_of_a_copy():
    tool = Tool((0, '{"required": 9}', ""))
    assert tool.copy_bytes("/a", "raw") == 9
    assert " ".join(tool.ran[0][1:]) == "measure --output=json -O qcow2 --force-share -f raw /a"


@pytest.mark.parametrize(
    "out",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"virtual-size": null, "required": null}',
        '{"virtual-size": 1, "format-specific": 7, "required": "x"}',
    ],
)
def test_odd_answers(out):
    with pytest.raises(ImageError):
        Tool((0, out, "")).info("/a", "raw")
    with pytest.raises(ImageError):
        Tool((0, out, "")).copy_bytes("/a", "raw")


def test_what_it_says_is_passed_on():
    with pytest.raises(ImageError, match=r"^qemu-img: Could not open 'a'$"):
        Tool((1, "", "qemu-img: Could not open 'a'\n")).info("/a", "raw")
    with pytest.raises(ImageError, match=r"^qemu-img info failed with exit code 1$"):
        Tool((1, "", "")).info("/a", "raw")
    with pytest.raises(HostError, match=r"^No space left$"):
        Tool((1, "", "No space left")).empty("/a", "raw", 1)


def test_whether_it_is_there(tmp_path):
    assert not QemuImg(writable(tmp_path), None).installed
    assert QemuImg(writable(fill(tmp_path, {"/usr/bin/qemu-img": ""})), None).installed
