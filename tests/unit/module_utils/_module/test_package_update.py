# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""package_update as Ansible calls it; test_updates.py does the rest."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.modules import package_update
from unit.trees import fill


def test_an_update_is_class_reboot_at_the_door(tmp_path, monkeypatch, capsys):
    root = fill(tmp_path, {"/usr/bin/apt-mark": "", "/var/lib/": None})
    commands = []

    def runner(command):
        commands.append(command)
        return 0, "Inst libc6 [1] (2 Debian:13 [amd64])\n" if "--simulate" in command else "", ""

    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    monkeypatch.setattr(_door, "runner_of", lambda _module: runner)
    with patch_module_args({"max_disruption": "guest", "refresh": False}), pytest.raises(SystemExit):
        package_update.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    assert "the plan needs more: package:libc6 (reboot)" in result["msg"]
    assert [command[0] for command in commands] == ["apt-get", "dpkg-query"]
