# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirt that records its calls, and shows running guests as pid files and threads in a tree."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import vhost_threads
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import describe, parse, read_schedulers
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Domain, Libvirt, PoolError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import read_instance
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import PID_DIR
from unit.trees import fill

POLICIES = {"other": 0, "fifo": 1, "rr": 2}


class Killed(BaseException):
    """The run ends here, whatever it was doing."""


class FakeDomain(Domain):
    """A domain whose handle is its live XML."""

    def live_tree(self):
        return parse(self.handle)


class FakeLibvirt:
    """What ``Connection`` offers. ``calls`` are all that change anything; ``kill_at`` ends the run just before its n-th."""

    def __init__(self, root):
        self.root = root
        self.definitions: dict[str, str] = {}
        self.started_with_node: set[str] = set()
        self.live: dict[str, str] = {}
        self.transient: set[str] = set()
        self.saved: set[str] = set()
        self.pools: dict[str, str] = {}  # folders by name
        self.networks: dict[str, str] = {}  # definitions by name
        self.volumes: dict[tuple[str, str], str] = {}  # paths by pool and name
        self.deaf: set[str] = set()  # do not shut down when they are asked to
        self.node = "node1"
        self.calls: list[str] = []
        self.kill_at = -1
        self._pids = 1000

    def _called(self, text):
        if self.kill_at == 0:
            raise Killed
        self.kill_at -= 1
        self.calls.append(text)

    # -- what the module calls ---------------------------------------------------------------------

    def domains(self):
        return {
            name: FakeDomain(
                self.live.get(name),
                name,
                parse(text),
                name in self.live,
                name in self.started_with_node,
                name not in self.transient,
                name in self.saved,
                self.find_volume,
            )
            for name, text in self.definitions.items()
        }

    def hostname(self):
        return self.node

    def define(self, name, xml, shape="", *, validate=True):
        del shape, validate
        self._called(f"define {name}")
        assert parse(xml).findtext("name") == name
        self.definitions[name] = xml

    def set_autostart(self, name, autostart):
        self._called(f"autostart {name} {autostart}")
        assert name in self.definitions
        (self.started_with_node.add if autostart else self.started_with_node.discard)(name)

    def start(self, name):
        self._called(f"start {name}")
        if name not in self.live:
            self.run(name)

    def stop(self, names, timeout_s, *, force):
        for name in names:
            self._called(f"stop {name}")
            if name in self.deaf and not force:
                raise HostError(f"{name}: still running {timeout_s} s after being asked to shut down (by agent or ACPI)")
            self.live.pop(name, None)
            pid = Path(f"{self.root}{PID_DIR}/{name}.pid")
            shutil.rmtree(f"{self.root}/proc/{pid.read_text()}")
            pid.unlink()

    def remove(self, name, *, everything=False):
        self._called(f"remove {name}{' and its state' if everything else ''}")
        assert name not in self.live
        del self.definitions[name]
        self.started_with_node.discard(name)

    def pin(self, name, role, cpus, total):
        self._called(f"pin {name} {role} {format_cpulist(cpus)}")
        assert max(cpus) < total
        self._thread(name, role, cpus=frozenset(cpus))

    def grow_disk(self, name, target, size):
        self._called(f"grow {name} {target} {size}")
        tree = parse(self.live[name])
        (path,) = [
            disk.find("source").get("file") for disk in tree.findall("devices/disk") if disk.find("target").get("dev") == target
        ]
        full = Path(f"{self.root}{path}")
        content = full.read_bytes()
        full.write_bytes(content[:24] + size.to_bytes(8, "big") + content[32:])

    def pool_folder(self, name):
        if name not in self.pools:
            raise PoolError(f"libvirt has no storage pool {name}")
        return self.pools[name]

    def network(self, name):
        return parse(self.networks[name]) if name in self.networks else None

    def find_volume(self, volume):
        return self.volumes.get(volume, "")

    # -- running guests ----------------------------------------------------------------------------

    def run(self, name):
        """Start a guest as it is defined."""
        self._pids += 100
        fill(self.root, {f"{PID_DIR}/{name}.pid": str(self._pids)})
        self.live[name] = self.definitions[name]
        tree = parse(self.live[name])
        domain, schedulers = describe(tree), read_schedulers(tree)
        for number in range(int(tree.findtext("vcpu") or 1)):
            cpus = domain.vcpus.get(number, domain.floating)
            self._thread(name, f"vcpu{number}", cpus=cpus, scheduler=schedulers.get(number, "other"))
        for number in range(1, int(tree.findtext("iothreads") or 0) + 1):
            self._thread(name, f"iothread{number}", cpus=domain.io_threads, scheduler=self._sched(tree, "iothreadsched"))
        self._thread(name, "emulator", cpus=domain.emulator, scheduler=self._sched(tree, "emulatorsched"))
        self._thread(name, "worker", cpus=domain.emulator, scheduler="other")
        if (
            tree.find("devices/interface[@type='bridge']") is not None
            or tree.find("devices/interface[@type='direct']") is not None
        ):
            self._thread(name, "vhost", cpus=domain.emulator, scheduler=self._sched(tree, "emulatorsched"))

    @staticmethod
    def _sched(tree, tag):
        found = tree.find(f"cputune/{tag}")
        return "other" if found is None else f"{found.get('scheduler')} {found.get('priority')}"

    def _thread(self, name, role, *, cpus=None, scheduler=None):
        pid = int(Path(f"{self.root}{PID_DIR}/{name}.pid").read_text())
        kinds = {"emulator": (0, "qemu-system-x86"), "worker": (1, "worker"), "vhost": (2, f"vhost-{pid}")}
        number = int(role[4:]) if role.startswith("vcpu") else int(role[8:]) if role.startswith("iothread") else 0
        offset, title = kinds.get(role, (10 + number, f"CPU {number}/KVM") if role[0] == "v" else (50 + number, f"IO {role}"))
        base = Path(f"{self.root}/proc/{pid}/task/{pid + offset}")
        old = (base / "wants").read_text().split("|") if base.exists() else ["", "other"]
        cpus = format_cpulist(cpus) if cpus is not None else old[0]
        scheduler = scheduler or old[1]
        policy, _blank, priority = scheduler.partition(" ")
        fields = ["S", *["0"] * 18, "100", *["0"] * 17, priority or "0", str(POLICIES[policy]), "0"]
        relative = f"/proc/{pid}/task/{pid + offset}"
        fill(
            self.root,
            {
                f"{relative}/wants": f"{cpus}|{scheduler}",
                f"{relative}/stat": f"{pid + offset} ({title}) {' '.join(fields)}\n",
                f"{relative}/status": f"Name:\t{title}\nCpus_allowed_list:\t{cpus}\n",
            },
        )

    def set_scheduler(self, name, difference):
        """Stands for the system call that the module makes itself."""
        self._called(f"schedule {name} {difference.role} {difference.after}")
        self._thread(name, difference.role, scheduler=difference.after)

    def settle(self, monkeypatch):
        """Let the system calls that move vhost's threads change the threads here."""

        def name_of(tid):
            return next(name for name in self.live if int(Path(f"{self.root}{PID_DIR}/{name}.pid").read_text()) + 2 == tid)

        def policy(tid, text):
            name, priority = text.split()
            self._called(f"vhost {name_of(tid)} {text}")
            self._thread(
                name_of(tid),
                "vhost",
                scheduler=" ".join([name.removeprefix("SCHED_").lower(), *([priority] if priority != "0" else [])]),
            )

        def affinity(tid, cpus):
            self._called(f"vhost {name_of(tid)} {cpus}")
            self._thread(name_of(tid), "vhost", cpus=parse_cpulist(cpus))

        monkeypatch.setattr(vhost_threads, "set_affinity", affinity)
        monkeypatch.setattr(vhost_threads, "set_priority", policy)

    def edit_thread(self, name, role, *, cpus=None, scheduler=None):
        """What a person does with taskset or chrt."""
        self._thread(name, role, cpus=None if cpus is None else parse_cpulist(cpus), scheduler=scheduler)


class FakeLibvirtOf(Libvirt):
    """The edge to a ``FakeLibvirt``, which may be silent (None)."""

    def __init__(self, connection):
        self.connection = connection

    def installed(self, host):
        return self.connection is not None

    def connect(self, host):
        return self.connection

    def existing(self, host):
        domains = self.connection.domains().values() if self.connection else ()
        return [
            replace(describe(domain.tree, running=domain.running), nova=read_instance(domain.tree) is not None)
            for domain in domains
        ]
