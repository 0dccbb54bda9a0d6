# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured machines: where the archives are, and a directory with the files of one.

tests/fixtures/machines.txt names all of them; a test about one that is absent is skipped (see tests/captures.py).
Only the files that describe processors, nodes and network ports are taken out of an archive, once, into ``.cache/snapshots``.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from captures import ABSENT, OWN, REPOSITORY, absent, folder

CACHE = REPOSITORY / ".cache" / "snapshots"
NAMES = tuple((OWN / "machines.txt").read_text().split())

#: Archives with more than one machine.
SEVERAL = {
    "topology-aware-desktop+server+4socket.sysfs": ("desktop", "server", "4-socket-server-nosnc"),
}
WANTED = re.compile(
    r"(^|/)("
    r"proc/(cmdline|cpuinfo|interrupts|mounts|sysinfo|irq/.*|self/.*)"
    r"|sys/fs/cgroup/.*cpuset.*"
    r"|sys/devices/system/cpu/(online|present|possible|isolated|nohz_full|kernel_max)"
    r"|sys/devices/system/cpu/cpu\d+(/(online|cpu_capacity))?"
    r"|sys/devices/system/cpu/cpu\d+/topology/(physical_package_id|(core|die|cluster|book|drawer)_id)"
    r"|sys/devices/system/cpu/cpu\d+/topology/((thread|core|book|drawer)_siblings|(core|package|die)_cpus)"
    r"|sys/devices/system/cpu/cpu\d+/topology/(thread_siblings|core_cpus)_list"
    r"|sys/devices/system/cpu/cpu\d+/cache/index3/shared_cpu_(list|map)"
    r"|sys/devices/system/node/(online|possible|node\d+(/(cpulist|cpumap|meminfo|distance))?)"
    r"|sys/devices/cpu_(atom|core)/cpus"
    r"|sys/(class/net|bus/pci/devices)/.*"
    r"|sys/devices/pci.*/(class|numa_node|net/.*)"
    r")$"
)


@dataclass(frozen=True)
class Snapshot:
    """One captured machine."""

    source: str
    name: str
    archive: Path
    part: str = ""

    def __str__(self):
        return f"{self.source}/{self.name}"

    def root(self):
        """The directory that stands for the machine's ``/``."""
        found = _roots(self.archive)
        if not self.part:
            assert len(found) == 1, found
            return found[0]
        return next(root for root in found if root.name == self.part)


def _take(stream, member, scratch):
    """Much faster than tarfile's own, for ten thousands of small files without owner, mode or time."""
    assert not {"..", "/"} & set(Path(member.name).parts), member.name
    target = scratch / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)  # a CPU that is off may have nothing in it
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.isreg():
        target.write_bytes(stream.extractfile(member).read())
    elif member.issym() and not target.is_symlink():
        target.symlink_to(member.linkname)


@functools.cache
def _roots(archive):
    facts = archive.stat()
    stamp = hashlib.sha256(f"{archive} {facts.st_size} {facts.st_mtime_ns} {WANTED.pattern}".encode()).hexdigest()[:12]
    target = CACHE / f"{_stem(archive)}-{stamp}"
    if not target.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=CACHE))
        with tarfile.open(archive) as stream:
            for member in stream:
                if WANTED.search(member.name):
                    _take(stream, member, scratch)
        try:
            scratch.rename(target)
        except OSError:  # another process was faster
            assert target.is_dir()
            shutil.rmtree(scratch)
    return sorted({path.parents[3] for path in target.glob("**/sys/devices/system/cpu")})


def _stem(path):
    return re.sub(r"\.(tar\..*|tgz)$", "", path.name)


def _find():
    patterns = {
        "hwloc": ("hwloc", "**/*.tar.*"),
        "ghw": ("ghw", "*.tar.*"),
        "nri": ("nri-plugins-sysfs", "*.tar.*"),
        "lscpu": ("util-linux-lscpu", "dumps/*.tar.*"),
    }
    for source, (place, pattern) in patterns.items():
        for archive in sorted(folder(place).glob(pattern)):
            for part in SEVERAL.get(_stem(archive), ("",)):
                yield Snapshot(source, part or _stem(archive), archive, part)
    for archive in sorted(folder("openshift-ppc").glob("*must-gather/**/sysinfo.tgz")):
        older = "older-" if "older" in archive.relative_to(folder("openshift-ppc")).parts[0] else ""
        yield Snapshot("openshift", older + archive.parent.name, archive)


SNAPSHOTS = {str(snapshot): snapshot for snapshot in _find()}


def each_snapshot(*sources):
    """Parametrize a test by the snapshots of some sources (all, if none is named)."""
    chosen = [name for name in NAMES if not sources or name.split("/")[0] in sources]
    assert chosen
    return pytest.mark.parametrize(
        "snapshot",
        [pytest.param(SNAPSHOTS.get(name), id=name, marks=() if name in SNAPSHOTS else (absent,)) for name in chosen],
    )


def snapshot_of(name):
    """The snapshot of that name; the test is skipped if it is absent."""
    assert name in NAMES
    if name not in SNAPSHOTS:
        pytest.skip(ABSENT)
    return SNAPSHOTS[name]
