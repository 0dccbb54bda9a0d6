# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo` finds on this machine, and what it will take from it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "tests" / "tools" / "packages.sh"
PROBE = ROOT / "molecule" / "lab" / "files" / "kvm_probe.py"

#: Megabytes to download for this machine's packages (Debian 12 or 13 with nothing but Python), Ansible, and the lab's images;
#: and megabytes on the disk. Measured on Debian 12 and rounded up.
PACKAGES_MB, ANSIBLE_MB, IMAGES_MB = 60, 10, 480
PACKAGES_DISK, ANSIBLE_DISK, IMAGES_DISK, NODE_DISK = 300, 100, 1000, 3000
#: What the build of an image needs for a while.
BUILD_DISK = 2500


@dataclass(frozen=True)
class Needs:
    """What is not there yet."""

    packages: tuple[str, ...]
    ansible: bool
    images: bool
    nodes: bool

    @property
    def download_mb(self) -> int:
        """Megabytes to download."""
        return (PACKAGES_MB if self.packages else 0) + (ANSIBLE_MB if self.ansible else 0) + (IMAGES_MB if self.images else 0)

    @property
    def disk_mb(self) -> int:
        """Megabytes that stay on the disk."""
        return (
            (PACKAGES_DISK if self.packages else 0)
            + (ANSIBLE_DISK if self.ansible else 0)
            + (IMAGES_DISK if self.images else 0)
            + (NODE_DISK if self.nodes else 0)
        )


def lab_folder() -> Path:
    """Return the folder of the lab."""
    return Path(os.environ.get("LAB_DIR") or ROOT / ".lab").resolve()


def missing_packages(*purposes: str) -> tuple[str, ...]:
    """Return the packages that this machine lacks."""
    done = subprocess.run([str(PACKAGES), "missing", *purposes], capture_output=True, text=True, check=True)
    return tuple(done.stdout.split())


def lacks_ansible() -> bool:
    """Whether .venv will be made; an Ansible from elsewhere does not stop that, so make itself is asked."""
    return (
        subprocess.run(["make", "--question", "--silent", "ansible"], cwd=ROOT, capture_output=True, check=False).returncode != 0
    )


def find_needs(nodes: list[str]) -> Needs:
    """Return what `make demo` has to bring."""
    lab = lab_folder()
    return Needs(
        packages=missing_packages("python", "lab"),
        ansible=lacks_ansible(),
        images=not list((lab / "images").glob("[a-fh-z]*.qcow2")) or not list((lab / "images").glob("guest-*.qcow2")),
        nodes=not all((lab / node / "disk.qcow2").exists() for node in nodes),
    )


@dataclass
class Node:
    """A node of the lab: its memory in MiB, and the port of this machine that leads to it."""

    memory: int = 0
    port: int = 0


def described_nodes(text: str) -> dict[str, Node]:
    """Return the nodes in the text of the lab's inventory."""
    found: dict[str, Node] = {}
    node = Node()
    first = int(os.environ.get("LAB_PORT") or 2200)
    for line in text.splitlines():
        if start := re.match(r" {4}(\w+):$", line):
            node = found[start[1]] = Node()
        elif memory := re.match(r" +lab_memory_mib: (\d+)$", line):
            node.memory = int(memory[1])
        elif port := re.match(r' +ansible_port: "\{\{ lab_port \+ (\d+) \}\}"$', line):
            node.port = first + int(port[1])
    return found


def is_taken(port: int) -> bool:
    """Whether a program listens at a port of this machine."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_memory_mib() -> int:
    """Return the memory that programs can still get."""
    text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^MemAvailable: +(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def free_disk_mb(folder: Path) -> int:
    """Return the free space where a folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free // 10**6


def reason_against() -> str:
    """Return why the lab cannot run here at all; empty if it can."""
    if platform.machine() != "x86_64":
        return f"The demo's node is an x86-64 machine with Debian's packages for it; this machine is {platform.machine()}."
    if set(str(lab_folder())) & set(" \t'\"\\$"):
        return f"The lab's folder is {lab_folder()}: move the clone, or set LAB_DIR, to a path without spaces and quotes."
    return ""


def is_recent(text: str) -> bool:
    """Whether QEMU is new enough for emulation (molecule/lab/vars/host.yml: lab_tcg_qemu)."""
    version = re.search(r"version (\d+)", text)
    return bool(version) and int(version[1]) >= 10


def qemu_is_recent() -> bool:
    """Whether this machine's QEMU can emulate a node; the lab unpacks a newer one otherwise."""
    program = shutil.which("qemu-system-x86_64")
    return bool(program) and is_recent(subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout)


def kvm_opens() -> str:
    """Return why /dev/kvm cannot be opened; empty if it can."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    return ""


def try_kvm() -> str:
    """Return why KVM does not work, by the lab's own test; empty if it does."""
    command = ["python3", str(PROBE), "qemu-system-x86_64"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else (done.stdout or done.stderr).strip().splitlines()[-1]


def kvm_advice(reason: str) -> str:
    """Return what a person can do about KVM; empty without advice."""
    if "Permission denied" in reason:
        return "Join the group that may use it: sudo usermod -aG kvm $USER, then log in again"
    if "No such file" in reason:
        return (
            "On a server or laptop, switch virtualization (VT-x, SVM) on in the firmware; in a virtual machine, allow nested "
            "virtualization on its host"
        )
    return ""
