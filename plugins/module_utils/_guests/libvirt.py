# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt on the node. Edge: only this file calls libvirt."""

from __future__ import annotations

import posixpath
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._host.deadline import LateError, within
from .._host.host import Host
from .domain_xml import DomainError, describe, parse, secrets_of
from .hiding import clean
from .nova import read_instance
from .pinning import Existing
from .threads import ThreadDifference, set_scheduler
from .volumes import Volume, on_files

try:
    import libvirt
except ImportError:
    libvirt = None

URI = "qemu:///system"
#: Seconds that a call may take; and one that starts or ends a guest, whose memory is allocated or freed meanwhile.
CALL_S = 60.0
LONG_S = 600.0
_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")


#: The code of libvirt's error for a domain that it does not know (VIR_ERR_NO_DOMAIN).
_NO_DOMAIN = 42


class UnknownDomainError(HostError):
    """libvirt does not know the domain, or no more."""


class PoolError(HostError):
    """A storage pool is not known, or its images are no files in a folder."""


@dataclass
class Domain:
    """One domain that libvirt knows."""

    handle: Any
    name: str
    tree: ET.Element  # of its persistent definition
    running: bool
    autostart: bool
    persistent: bool = True
    saved: bool = False  # its next start restores the memory and the definition of then
    find_volume: Callable[[Volume], str] = lambda _volume: ""

    def on_files(self) -> ET.Element:
        """Return its persistent definition with the files of volumes, to see which files it has."""
        return on_files(self.tree, self.find_volume)

    def live_on_files(self) -> ET.Element:
        """Return the XML of the running guest with the files of volumes."""
        return on_files(self.live_tree(), self.find_volume)

    def live_tree(self) -> ET.Element:
        """Return the XML of the running guest."""
        call = partial(self.handle.XMLDesc, libvirt.VIR_DOMAIN_XML_SECURE)
        return parse(_call(self.name, "return its live XML", call, known=lambda: secrets_of(self.tree)))


class Connection:
    """A connection to the node's libvirt."""

    def __init__(self, uri: str = URI, handle: Any = None) -> None:
        """``handle``: an open connection of the bindings."""
        self._validated: set[str] = set()
        self._definitions: dict[str, list[str]] = {}  # whose secrets no message shows
        self._volumes: dict[Volume, str] = {}
        if handle is not None:
            self.handle = handle
            return
        if libvirt is None:
            raise HostError("python3-libvirt is not installed on this node; run the kvm_host role, which brings libvirt, first")
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it writes to stderr
        try:
            self.handle = within(CALL_S, lambda: libvirt.open(uri))
        except LateError:
            raise HostError(
                f"libvirt ({uri}) did not answer within {CALL_S:g} s; restart its service, which leaves guests running"
            ) from None
        except libvirt.libvirtError as error:
            raise HostError(
                f"libvirt ({uri}) does not answer: {_reason(error)}; is its service running? The kvm_host role starts it"
            ) from None

    def hostname(self) -> str:
        """Return the node's name as libvirt tells it, by which Nova names its hypervisor."""
        return str(_call("libvirt", "tell the node's name", self.handle.getHostname))

    def domains(self) -> dict[str, Domain]:
        """Return every domain, foreign ones too, by name."""
        running = self._names(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        autostart = self._names(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
        persistent = self._names(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
        saved = self._names(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        # secure: otherwise a definition would lose its passwords when it is defined again
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        domains = {}
        for name, handle in self._list(0):
            try:
                text = within(CALL_S, partial(handle.XMLDesc, flags))
            except LateError:
                raise HostError(f"{name}: libvirt did not return its XML within {CALL_S:g} s; restart its service") from None
            except libvirt.libvirtError:
                continue  # it no longer exists
            self._definitions[name] = [text]
            domains[name] = Domain(
                handle,
                name,
                parse(text),
                name in running,
                name in autostart,
                name in persistent,
                name in saved,
                self.find_volume,
            )
        return domains

    def _list(self, flags: int) -> list[tuple[str, Any]]:
        handles = _call("libvirt", "list its domains", lambda: self.handle.listAllDomains(flags))
        return [(str(handle.name()), handle) for handle in handles]

    def _names(self, flags: int) -> set[str]:
        return {name for name, _handle in self._list(flags)}

    def define(self, name: str, xml: str, shape: str = "", *, validate: bool = True) -> None:
        """Define a domain, validated by libvirt before it is kept, unless its present definition is itself refused by libvirt's schema.

        libvirt always checks what it parses. Validation against its schema also reads the whole schema for every
        domain, so domains of one ``shape`` (the same elements and attributes) are validated once.
        """
        flags = 0 if shape in self._validated or not validate else libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        present = self._definitions.get(name, [])[:1]
        self._definitions.setdefault(name, []).append(xml)
        try:
            self._define(name, xml, flags)
        except HostError:
            if not flags or not present or self._is_valid(name, present[0]):
                raise
            self._define(name, xml, 0)
            return
        if shape and flags:
            self._validated.add(shape)

    def _define(self, name: str, xml: str, flags: int) -> None:
        self._call(name, "define it", lambda: self.handle.defineXMLFlags(xml, flags))

    def _is_valid(self, name: str, present: str) -> bool:
        """Whether libvirt's schema takes the definition that a domain has; libvirt tells only where it defines, so this defines it again."""
        try:
            self._define(name, present, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except HostError:
            return False
        return True

    def _call(self, name: str, what: str, call: Callable[[], Any], most: float | None = None) -> Any:
        """Make one call of libvirt about a domain; its error shows no secret of a definition of it that is known."""
        return _call(name, what, call, most, known=partial(self._secrets, name))

    def _secrets(self, name: str) -> set[str]:
        found: set[str] = set()
        for text in self._definitions.get(name, ()):
            with suppress(DomainError):
                found |= secrets_of(parse(text))
        return found

    def _active(self, name: str, handle: Any) -> bool:
        return bool(self._call(name, "return its state", handle.isActive))

    def set_autostart(self, name: str, autostart: bool) -> None:
        """Set whether a domain starts with the node."""
        self._call(name, "set its autostart", lambda: self.lookup(name).setAutostart(int(autostart)))

    def lookup(self, name: str) -> Any:
        return self._call(name, "find it", lambda: self.handle.lookupByName(name))

    def start(self, name: str) -> None:
        """Start a guest that does not run; one that starts meanwhile is no failure."""
        handle = self.lookup(name)
        if self._active(name, handle):
            return
        try:
            self._call(name, "start it", handle.create, LONG_S)
        except HostError:
            if not self._runs(name, {}):
                raise

    def stop(self, names: Collection[str], timeout_s: int, *, force: bool) -> None:
        """Ask guests to shut down, all at once, and wait until all are off; ``force`` switches off those that still run.

        A call that fails keeps none of the others from being asked, waited for or switched off; a guest that is off in the end
        is no failure.
        """
        trouble: dict[str, str] = {}
        asked = [
            name for name in names if self._runs(name, trouble) and self._try(name, trouble, "shut it down", "shutdown", CALL_S)
        ]
        end = time.monotonic() + timeout_s
        while True:
            unknown: dict[str, str] = {}
            states = {name: self._runs(name, unknown) for name in names}
            if not any(states[name] for name in asked) or time.monotonic() > end:
                break
            time.sleep(0.5)
        trouble.update(unknown)
        left = {name for name, runs in states.items() if runs is not False}
        for name in [name for name in names if force and states[name]]:
            if self._try(name, trouble, "switch it off", "destroy", LONG_S) or self._runs(name, trouble) is False:
                left.remove(name)
        if not left:
            return
        deaf = ", ".join(sorted(left - set(trouble)))
        told = [f"{deaf}: still running {timeout_s} s after being asked to shut down (by agent or ACPI)"] if deaf else []
        told += [trouble[name] for name in sorted(left & set(trouble))]
        hint = "" if force else "; shut down inside the guest, or set rt_guest_force_off: true to switch it off"
        raise HostError("; ".join(told) + hint)

    def _try(self, name: str, trouble: dict[str, str], what: str, call: str, most: float) -> bool:
        """Whether a call that ends a guest succeeds; ``trouble`` gets the words of one that does not."""
        try:
            self._call(name, what, getattr(self.lookup(name), call), most)
        except HostError as error:
            trouble[name] = str(error)
            return False
        return True

    def _runs(self, name: str, trouble: dict[str, str]) -> bool | None:
        """Whether a guest runs, None where libvirt does not say; one that libvirt knows no more does not run."""
        try:
            return self._active(name, self.lookup(name))
        except UnknownDomainError:
            return False
        except HostError as error:
            trouble.setdefault(name, str(error))
            return None

    def remove(self, name: str, *, everything: bool = False) -> None:
        """Remove a domain's definition; disks stay, and unless ``everything``, so do UEFI variables and the TPM's state."""
        flags = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        if everything:
            # without its flag, the state of a TPM with persistent_state='yes' stays for the next guest of this name
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            flags |= getattr(libvirt, "VIR_DOMAIN_UNDEFINE_TPM", 0)
        else:  # libvirt before 8.9 has no flag for a TPM's state and goes by persistent_state in the definition
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_KEEP_TPM", 0)
        self._call(name, "undefine it", lambda: self.lookup(name).undefineFlags(flags), LONG_S + CALL_S)

    def pin(self, name: str, role: str, cpus: Iterable[int], total: int) -> None:
        """Move a thread of a running guest; libvirt keeps its cgroups in step."""
        wanted = frozenset(cpus)
        bitmap = tuple(cpu in wanted for cpu in range(total))
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        handle = self.lookup(name)
        if role == "emulator":
            self._call(name, "move its emulator", lambda: handle.pinEmulator(bitmap, live))
        elif role.startswith("iothread"):
            self._call(name, f"move {role}", lambda: handle.pinIOThread(int(role[8:]), bitmap, live))
        else:
            self._call(name, f"move {role}", lambda: handle.pinVcpuFlags(int(role[4:]), bitmap, live))

    def grow_disk(self, name: str, target: str, size: int) -> None:
        """Grow the disk of a running guest, which sees it at once; ``size`` in bytes."""
        handle = self.lookup(name)
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._call(name, f"grow its disk {target}", lambda: handle.blockResize(target, size, flags), LONG_S)

    def pool_folder(self, name: str) -> str:
        """Return the folder of a storage pool; refuse one that is not known, and one whose volumes are no files in a folder."""
        try:
            pool = within(CALL_S, lambda: self.handle.storagePoolLookupByName(name))
            tree = parse(within(CALL_S, lambda: pool.XMLDesc(0)))
        except LateError:
            raise HostError(f"libvirt did not describe storage pool {name} within {CALL_S:g} s; restart its service") from None
        except libvirt.libvirtError as error:
            raise PoolError(
                f"libvirt has no storage pool {name} ({_reason(error)}); virsh pool-list --all names those it has"
            ) from None
        kind, folder = tree.get("type"), posixpath.normpath((tree.findtext("target/path") or "").strip())
        if kind != "dir" or not folder.startswith("/"):
            raise PoolError(f"storage pool {name} has type {kind}; only pools of type dir, folders of this node, are known here")
        return folder

    def network(self, name: str) -> ET.Element | None:
        """Return a network's definition; None where libvirt knows none of that name."""
        try:
            found = within(CALL_S, lambda: self.handle.networkLookupByName(name))
            return parse(within(CALL_S, lambda: found.XMLDesc(0)))
        except LateError:
            raise HostError(f"libvirt did not describe network {name} within {CALL_S:g} s; restart its service") from None
        except libvirt.libvirtError:
            return None

    def find_volume(self, volume: Volume) -> str:
        """Return the path of a volume of a storage pool; empty where libvirt does not tell, such as for a pool that is not active."""
        if volume not in self._volumes:
            pool, name = volume
            try:
                found = within(CALL_S, lambda: self.handle.storagePoolLookupByName(pool).storageVolLookupByName(name).path())
            except LateError:
                raise HostError(
                    f"libvirt did not tell the path of volume {name} of pool {pool} within {CALL_S:g} s; restart its service"
                ) from None
            except libvirt.libvirtError:
                found = ""
            self._volumes[volume] = str(found or "")
        return self._volumes[volume]

    def set_scheduler(self, name: str, difference: ThreadDifference) -> None:
        """Give a thread of a running guest its policy; libvirt has no call for that."""
        set_scheduler(name, difference)


def _reason(error: Exception, secrets: Collection[str] = ()) -> str:
    text = getattr(error, "get_error_message", lambda: None)() or str(error)
    return clean(str(text).strip(), secrets).replace("\n", " ")


def _call(
    name: str, what: str, call: Callable[[], Any], most: float | None = None, *, known: Callable[[], Collection[str]] = tuple
) -> Any:
    """Make one call of libvirt, which itself waits without end for a daemon that hangs; ``known`` returns secrets it may quote."""
    seconds = most or CALL_S
    try:
        return within(seconds, call)
    except LateError:
        raise HostError(
            f"{name}: libvirt did not {what} within {seconds:g} s; look at its service (journalctl -u libvirtd -u virtqemud) and restart "
            "it, which leaves guests running"
        ) from None
    except libvirt.libvirtError as error:
        unknown = getattr(error, "get_error_code", lambda: None)() == _NO_DOMAIN
        raise (UnknownDomainError if unknown else HostError)(
            f"{name}: libvirt could not {what}: {_reason(error, known())}"
        ) from None


class NoConnection(Connection):
    """Stands in for a libvirt that the kvm_host role has yet to install: check mode plans with it, all else is refused."""

    def __init__(self) -> None:
        """Make no connection."""

    @property
    def handle(self) -> Any:
        raise HostError("libvirt is not installed on this node; run the kvm_host role first")

    def domains(self) -> dict[str, Domain]:
        """Return no domain."""
        return {}

    def network(self, name: str) -> ET.Element | None:
        """Return None: there is no network."""
        del name
        return None

    def pool_folder(self, name: str) -> str:
        """Refuse: there is no pool."""
        raise PoolError(
            f"this node has no libvirt yet, and so no storage pool {name}; run the kvm_host role and make the pool first, or give the whole path"
        )


class Libvirt:
    """The modules' access to a node's libvirt."""

    def installed(self, host: Host) -> bool:
        """Whether the node has a libvirt that answers on a socket."""
        return libvirt is not None and any(host.exists(path) for path in _SOCKETS)

    def connect(self, host: Host) -> Connection | None:
        """Return a connection; None in check mode on a node that has no libvirt yet, and for a captured root."""
        if host.captured or (host.dry and not self.installed(host)):
            return None
        return Connection()

    def existing(self, host: Host) -> list[Existing]:
        """Return the CPUs and memory of every domain; an empty list without libvirt."""
        if host.captured or not self.installed(host):
            return []
        connection = self.connect(host)
        domains = connection.domains().values() if connection else ()
        return [
            replace(describe(domain.tree, running=domain.running), nova=read_instance(domain.tree) is not None)
            for domain in domains
        ]
