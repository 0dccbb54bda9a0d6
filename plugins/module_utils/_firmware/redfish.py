# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC reports of a system and its BIOS, read by Redfish. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.answers import plain
from .connection import Answer, Connection, RedfishError, shown
from .etags import forms_of
from .jobs import EXPAND, JOBS, MAKERS, MANAGER, TASKS, Job, members_of, unfinished
from .odata import last, link, listed, messages_of, nearest, uri
from .registry import BiosError, Registry, Value, parse_registry
from .shapes import LOCKABLE, USUAL_SETTINGS, attributes_of, bios_of, is_flat, lock_of, lockdown_in, manager_of, settings_of
from .spelling import as_shown, translated

ROOT = "/redfish/v1"
NO_SETTINGS = "the BMC names no settings object (@Redfish.Settings)"
#: Systems that are looked at.
_SYSTEMS = 64


@dataclass(frozen=True)
class Firmware:
    """A BMC's report of one system's BIOS.

    ``pending`` has the values that wait for a reboot and differ from the current ones; these and the ``registry`` are written
    as the current ones are. ``flat``: attributes are fields of the resources themselves.
    """

    system: str
    manufacturer: str
    model: str
    version: str
    power: str
    current: Mapping[str, Value]
    pending: Mapping[str, Value]
    settings: str
    etags: tuple[str, str]
    apply_times: tuple[str, ...]
    registry: Registry | None
    flat: bool = False
    readable: bool = True  # the pending settings
    manager: str = ""
    notes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


class Redfish(Connection):
    """A BMC and its systems."""

    def read(self, known: Registry | None = None, *, registry: bool = True) -> Firmware:
        """Return the BMC's report of the system's BIOS; ``registry`` false leaves the (large) attribute registry out for a known one."""
        with self.reading():
            return self._read(known, registry=registry)

    def _read(self, known: Registry | None, *, registry: bool) -> Firmware:
        path, system = self._system()
        place = bios_of(system)
        if not place:
            raise RedfishError(f"{self.who()} has no Bios for system {last(path)}; its Redfish does not serve BIOS settings")
        bios = self.get(place).body
        flat = is_flat(bios)
        current = attributes_of(bios, flat=flat, damaged=True)
        if not any(value is not None for value in current.values()):
            raise RedfishError(
                f"{self.who()} serves no BIOS attributes at {shown(place)}; power the system on once, so that the BIOS reports them"
            )
        block = bios.get("@Redfish.Settings")
        block = block if isinstance(block, dict) else {}
        notes: list[str] = []
        settings, answer = self._settings(place, bios)
        if not settings:
            notes.append(f"{NO_SETTINGS}, so its BIOS cannot be set")
        elif not settings_of(bios):
            notes.append(f"{NO_SETTINGS}; {shown(settings)} is used, where other BMCs have it")
        found = self._registry(str(bios.get("AttributeRegistry") or ""), current, notes) if registry else known
        waiting = translated(found, attributes_of(answer.body, flat=flat))
        times, support = block.get("SupportedApplyTimes"), answer.body.get("@Redfish.SettingsApplyTime")
        if not times and isinstance(support, dict):
            times = support.get("ApplyTime@Redfish.AllowableValues")
        result = bios.get("SettingsResult")  # of iLO 4
        said = block.get("Messages") or (result.get("Messages") if isinstance(result, dict) else None)
        return Firmware(
            system=last(path),
            manufacturer=str(system.get("Manufacturer") or ""),
            model=str(system.get("Model") or ""),
            version=str(system.get("BiosVersion") or ""),
            power=str(system.get("PowerState") or ""),
            current=current,
            pending={name: value for name, value in waiting.items() if name in current and not _equal(value, current[name])},
            settings=settings,
            etags=answer.etags,
            apply_times=tuple(str(one) for one in listed(times)),
            registry=found,
            flat=flat,
            readable=answer.status != 0,
            manager=manager_of(system),
            notes=tuple(notes),
            messages=tuple(text for text, _names in messages_of({"error": {"@Message.ExtendedInfo": said}})),
        )

    def _settings(self, place: str, bios: Mapping[str, Any]) -> tuple[str, Answer]:
        """Return where pending settings are, and what waits there: nothing, where a BMC has the resource only while something does."""
        named = settings_of(bios)
        for settings in [named] if named else [f"{place.rstrip('/')}/{name}" for name in USUAL_SETTINGS]:
            answer = self._get_if_there(settings, guessed=not named)
            if answer is not None:
                return settings, answer
        return named, Answer({}, ("", ""), 0)

    def _get_if_there(self, path: str, *, guessed: bool = False) -> Answer | None:
        """Read a resource that may not exist; a place that the BMC has not named may be refused in any way."""
        try:
            return self.get(path)
        except RedfishError as error:
            if error.status not in (400, 404, 405) and (not guessed or error.status in (0, 401, 503)):
                raise
            return None

    def _expanded(self, path: str) -> Answer | None:
        """Read a collection that may not exist with its members; only their places where the BMC does not know that question."""
        try:
            return self.get(path + EXPAND)
        except RedfishError as error:
            if error.status in (0, 401, 503):
                raise
            return None if error.status == 404 else self._get_if_there(path, guessed=True)

    def stage(self, firmware: Firmware, values: Mapping[str, Value], more: Mapping[str, Any]) -> Answer:
        """Write pending settings, unless other ones were staged since ``firmware`` was read.

        A BMC that refuses its own ETag gets it in its other forms, and at last none: each time after the settings were read
        again and had not changed.
        """
        body = {**values, **more} if firmware.flat else {"Attributes": dict(values), **more}
        seen, tried = firmware, set()
        for form in forms_of(*firmware.etags):
            etag = forms_of(*seen.etags).get(form)
            if etag is None or etag in tried:
                continue
            tried.add(etag)
            try:
                return self.patch(firmware.settings, body, etag)
            except RedfishError as error:
                if error.status not in (412, 428):
                    raise
            seen = self.read(firmware.registry, registry=False)
            if seen.pending != firmware.pending or any(seen.current.get(name) != firmware.current[name] for name in values):
                raise RedfishError(
                    f"{self.who()} reports that {shown(firmware.settings)} was changed meanwhile (HTTP 412); run again to read it again",
                    412,
                )
        raise RedfishError(
            f"{self.who()} refuses to change {shown(firmware.settings)} with its own ETag in every form and without one, though nothing "
            "has changed there (HTTP 412); update its firmware",
            412,
        )

    def lockdown(self, firmware: Firmware) -> str:
        """Return the field that says that the system is locked down, so that the BMC refuses all settings; an empty text where none does."""
        if not firmware.manager or not any(maker in firmware.manufacturer.lower() for maker in LOCKABLE):
            return ""
        try:
            with self.reading():
                place = lock_of(self.get(firmware.manager).body)
                return lockdown_in(self.get(place).body) if place else ""
        except RedfishError as error:
            if error.status in (0, 401):
                raise
            return ""  # a user may lack the right to see it

    def job(self, firmware: Firmware) -> Job | None:
        """Return the job by which the BMC still applies BIOS settings; None where its maker's BMCs have none, or all have ended."""
        if not any(maker in firmware.manufacturer.lower() for maker in MAKERS):
            return None
        manager = (firmware.manager or f"{ROOT}/{MANAGER}").rstrip("/")
        with self.reading():
            for place in (*(f"{manager}/{name}" for name in JOBS), f"{ROOT}/{TASKS}"):
                if (answer := self._expanded(place)) is not None:
                    jobs, places = members_of(answer.body)
                    more = [self._get_if_there(one, guessed=True) for one in places]
                    return unfinished(jobs + [one.body for one in more if one is not None])
        return None

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
            if not bios_of(body):
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
            registry = as_shown(parse_registry(document), current)
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
            answer = self._get_if_there(f"{ROOT}/Registries/{name}")  # most BMCs use the BIOS's name for the file
            file = answer.body if answer else None
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


def _equal(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other
