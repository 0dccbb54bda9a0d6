# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays of a removed guest: its definition, its UEFI variables and its saved state, below the state directory. Edge."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET

from .._cpus.errors import HostError
from .._host.files import read_file
from .._host.host import Host
from .._host.journal import STATE_DIR
from .domain_xml import indented

BACKUPS = f"{STATE_DIR}/removed-guests"
#: Where libvirt keeps the state of a guest that was saved (virsh managedsave).
SAVED = "/var/lib/libvirt/qemu/save"
#: UEFI variables take some hundred KiB; what is larger is no such file.
_NVRAM_BYTES = 64 << 20


def keep_backup(host: Host, name: str, tree: ET.Element, *, saved_state: bool) -> None:
    """Keep a guest's definition and UEFI variables; ``saved_state``: also its saved state, since libvirt keeps none without a definition."""
    folder = host.path(BACKUPS)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise HostError(f"{BACKUPS} cannot be made, so {name} is not removed: {error.strerror}") from None
    host.write_file(f"{BACKUPS}/{name}.xml", indented(tree).encode(), 0o600)
    variables = _read_variables(host, name, tree)
    if variables is not None:
        host.write_file(f"{BACKUPS}/{name}.nvram", variables, 0o600)
    source = f"{SAVED}/{name}.save"
    if saved_state and host.exists(source):
        try:
            os.rename(host.path(source), host.path(f"{BACKUPS}/{name}.save"))
        except OSError as error:
            raise HostError(
                f"{name}: its saved state {source} cannot be moved to {BACKUPS}: {error.strerror}, so it is not removed. Start and shut "
                "down the guest, or drop the state (virsh managedsave-remove)"
            ) from None


def _read_variables(host: Host, name: str, tree: ET.Element) -> bytes | None:
    path = (tree.findtext("os/nvram") or "").strip()
    if not path:
        source = tree.find("os/nvram/source")
        path = "" if source is None else source.get("file") or ""
    if not path.startswith("/") or not os.path.isfile(host.path(path)):  # QEMU's user can put a pipe into its place
        return None
    try:
        return read_file(host.path(path), _NVRAM_BYTES)
    except (OverflowError, FileNotFoundError):
        return None
    except OSError as error:
        raise HostError(f"{name}: its UEFI variables {path} cannot be read, so it is not removed: {error.strerror}") from None
