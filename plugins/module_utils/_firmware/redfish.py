# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC reports of a system and its BIOS, read by Redfish. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import plain
from .connection import Connection, RedfishError, shown
from .odata import last, link, listed, messages_of, nearest, uri
from .registry import BiosError, Registry, Value, parse_registry

ROOT = "/redfish/v1"
#: Systems that are looked at.
_SYSTEMS = 64


@dataclass(frozen=True)
class Firmware:
    """A BMC's report of one system's BIOS.

    ``pending`` has the values that wait for a reboot and differ from the current ones.
    """

    system: str
    manufacturer: str
    model: str
    version: str
    power: str
    current: Mapping[str, Value]
    pending: Mapping[str, Value]
    settings: str
    etag: str
    apply_times: tuple[str, ...]
    registry: Registry | None
    notes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


class Redfish(Connection):
    """A BMC and its systems."""

    def read(self, *, registry: bool = True) -> Firmware:
        """Return the BMC's report of the system's BIOS; ``registry`` false leaves the (large) attribute registry out."""
        with self.reading():
            return self._read(registry=registry)

    def _read(self, *, registry: bool) -> Firmware:
        path, system = self._system()
        place = link(system.get("Bios"))
        if not place:
            raise RedfishError(f"{self.who()} has no Bios for system {last(path)}; its Redfish does not serve BIOS settings")
        bios = self.get(place).body
        current = _values(bios.get("Attributes"))
        if not current:
            raise RedfishError(
                f"{self.who()} serves no BIOS attributes at {shown(place)}; power the system on once, so that the BIOS reports them"
            )
        block = bios.get("@Redfish.Settings")
        block = block if isinstance(block, dict) else {}
        settings, pending, etag, times, notes = link(block.get("SettingsObject")), {}, "", block.get("SupportedApplyTimes"), []
        if settings:
            answer = self.get(settings)
            etag = answer.etag
            waiting = _values(answer.body.get("Attributes"))
            pending = {name: value for name, value in waiting.items() if name in current and not _equal(value, current[name])}
            support = answer.body.get("@Redfish.SettingsApplyTime")
            if not times and isinstance(support, dict):
                times = support.get("ApplyTime@Redfish.AllowableValues")
        else:
            notes.append("the BMC names no settings object (@Redfish.Settings), so its BIOS cannot be set")
        found = self._registry(str(bios.get("AttributeRegistry") or ""), current, notes) if registry else None
        return Firmware(
            system=last(path),
            manufacturer=str(system.get("Manufacturer") or ""),
            model=str(system.get("Model") or ""),
            version=str(system.get("BiosVersion") or ""),
            power=str(system.get("PowerState") or ""),
            current=current,
            pending=pending,
            settings=settings,
            etag=etag,
            apply_times=tuple(str(one) for one in listed(times)),
            registry=found,
            notes=tuple(notes),
            messages=tuple(text for text, _names in messages_of({"error": {"@Message.ExtendedInfo": block.get("Messages")}})),
        )

    def system(self) -> Mapping[str, Any]:
        """Return the system's own description."""
        with self.reading():
            return self._system()[1]

    def _system(self) -> tuple[str, Mapping[str, Any]]:
        members = [link(one) for one in listed(self.get(f"{ROOT}/Systems").body.get("Members"))[:_SYSTEMS]]
        members = [one for one in members if one]
        wanted = self.access.system
        if not members:
            raise RedfishError(f"{self.who()} lists no systems")
        if wanted:
            for path in members:
                if last(path) == wanted:
                    return path, self.get(path).body
            raise RedfishError(f"bios_system: {self.who()} has no system {wanted!r}; it has {_names(members)}")
        if len(members) == 1:
            return members[0], self.get(members[0]).body
        found = None
        for path in members:  # a document may have megabytes: only the one that counts is kept
            body = self.get(path).body
            if not link(body.get("Bios")):
                continue
            if found:
                break
            found = path, body
        else:
            if found:
                return found
        raise RedfishError(f"bios_system: {self.who()} has several systems ({_names(members)}); name one of them")

    def _registry(self, name: str, current: Mapping[str, Value], notes: list[str]) -> Registry | None:
        """Return the attribute registry. A failure to read it is only a note, since a report does not need it."""
        try:
            document = self._registry_document(name)
            if document is None:
                notes.append(f"the BMC has no attribute registry {name!r}, so allowed values and locks are unknown")
                return None
            registry = parse_registry(document)
        except (BiosError, RedfishError) as error:
            if isinstance(error, RedfishError) and error.status in (0, 401, 503):
                raise
            notes.append(f"{error}; so allowed values and locks are unknown")
            return None
        if not set(current) & set(registry.attributes):
            notes.append(
                f"the BMC's attribute registry {registry.identity} has none of its attributes, "
                "so allowed values and locks are unknown"
            )
            return None
        return registry

    def _registry_document(self, name: str) -> Mapping[str, Any] | None:
        file = None
        if name and name.isascii() and name.isprintable() and " " not in name:
            try:  # most BMCs use the BIOS's name for the file
                file = self.get(f"{ROOT}/Registries/{name}").body
            except RedfishError as error:
                if error.status not in (400, 404, 405):
                    raise
        if file is None:
            members = [link(one) for one in listed(self.get(f"{ROOT}/Registries").body.get("Members"))]
            path = nearest(name, [one for one in members if one])
            if path is None:
                return None
            file = self.get(path).body
        if "RegistryEntries" in file:
            return file
        places = [one for one in listed(file.get("Location")) if isinstance(one, dict) and one.get("Uri")]
        places.sort(key=lambda one: not str(one.get("Language", "")).lower().startswith("en"))
        return self.get(uri(places[0]["Uri"])).body if places else None


def _names(paths: list[str]) -> str:
    return ", ".join(plain(last(path), 60) for path in paths)


def _values(attributes: Any) -> dict[str, Value]:
    """Return attributes whose values are text, whole numbers or truths; others cannot be compared or set."""
    found = attributes.items() if isinstance(attributes, dict) else ()
    return {name: value for name, value in found if value is None or isinstance(value, (str, int))}


def _equal(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other
