# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oslo.config itself reads what this collection writes, in the order that this collection expects. Left out where it is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import IniError, Settings, parse_ini
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.order import Reader, place, read_order
from unit.trees import fill

cfg = pytest.importorskip("oslo_config.cfg")

VALUE = ("group", "value")
NOVA, COMPUTE = "/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"
ARGUMENTS = [
    [],
    [f"--config-file={NOVA}"],
    ["--config-file", NOVA, "--config-file", COMPUTE],
    [f"--config-file={NOVA}", "--config-dir=/etc/nova/extra"],
    ["--config-dir", "/etc/nova/extra", f"--config-file={COMPUTE}"],
    ["--config-dir=/etc/nova/extra"],
]
FILES = [
    NOVA,
    COMPUTE,
    "/etc/nova/nova.conf.d/b.conf",
    "/etc/nova/nova.conf.d/a.conf",
    "/etc/nova/nova-compute.conf.d/a.conf",
    "/etc/nova/nova-compute.conf.d/.hidden.conf",
    "/etc/nova/extra/z.conf",
    "/etc/nova/extra/a.conf",
    "/etc/nova/extra/b.txt",
    "/home/.nova/nova.conf",
]


class Machine:
    """Files below a root, read by oslo.config as if it were the machine's."""

    def __init__(self, root, monkeypatch):
        self.root = str(root)
        monkeypatch.setattr(
            cfg,
            "_get_config_dirs",
            lambda _project=None: [f"{root}{folder}" for folder in ("/home/.nova", "/home", "/etc/nova", "/etc")],
        )
        self.reader = Reader("nova", "nova-compute", "/home", self.exists, self.files_of)

    def exists(self, path):
        return Path(self.root + path).exists()

    def files_of(self, path):
        folder = Path(self.root + path)
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def conf(self, arguments):
        conf = cfg.ConfigOpts()
        conf.register_opts([cfg.StrOpt("value"), cfg.MultiStrOpt("many", default=[])], "group")
        conf([word.replace("/etc", f"{self.root}/etc") for word in arguments], project="nova", prog="nova-compute")
        return conf

    def settings(self, arguments):
        order = read_order(self.reader, arguments)
        return Settings([parse_ini(Path(self.root + path).read_text(), path) for path in order])


@pytest.fixture(name="machine")
def _machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("left_out", ["", "/home/.nova/nova.conf", NOVA])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_the_last_file_is_the_one_that_oslo_config_takes(machine, arguments, left_out):
    if any(left_out and left_out in word for word in arguments):
        pytest.skip("a file that arguments name must exist")
    fill(machine.root, {path: f"[group]\nvalue = {path}\nmany = {path}\n" for path in FILES if path != left_out})
    conf, settings = machine.conf(arguments), machine.settings(arguments)
    assert settings.value(VALUE) == conf.group.value
    assert [value for file in settings.files for value in file.values(("group", "many"))] == conf.group.many


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_our_file_is_the_last(machine, arguments):
    fill(machine.root, {path: f"[group]\nvalue = {path}\n" for path in FILES})
    where = place(machine.reader, arguments)
    fill(machine.root, {where.path: "[group]\nvalue = ours\n"})
    assert machine.conf([*arguments, *([where.words] if where.argument else [])]).group.value == "ours"


TEXTS = [
    "[group]\nvalue = a\nvalue = b\n",
    "[GROUP]\nvalue: a = b\n",
    "[Group]\nvalue = 'quoted'\n",
    '[group]\nvalue = "a\n',
    "[group]\nvalue = a\n  b\n\n# c\n",
    "[group]\nvalue = a,\n\tb\n[other]\nvalue = c\n",
    "[group]\n; no\nvalue =\n",
    "[group]\nvalue = a # b\n",
    "value = a\n",
    "[group]\nvalue\n",
    "[group\nvalue = a\n",
    "[group]\n  value = a\n",
    "[group]\n= a\n",
    "[]\nvalue = a\n",
    "[group]\nvalue = a\n\n  b\n",
]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_lines_mean_what_they_mean_to_oslo_config(machine, text):
    fill(machine.root, {NOVA: text})
    try:
        wanted = machine.conf([f"--config-file={NOVA}"]).group.value
    except cfg.ConfigFileParseError:
        with pytest.raises(IniError):
            parse_ini(text, NOVA)
        return
    assert Settings([parse_ini(text, NOVA)]).value(VALUE) == wanted
