# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that a node keeps of what was sent; tests/playbooks/test_kept.py sends, keeps and starts the whole."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import KEPT, kept_path
from ansible_collections.realtime.kvm.plugins.module_utils._node import keep as keeping
from ansible_collections.realtime.kvm.plugins.module_utils._node.keep import compiled, keep

OURS = "ansible_collections/realtime/kvm/plugins/modules"
#: What stands for ansible.module_utils.basic, and for the module.
SENT = {
    "ansible/__init__.py": "",
    "ansible/module_utils/__init__.py": "",
    "ansible/module_utils/basic.py": "_ANSIBLE_ARGS = _ANSIBLE_PROFILE = None\n",
    **{f"{'/'.join(OURS.split('/')[:count])}/__init__.py": "" for count in range(1, 6)},
    f"{OURS}/rt_plan.py": """
import inspect, json
from ansible.module_utils import basic

def main():
    print(json.dumps([basic._ANSIBLE_ARGS.decode(), basic._ANSIBLE_PROFILE, __file__[-4:], inspect.getsource(basic)]))
""",
    "sitecustomize.py": "what Ansible adds need not be Python \\n",
}


def archive(contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as sent:
        for name, text in contents.items():
            sent.writestr(name, text)
    return zipfile.ZipFile(buffer)


def test_the_program_runs_the_module_compiled_and_has_its_sources(tmp_path):
    program = tmp_path / "look.pyz"
    program.write_bytes(compiled(archive(SENT)))
    done = subprocess.run([sys.executable, "-I", program], input=b"{}", capture_output=True, check=True)
    assert json.loads(done.stdout) == ["{}", "legacy", ".pyc", SENT["ansible/module_utils/basic.py"]]


def test_what_was_sent_and_is_no_python_is_an_error():
    with pytest.raises(SyntaxError):
        compiled(archive({"ansible/bad.py": "def"}))


@pytest.fixture(name="sent")
def _sent(tmp_path, monkeypatch):
    """As if this code had been sent to a node, whose Python is this one."""
    path = tmp_path / "payload.zip"
    path.write_bytes(archive(SENT).fp.getvalue())
    monkeypatch.setattr(keeping, "__loader__", type("Loader", (), {"archive": str(path)})())
    monkeypatch.setattr(keeping, "PYTHON", sys.executable)
    return path


def test_it_is_kept_for_root_alone_and_what_was_kept_before_goes(tmp_path, sent):
    root, folder = str(tmp_path), tmp_path / KEPT[1:]
    keep("old", root)
    (folder / ".realtime-kvm-look-x.pyz").write_text("left by a killed run")
    (folder / "mine.pyz").mkdir()
    (folder / "look-notes.txt").write_text("mine")
    keep("new", root)
    assert sorted(os.listdir(folder)) == [os.path.basename(kept_path("new")), "look-notes.txt", "mine.pyz"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "look-new.pyz").stat().st_mode) == 0o600


@pytest.mark.parametrize("case", ["open", "file", "link", "python", "source", "damaged", "no-python"])
def test_where_it_cannot_be_kept_nothing_is_changed(tmp_path, sent, monkeypatch, case):
    folder = tmp_path / KEPT[1:]
    folder.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if case == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif case == "file":
        folder.write_text("")
    elif case == "link":
        folder.symlink_to(elsewhere)
    elif case == "python":
        monkeypatch.setattr(keeping, "PYTHON", "/bin/sh")
    elif case == "source":
        monkeypatch.setattr(keeping, "__loader__", None)
    elif case == "damaged":
        sent.write_text("no archive")
    else:
        sent.write_bytes(archive({"ansible/bad.py": "def"}).fp.getvalue())
    keep("new", str(tmp_path))
    assert not (folder.is_dir() and os.listdir(folder))
    assert os.listdir(elsewhere) == []
