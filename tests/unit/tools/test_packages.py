# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one list of packages of this machine: what is missing is named or installed, by sudo where the user is not root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "tests" / "tools" / "packages.sh"
#: What the script itself runs.
TOOLS = ("awk", "bash", "cat", "env", "grep", "sed", "sort", "true")
OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_VENV = "#!/bin/sh\ncase $2 in *venv*) exit 1;; esac\n"
GOOD = "#!/bin/sh\n"

#: Writes down how it is called; `install` then makes the commands of the packages, unless they are in `broken`.
APT = """#!/bin/bash
echo "$*" >>"{folder}/calls"
case "$*" in
    *--print-uris*) echo "'http://x/a.deb' a.deb 2500000 SHA256:0" ;;
    *install*)
        [[ ! -e {folder}/fails ]] || {{ echo 'E: no space left' >&2; exit 100; }}
        for name; do
            case $name in
                qemu-utils) name=qemu-img ;; python3*-venv) name=python3 ;; prometheus) name=promtool ;; prometheus-alertmanager) name=amtool ;;
                hwloc-nox) name=lstopo-no-graphics ;; grub-common) name=grub-editenv ;; iproute2) name=ip ;; e2fsprogs) name=mkfs.ext4 ;;
            esac
            [[ $name == -* || $name == *=* || $name == install || -e {folder}/broken ]] || {{ printf '#!/bin/sh\\n' >"{bin}/$name"; }}
        done ;;
esac
"""


class Machine:
    """A machine whose only programs are those in one folder (and below /usr/sbin)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        folder.chmod(0o777)
        self.bin.chmod(0o777)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.program("apt-get", APT.format(folder=folder, bin=self.bin))
        self.program("python3", GOOD)
        shutil.copy(SCRIPT, folder / "packages.sh")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o777)  # the stand-in for sudo makes nobody root

    def run(self, *arguments: str, user: bool = False, **environment: str) -> tuple[int, str, str]:
        given = {"PATH": str(self.bin), **environment}
        other = {"user": 65534, "group": 65534, "extra_groups": []} if user and os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self.bin / "bash"), str(self.folder / "packages.sh"), *arguments],
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **other,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(name="machine")
def _machine(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # another user walks through here
        if folder.owner() == Path(tmp_path).owner() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    return Machine(tmp_path)


def wanted(machine):
    """What the lab needs there, whatever this machine has below /usr/sbin."""
    return machine.run("missing", "lab")[1].split()


def test_what_is_missing_is_printed_once_and_sorted(machine):
    code, out, err = machine.run("missing", "lab", "test")
    assert (code, err) == (0, "")
    names = out.split()
    assert {"git", "make", "mmdebstrap", "openssh-client", "qemu-system-x86", "qemu-utils"} <= set(names)
    assert names == sorted(set(names))
    machine.program("git", GOOD)
    assert "git" not in machine.run("missing", "test")[1].split()


def test_a_machine_that_has_everything_is_left_alone(machine):
    assert machine.run("install", "python") == (0, "", "")
    assert machine.run("require", "python") == (0, "", "")
    assert machine.calls == []


@pytest.mark.parametrize("action", ["require", "install"])
def test_a_refusal_names_the_packages_and_the_command(machine, action):
    code, _out, err = machine.run(action, "lab", DEMO_INSTALL="no")
    assert code == 1
    assert re.search(rf"^    (sudo )?apt-get install --no-install-recommends {' '.join(wanted(machine))}$", err, re.MULTILINE)
    assert machine.calls == []


def test_only_yes_and_no_are_answers(machine):
    code, _out, err = machine.run("install", "lab", DEMO_INSTALL="nope")
    assert (code, err, machine.calls) == (1, "DEMO_INSTALL is 'nope'; it may be yes or no.\n", [])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes root or not")
def test_root_installs_what_is_missing_and_nothing_else(machine):
    machine.program("python3", WITHOUT_VENV)
    code, out, err = machine.run("install", "python")
    assert (code, err) == (0, "")
    assert "python3-venv" in out
    assert "apt-get installs 1 packages and downloads 3 MB" in out
    update, _sizes, install = machine.calls
    assert update.endswith(" update")
    assert install.endswith(" -y --no-install-recommends install python3-venv")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_user_installs_by_sudo_which_must_not_ask_where_nobody_answers(machine):
    machine.program("python3", WITHOUT_VENV)
    machine.program("sudo", f'#!/bin/bash\necho "sudo $1" >>{machine.folder}/sudo\nshift\nexec "$@"\n')
    code, _out, err = machine.run("install", "python", user=True)
    assert (code, err) == (0, "")
    assert set((machine.folder / "sudo").read_text().splitlines()) == {"sudo -n"}
    assert len(machine.calls) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize(("sudo", "words"), [(None, "and sudo, to install them"), (OLD, "sudo was refused")])
def test_a_user_who_may_not_install_is_told_what_to_ask_for(machine, sudo, words):
    if sudo:
        machine.program("sudo", sudo)
    code, _out, err = machine.run("install", "lab", user=True)
    assert code == 1
    assert words in err
    assert "sudo apt-get install --no-install-recommends " in err
    assert "uidmap" in err.splitlines()[-1]  # what only other users than root need
    assert machine.calls == []


SYSTEMCTL = '#!/bin/bash\necho "systemctl $*" >>{folder}/calls\n'
SERVICES = "prometheus.service prometheus-alertmanager.service"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes root")
@pytest.mark.parametrize("fails", [False, True])
def test_services_that_packages_bring_never_start_and_stay_off(machine, fails):
    """Also after an installation that fails, nothing is left masked."""
    machine.program("systemctl", SYSTEMCTL.format(folder=machine.folder))
    if fails:
        (machine.folder / "fails").touch()
    code, _out, err = machine.run("install", "test")
    assert (code != 0) is fails, err
    mask, install, unmask, disable = machine.calls[2:]
    assert mask == f"systemctl -q mask {SERVICES}"
    assert " install " in install
    assert (unmask, disable) == (f"systemctl -q unmask {SERVICES}", f"systemctl -q disable {SERVICES}")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes root")
def test_a_service_that_is_there_already_is_left_alone(machine):
    machine.program("systemctl", SYSTEMCTL.format(folder=machine.folder))
    machine.program("promtool", GOOD)
    machine.program("amtool", GOOD)
    assert machine.run("install", "test")[0] == 0
    assert [call for call in machine.calls if call.startswith("systemctl")] == []


def test_whoever_installs_by_hand_is_told_of_the_services(machine):
    code, _out, err = machine.run("require", "test")
    assert code == 1
    assert f"systemctl disable --now {SERVICES}" in err
    assert "systemctl" not in machine.run("require", "lab")[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes root")
@pytest.mark.parametrize(("sign", "words"), [("fails", "apt-get failed, see above"), ("broken", "Still missing after")])
def test_an_installation_that_brings_nothing_fails(machine, sign, words):
    (machine.folder / sign).touch()
    machine.program("python3", WITHOUT_VENV)
    code, _out, err = machine.run("install", "python")
    assert code == 1
    assert words in err
    assert "python3-venv" in err


def test_another_distribution_is_told_the_names(machine):
    (machine.bin / "apt-get").unlink()
    code, _out, err = machine.run("install", "lab")
    assert code == 1
    assert "qemu-utils" in err
    assert "no apt-get" in err


@pytest.mark.parametrize(
    ("programs", "package", "python"),
    [
        ({"python3": GOOD}, "", "python3"),
        ({"python3": WITHOUT_VENV}, "python3-venv", ""),
        ({"python3": OLD, "python3.12": GOOD}, "", "python3.12"),
        ({"python3": OLD, "python3.12": WITHOUT_VENV}, "python3.12-venv", ""),
        ({"python3": WITHOUT_VENV, "python3.11": GOOD}, "", "python3.11"),
        ({"python3": OLD, "apt-cache": "#!/bin/sh\n[ $2 != python3.12-venv ] || echo Package: $2\n"}, "python3.12-venv", ""),
        ({"python3": OLD}, "python3.11-venv", ""),
        ({}, "python3-venv", ""),
    ],
)
def test_the_python_that_makes_the_environment(machine, programs, package, python):
    (machine.bin / "python3").unlink()
    for name, text in programs.items():
        machine.program(name, text)
    assert machine.run("missing", "python") == (0, f"{package}\n" if package else "", "")
    assert machine.run("find-python")[:2] == (0, f"{python}\n" if python else "")


def test_a_python_that_was_named_comes_first(machine):
    machine.program("mine", GOOD)
    assert machine.run("find-python", PYTHON="mine")[1] == "mine\n"
    assert machine.run("find-python", PYTHON="absent")[1] == "python3\n"


@pytest.mark.parametrize("arguments", [(), ("remove", "lab"), ("missing", "labs")])
def test_other_words_are_refused(machine, arguments):
    code, _out, _err = machine.run(*arguments)
    assert code == 2
    assert machine.calls == []


def test_nothing_else_has_a_list_of_its_own():
    """CI, make and the lab ask the script."""
    for path in (".ci/run", "Makefile", "molecule/lab/tasks/tools.yml", "demo/machine.py"):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert "packages.sh" in text
        assert "apt-get install" not in text


def test_the_image_of_the_lab_carries_what_the_roles_install():
    """A node then downloads nothing."""
    given = {"ansible_facts": {"architecture": "x86_64"}}
    names = {
        jinja2.Template(name).render(given)
        for role, key in (("rt_kernel", "rt_kernel"), ("kvm_host", "kvm_host"), ("ovs_dpdk", "ovs_dpdk_base"))
        for name in yaml.safe_load((ROOT / f"roles/{role}/vars/Debian.yml").read_text())[f"__{key}_packages"]
    }
    assert set(yaml.safe_load((ROOT / "molecule/lab/vars/image.yml").read_text())["lab_image_preloaded"]) == names
