# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put collections into a folder: wheel_collections.py FOLDER NAMESPACE.NAME...

Tests run modules of openstack.cloud and awx.awx. PyPI has them only within `ansible`, which also brings some hundred collections; they stay out.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / ".ci" / "ansible-wheel.lock"


def main():
    folder, *names = sys.argv[1:]
    wanted = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in names)
    with tempfile.TemporaryDirectory() as there:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-input", "--no-deps"]
        subprocess.run([*command, "--require-hashes", "--dest", there, "-r", LOCK], check=True)
        (wheel,) = Path(there).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder, [name for name in packed.namelist() if name.startswith(wanted)])


if __name__ == "__main__":
    main()
