# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's resctrl below a root: what it takes and refuses, in its words (Documentation/filesystems/resctrl.rst, fs/resctrl).

Files are real, so that code reads them as it would; ``mkdir``, ``rmdir`` and writes below ``/sys/fs/resctrl`` are the kernel's.
"""

from __future__ import annotations

import builtins
import errno
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cache import mounting
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_mask

RESCTRL = "/sys/fs/resctrl"
FLAGS = "fpu tsc cat_l3 cdp_l3 cat_l2 cdp_l2 mba"


@dataclass
class Cat:
    """A cache that can be divided."""

    full: int = 0x7FF
    least: int = 1
    shared: int = 0x600
    closids: int = 16
    sparse: bool = False
    domains: tuple[int, ...] = (0,)


@dataclass
class Bandwidth:
    least: int = 10
    step: int = 10
    most: int = 100
    closids: int = 8
    domains: tuple[int, ...] = (0,)


@dataclass
class Group:
    cpus: frozenset[int]
    lines: dict[str, dict[int, int]]
    mode: str = "shareable"


class Resctrl:
    """The kernel. ``caches``: by level; ``cdp``: the levels that can tell code from data."""

    def __init__(self, root, monkeypatch, *, caches=None, bandwidth=None, cdp=("L3", "L2"), online="0-3"):
        self.root, self.base = Path(root), Path(f"{root}{RESCTRL}")
        self.caches = {"L3": Cat()} if caches is None else caches
        self.bandwidth, self.cdp, self.online = bandwidth, cdp, parse_cpulist(online)
        self.apart: frozenset[str] = frozenset()
        self.groups: dict[str, Group] = {}
        self.status, self.busy = "ok", False
        self._texts: dict[str, str] = {}  # as they are in the files
        self.commands: list[str] = []
        self._real = {"open": builtins.open, "mkdir": os.mkdir, "rmdir": os.rmdir}
        self.base.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(builtins, "open", self._open)
        monkeypatch.setattr(os, "mkdir", self._mkdir)
        monkeypatch.setattr(os, "rmdir", self._rmdir)
        monkeypatch.setattr(mounting, "mount", lambda _root, levels: self.mount(levels))
        monkeypatch.setattr(mounting, "unmount", lambda _root: self.unmount())

    # -- mounting ----------------------------------------------------------------------------------

    def mount(self, levels=frozenset()):
        self.commands.append(f"mount {','.join(sorted(levels))}".strip())
        if self.groups:
            raise HostError("mount failed with exit code 32: already mounted or mount point busy")
        if set(levels) - set(self.cdp):
            raise HostError("mount failed with exit code 32: wrong fs type, bad option, bad superblock on resctrl")
        self.apart = frozenset(levels)
        self.groups = {"": Group(self.online, self._fresh())}
        self._show()

    def unmount(self):
        self.commands.append("umount")
        if self.busy:
            raise HostError("umount failed with exit code 32: target is busy")
        self.groups, self.status, self._texts = {}, "ok", {}
        for path in self.base.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def resources(self):
        """What lines of schemata there are."""
        found = {}
        for level, cache in self.caches.items():
            names = (f"{level}DATA", f"{level}CODE") if level in self.apart else (level,)
            found.update(dict.fromkeys(names, cache))
        return {**found, **({"MB": self.bandwidth} if self.bandwidth else {})}

    @property
    def closids(self):
        counts = [cache.closids // (2 if level in self.apart else 1) for level, cache in self.caches.items()]
        return min([*counts, *([self.bandwidth.closids] if self.bandwidth else [])])

    def _fresh(self):
        lines = {}
        for name, resource in self.resources.items():
            lines[name] = {
                domain: resource.most if name == "MB" else resource.full & ~self._taken(name, domain)
                for domain in resource.domains
            }
        return lines

    def _taken(self, name, domain, besides=None):
        masks = [
            group.lines[name][domain] for group in self.groups.values() if group.mode == "exclusive" and group is not besides
        ]
        return sum(set(masks))

    # -- what is shown -----------------------------------------------------------------------------

    def _write(self, path, text):
        if self._texts.get(path) == text:
            return
        full, self._texts[path] = self.base / path, text
        with self._real["open"](full, "w") as stream:
            stream.write(f"{text}\n")

    def _make(self, folder):
        if not folder.is_dir():
            self._real["mkdir"](folder)

    def _show(self):
        self._make(self.base / "info")
        for name, resource in self.resources.items():
            self._make(self.base / "info" / name)
            shared = name in ("L3CODE", "L3DATA", "L2CODE", "L2DATA")
            self._write(f"info/{name}/num_closids", str(resource.closids // (2 if shared else 1)))
            if name == "MB":
                self._write("info/MB/min_bandwidth", str(resource.least))
                self._write("info/MB/bandwidth_gran", str(resource.step))
                continue
            self._write(f"info/{name}/cbm_mask", f"{resource.full:x}")
            self._write(f"info/{name}/min_cbm_bits", str(resource.least))
            self._write(f"info/{name}/shareable_bits", f"{resource.shared:x}")
            self._write(f"info/{name}/sparse_masks", str(int(resource.sparse)))
            self._write(
                f"info/{name}/bit_usage", ";".join(f"{domain}={self._usage(name, domain)}" for domain in resource.domains)
            )
        self._make(self.base / "info" / "L3_MON")
        self._write("info/L3_MON/num_rmids", "176")
        self._write("info/last_cmd_status", self.status)
        for name, group in self.groups.items():
            self._make(self.base / name)
            width = max(map(len, self.resources))
            lines = [f"{resource:>{width}}:{self._values(resource, values)}" for resource, values in group.lines.items()]
            self._write(f"{name}/schemata".lstrip("/"), "\n".join(lines))
            self._write(f"{name}/cpus_list".lstrip("/"), format_cpulist(group.cpus))
            self._write(f"{name}/cpus".lstrip("/"), format_mask(group.cpus))
            self._write(f"{name}/mode".lstrip("/"), group.mode)
            self._write(f"{name}/tasks".lstrip("/"), "")

    def _values(self, name, values):
        width = 0 if name == "MB" else len(f"{self.resources[name].full:x}")
        return ";".join(
            f"{domain}={value:>4}" if name == "MB" else f"{domain}={value:0{width}x}" for domain, value in values.items()
        )

    def _usage(self, name, domain):
        resource, letters = self.resources[name], ""
        for bit in reversed(range(resource.full.bit_length())):
            used = [group for group in self.groups.values() if group.lines[name][domain] >> bit & 1]
            shared = resource.shared >> bit & 1
            exclusive = any(group.mode == "exclusive" for group in used)
            letters += "E" if exclusive else ("X" if shared else "S") if used else ("H" if shared else "0")
        return letters

    # -- commands ----------------------------------------------------------------------------------

    def _inside(self, path):
        full = os.path.abspath(os.fspath(path)) if isinstance(path, (str, os.PathLike)) else ""
        return os.path.relpath(full, self.base) if full.startswith(f"{self.base}/") and self.groups else None

    def _refuse(self, number, status):
        self.status = status
        self._write("info/last_cmd_status", status)
        raise OSError(number, os.strerror(number))

    def _done(self):
        self.status = "ok"
        self._show()

    def _mkdir(self, path, mode=0o777, **options):
        name = self._inside(path)
        if name is None or options:
            return self._real["mkdir"](path, mode, **options)
        self.commands.append(f"mkdir {name}")
        if "/" in name:
            self._refuse(errno.EPERM, "ok")
        if len(self.groups) >= self.closids:
            self._refuse(errno.ENOSPC, "Out of CLOSIDs")
        self.groups[name] = Group(frozenset(), self._fresh())
        self._done()
        return None

    def _rmdir(self, path, **options):
        name = self._inside(path)
        if name is None or name not in self.groups or options:
            return self._real["rmdir"](path, **options)
        self.commands.append(f"rmdir {name}")
        self.groups[""].cpus |= self.groups.pop(name).cpus
        shutil.rmtree(self.base / name)
        self._texts = {path: text for path, text in self._texts.items() if not path.startswith(f"{name}/")}
        self._done()
        return None

    def _open(self, path, mode="r", *rest, **options):
        name = self._inside(path)
        if name is None or "w" not in mode:
            return self._real["open"](path, mode, *rest, **options)
        group, _slash, file = name.rpartition("/")
        return _Written(self, group, file)

    def write(self, group, file, text):
        self.commands.append(f"{group or '.'}/{file}: {text.strip()}")
        if group not in self.groups:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not text.endswith("\n"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        {"schemata": self._schemata, "cpus_list": self._cpus, "mode": self._mode}[file](group, text)
        self._done()

    def _cpus(self, name, text):
        group, cpus = self.groups[name], parse_cpulist(text.strip())
        if cpus - self.online:
            self._refuse(errno.EINVAL, "Can only assign online CPUs")
        if not name and group.cpus - cpus:
            self._refuse(errno.EINVAL, "Can't drop CPUs from default group")
        self.groups[""].cpus |= group.cpus - cpus
        for other in self.groups.values():
            if other is not group:
                other.cpus -= cpus
        group.cpus = cpus

    def _mode(self, name, text):
        self.groups[name].mode = text.strip()

    def _schemata(self, name, text):
        group, staged = self.groups[name], {}
        for line in text.strip().splitlines():
            resource, _colon, values = line.partition(":")
            if resource.strip() not in self.resources:
                self._refuse(errno.EINVAL, f"Unknown or unsupported resource name '{resource.strip()}'")
            for item in values.split(";"):
                domain, _sign, value = item.partition("=")
                if int(domain) not in self.resources[resource].domains:
                    self._refuse(errno.EINVAL, "ok")
                check = self._limit if resource == "MB" else self._mask
                staged[resource, int(domain)] = check(resource, int(domain), value.strip(), group)
        for (resource, domain), value in staged.items():
            group.lines[resource][domain] = value

    def _limit(self, _name, _domain, text, _group):
        value, limits = int(text), self.bandwidth
        if not limits.least <= value <= limits.most:
            self._refuse(errno.EINVAL, f"MB value {value} out of range [{limits.least},{limits.most}]")
        return -(-value // limits.step) * limits.step

    def _mask(self, name, domain, text, group):
        cache = self.resources[name]
        if not re.fullmatch("[0-9a-fA-F]+", text):
            self._refuse(errno.EINVAL, f"Non-hex character in the mask {text}")
        mask = int(text, 16)
        if (cache.least > 0 and mask == 0) or mask > cache.full:
            self._refuse(errno.EINVAL, "Mask out of range")
        rows = re.findall("1+", f"{mask:b}")
        if len(rows) > 1 and not cache.sparse:
            self._refuse(errno.EINVAL, f"The mask {mask:x} has non-consecutive 1-bits")
        if rows and len(rows[-1]) < cache.least:
            self._refuse(errno.EINVAL, f"Need at least {cache.least} bits in the mask")
        if mask & self._taken(name, domain, group):
            self._refuse(errno.EINVAL, "Overlaps with exclusive group")
        return mask

    # -- other programs ----------------------------------------------------------------------------

    def measure(self, where):
        """Let another program make a group that only measures."""
        for folder in reversed([self.base / where, *(self.base / where).parents]):
            self._make(folder)

    def foreign(self, name, *, cpus="", mode="shareable", **lines):
        """Let another program make a group."""
        os.mkdir(self.base / name)
        group = self.groups[name]
        for resource, values in lines.items():
            group.lines[resource].update(values)
        if cpus:
            self._cpus(name, cpus)
        group.mode = mode
        self._done()
        self.commands.clear()


@dataclass
class _Written:
    """An open file of resctrl; each write is a command."""

    kernel: Resctrl
    group: str
    file: str
    closed: bool = field(default=False)

    def write(self, text):
        self.kernel.write(self.group, self.file, text)
        return len(text)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.closed = True


def cache_files(**levels):
    """The caches that sysfs shows: ``L3={0: "0-3"}``."""
    files = {}
    for level, domains in levels.items():
        for number, cpus in domains.items():
            for cpu in parse_cpulist(cpus):
                base = f"/sys/devices/system/cpu/cpu{cpu}/cache/index{level[1]}"
                files |= {
                    f"{base}/level": f"{level[1]}\n",
                    f"{base}/type": "Unified\n",
                    f"{base}/id": f"{number}\n",
                    f"{base}/shared_cpu_list": f"{cpus}\n",
                }
    return files


def processor(flags=FLAGS, vendor="GenuineIntel", model=106):
    shown = {"vendor_id": vendor, "cpu family": 6, "model": model, "model name": "Intel(R) Xeon(R)", "flags": flags}
    return {"/proc/cpuinfo": "".join(f"{name}\t: {value}\n" for name, value in shown.items())}
