# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scratch root for the real apt and dpkg, with a package source of its own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import holds
from unit.trees import fill, writable

NEEDS_APT = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "apt-mark", "dpkg-deb")), reason="apt and dpkg are not installed"
)
FOLDERS = (
    "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/apt.conf.d",
    "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d", "var/log/apt",
)  # fmt: skip
CONTROL = "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n{more}"
#: The log and the scripts stay off this machine.
DPKG = ("--root={root}", "--log={root}/log", "--force-script-chrootless", "--force-not-root")
CONFIG = """
Dir "{root}"; Dir::State::status "{root}/var/lib/dpkg/status"; Dir::Log "{root}/var/log/apt"; Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Sandbox::User "root"; DPkg::Options {{ {options} }}; DPkg::Chroot-Directory "/";
"""


class AptRoot:
    """A scratch root with packages, and a source. ``installed`` and ``offered``: name and version to more lines of control."""

    def __init__(self, folder, installed, offered):
        self.root, self.source = folder / "root", folder / "source"
        self.source.mkdir()
        fill(
            self.root,
            {
                **{f"/{name}/": None for name in FOLDERS},
                "/usr/bin/apt-mark": "",
                "/usr/bin/apt-get": "",
                "/etc/apt/apt.conf.d/": None,
            },
        )
        fill(self.root, {"/var/lib/dpkg/status": "", "/var/lib/dpkg/available": ""})
        self.dpkg = [option.format(root=self.root) for option in DPKG]
        config = folder / "apt.conf"
        config.write_text(CONFIG.format(root=self.root, options=" ".join(f'"{option}";' for option in self.dpkg)))
        self.environment = {**os.environ, "APT_CONFIG": str(config)}
        for (name, version), more in installed.items():
            self._do("dpkg", *self.dpkg, "--install", str(self._package(name, version, more)))
        index = ""
        for (name, version), more in offered.items():
            package = self._package(name, version, more)
            told = self._do("sha256sum", str(package)).split()[0]
            index += CONTROL.format(name=name, version=version, more=more)
            index += f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {told}\n\n"
        (self.source / "Packages").write_text(index)
        (self.root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{self.source} ./\n")

    def _package(self, name, version, more=""):
        folder = self.source / f"{name}-{version}"
        fill(folder, {"/DEBIAN/control": CONTROL.format(name=name, version=version, more=more), f"/usr/share/{name}": version})
        path = self.source / f"{name}-{version}.deb"
        self._do("dpkg-deb", "--build", str(folder), str(path))
        return path

    def _do(self, *command):
        code, out, err = self.runner(command)
        assert code == 0, err
        return out

    def runner(self, command):
        command = list(command)
        if command[0] == "dpkg-query":
            command.insert(1, f"--admindir={self.root}/var/lib/dpkg")
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def make(self, owner, plan):
        host = writable(self.root, owner)
        with host.locked():
            plan(host)
            host.commit()
        return host

    @property
    def selections(self):
        return holds.selections(self.runner)
