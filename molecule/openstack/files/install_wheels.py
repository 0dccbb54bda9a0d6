# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install a lock into a venv: install_wheels.py VENV LOCK FOLDER.

pip fetches one package after another, and waits for the network most of the time; so several fetch a part of the lock each, with its
digests, and one installs what they brought. The lock is complete, so nothing is resolved.
"""

import subprocess
import sys
from pathlib import Path

AT_ONCE = 4


def entries(lock):
    """Return the requirements of a lock, each with the lines of its digests."""
    found = []
    for line in lock.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            found[-1] += f"{line}\n"
        else:
            found.append(f"{line}\n")
    return found


def main():
    venv, lock, folder = (Path(argument) for argument in sys.argv[1:])
    pip = [venv / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    found = entries(lock.read_text())
    # what the source packages among them are built with
    first = [entry for entry in found if entry.startswith(("setuptools==", "pbr=="))]
    (folder / "build.txt").write_text("".join(first))
    subprocess.run([*pip, "install", "--no-deps", "--require-hashes", "-r", folder / "build.txt"], check=True)
    running = []
    for number in range(AT_ONCE):
        part = folder / f"part{number}.txt"
        part.write_text("".join(found[number::AT_ONCE]))
        command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--require-hashes", "-r", part, "-w", wheels]
        running.append(subprocess.Popen(command))
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit("pip could not fetch all packages, see above")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--no-compile", *sorted(wheels.glob("*.whl"))], check=True)
    # else ten processes compile the same files when they start, and wait for each other's CPUs
    subprocess.run(
        [venv / "bin/python", "-m", "compileall", "-q", "-j", "0", venv / "lib"], check=False, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
