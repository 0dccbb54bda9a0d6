# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC and its BIOS do, on a tree of documents; replay.py serves it. It has its own reading of the attribute registry."""

from __future__ import annotations

import copy
import hashlib
import json
import threading

try:
    from .dialects import STRONG
except ImportError:  # replay.py, started by hand
    from dialects import STRONG

USER, PASSWORD = "operator", "S3cret-of-the-BMC!"


class Machine:
    """One BMC: a tree of documents, and what a BIOS does with them."""

    def __init__(self, tree: dict[str, dict]) -> None:
        self.tree = {self.key(path): copy.deepcopy(document) for path, document in tree.items()}
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self.patches: list[dict] = []
        self.matches: list[str | None] = []  # If-Match of each PATCH
        self.resets = 0
        # what goes wrong on request
        self.password = PASSWORD
        self.delay = 0.0
        self.busy = 0  # so many answers 503
        self.retry_after = "1"
        self.truncate: set[str] = set()
        self.html: set[str] = set()
        self.refuse: dict[str, str] = {}  # attribute: why; the whole PATCH is refused
        self.refuse_partly: dict[str, str] = {}  # the others are taken
        self.ignore: set[str] = set()  # taken, but not applied at the reset
        self.only_sparse = False  # pending settings: only what differs (iDRAC), or everything
        self.etags = STRONG
        self.lockdown = ""  # what the BMC says to a PATCH while it is locked down
        self.unready = 0  # so many answers to a PATCH are 400 with a message that it is not ready
        self.no_identity: set[str] = set()  # places that are given only to who takes gzip
        self.hidden_settings = False  # no pending settings, no resource
        self.redirect = ""

    @staticmethod
    def key(path: str) -> str:
        return path.split("?")[0].rstrip("/").lower()

    @staticmethod
    def tag(document: dict) -> str:
        """What changes with a document."""
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]

    def get(self, path: str) -> dict | None:
        return self.tree.get(self.key(path))

    def find(self, suffix: str) -> dict:
        return next(document for path, document in sorted(self.tree.items()) if path.endswith(suffix.lower()))

    # -- the BIOS ----------------------------------------------------------------------------------

    @property
    def bios_path(self) -> str:
        systems = [document for path, document in sorted(self.tree.items()) if "/systems/" in path]
        for system in systems:
            hp = ((system.get("Oem") or {}).get("Hp") or {}).get("Links") or {}
            for place in (system.get("Bios"), hp.get("BIOS")):
                if isinstance(place, dict):
                    return place["@odata.id"]
        raise LookupError("no BIOS")

    @property
    def bios(self) -> dict:
        return self.get(self.bios_path)

    @property
    def flat(self) -> bool:
        """Attributes are fields of the resources themselves (iLO 4)."""
        return "HpBios." in str(self.bios.get("@odata.type"))

    def inside(self, document: dict) -> dict:
        """The attributes of the BIOS or of its pending settings; what is set in it stays."""
        if self.flat:
            return document
        if document.get("Attributes") is None:
            document["Attributes"] = {}
        return document["Attributes"]

    @property
    def attributes(self) -> dict:
        return self.inside(self.bios)

    @property
    def settings_path(self) -> str:
        block = self.bios.get("@Redfish.Settings") or {}
        named = block.get("SettingsObject") or (self.bios.get("links") or {}).get("Settings") or {}
        return self.key(named.get("@odata.id") or named.get("href") or f"{self.bios_path}/SD")

    @property
    def pending(self) -> dict:
        document = self.tree.get(self.settings_path) or {}
        found = document if self.flat else document.get("Attributes") or {}
        plain = {name: value for name, value in found.items() if not isinstance(value, (dict, list))}
        return {name: value for name, value in plain.items() if name in self.attributes and self.attributes[name] != value}

    def stage(self, **values) -> None:
        """Stage settings as another user."""
        self.inside(self.tree.setdefault(self.settings_path, {})).update(values)

    def registry(self) -> dict | None:
        """The registry's entries; None where it is not about this BIOS (as in sushy's samples)."""
        entries = next((document["RegistryEntries"] for document in self.tree.values() if "RegistryEntries" in document), None)
        known = {_name(one) for one in entries["Attributes"]} if entries else set()
        return entries if known & set(self.attributes) else None

    def entry(self, name: str) -> dict | None:
        return next((one for one in self.registry()["Attributes"] if _name(one) == name), None)

    def spellings(self, name: str) -> list:
        """The values of an enumeration as this machine writes them: by name, or by the text for people."""
        values = self.entry(name)["Value"]
        names, texts = [one["ValueName"] for one in values], [one.get("ValueDisplayName") for one in values]
        shown = self.attributes[name]
        if shown is None or shown in names:
            return names
        return [int(one) for one in names] if isinstance(shown, int) else texts

    def _held(self, dependency: dict, values: dict) -> bool:
        results = []
        for source in dependency["MapFrom"]:
            known = source["MapFromAttribute"] in values
            equal = known and str(values[source["MapFromAttribute"]]) == str(source.get("MapFromValue"))
            results.append((known and not equal) if source["MapFromCondition"] in ("NEQ", "!=") else equal)
        terms = {source.get("MapTerms") for source in dependency["MapFrom"]}
        return all(results) if "AND" in terms else any(results)

    def _maps(self, prop: str) -> list[dict]:
        entries = (self.registry() or {}).get("Dependencies") or []
        return [entry["Dependency"] for entry in entries if entry["Dependency"]["MapToProperty"] == prop]

    def read_only(self, name: str) -> bool:
        rules = [rule for rule in self._maps("ReadOnly") if rule["MapToAttribute"] == name]
        if rules:
            return any(self._held(rule, self.attributes) for rule in rules)
        return bool(self.entry(name).get("ReadOnly"))

    def objection(self, name: str, value: object) -> str:
        """Why a value cannot be staged; empty if it can."""
        if name in self.refuse:
            return self.refuse[name]
        registry = self.registry()
        if name not in self.attributes:
            return f"The property {name} is not in the list of valid properties."
        if registry is None:
            return ""
        entry = self.entry(name)
        if entry is None:
            return f"The property {name} is not in the registry."
        if self.read_only(name):
            return f"The property {name} is a read only property and cannot be assigned a value."
        if entry["Type"] == "Enumeration" and value not in self.spellings(name):
            return f"The value {value} for the property {name} is not in the list of acceptable values."
        if entry["Type"] in ("Integer", "Boolean") and type(value) is not type(self.attributes[name]):
            return f"The value {value} for the property {name} is of a different type."
        return ""

    def patch(self, body: dict) -> tuple[int, dict]:
        if self.unready > 0:
            self.unready -= 1
            return 400, error_of(
                "The operation was not successful due to the current system state.", [], "iLO.2.14.InvalidOperationForSystemState"
            )
        if self.lockdown:
            return 403, error_of(self.lockdown, [], "IDRAC.2.5.SYS406")
        self.patches.append(copy.deepcopy(body))
        allowed = (self.bios.get("@Redfish.Settings") or {}).get("SupportedApplyTimes")
        time_ = (body.get("@Redfish.SettingsApplyTime") or {}).get("ApplyTime")
        if allowed and time_ not in allowed:
            return 400, error_of("The apply time is missing or not supported.", [])
        if "Attributes" in body and self.flat:
            return 400, error_of("The property Attributes is not in the list of valid properties.", ["Attributes"])
        values = body if self.flat else body["Attributes"]
        errors = [(name, self.objection(name, value)) for name, value in values.items()]
        errors = [(name, text) for name, text in errors if text]
        if errors:
            return 400, errors_of(errors)
        self.stage(**{name: value for name, value in values.items() if name not in self.refuse_partly})
        if self.refuse_partly:
            told = [(name, self.refuse_partly[name]) for name in values if self.refuse_partly.get(name)]
            return 200, errors_of(told) if told else {}
        return 200, error_of("The request completed successfully.", [])

    def reset(self) -> None:
        """The machine goes through its BIOS: what was pending becomes current, and the registry's rules act."""
        self.resets += 1
        values, pending = self.attributes, self.pending
        changed = set()
        for name, value in pending.items():
            if name not in self.ignore:
                values[name] = value
                changed.add(name)
        for _round in range(5):
            for rule in self._maps("CurrentValue"):
                sources = {source["MapFromAttribute"] for source in rule["MapFrom"]}
                target = rule["MapToAttribute"]
                if sources & changed and target in values and self._held(rule, values) and values[target] != rule["MapToValue"]:
                    values[target] = rule["MapToValue"]
                    changed.add(target)
        document = self.tree.get(self.settings_path, {})
        if self.only_sparse:
            document.pop("Attributes", None)
        else:
            known = {name: value for name, value in values.items() if not isinstance(value, (dict, list))}
            self.inside(document).update(known)
        lost = sorted(set(pending) & self.ignore)
        if lost:
            self.bios["@Redfish.Settings"]["Messages"] = [
                {"Message": f"The BIOS did not apply {name}.", "RelatedProperties": [f"#/Attributes/{name}"]} for name in lost
            ]


def _name(entry: dict) -> str:
    return entry.get("AttributeName") or entry["Name"]


def error_of(text: str, names: list[str], identity: str = "Base.1.8") -> dict:
    return errors_of([(name, text) for name in names] or [("", text)], identity)


def errors_of(errors: list[tuple[str, str]], identity: str = "Base.1.8") -> dict:
    entries = [
        {"MessageId": identity, "Message": text, "RelatedProperties": [f"#/Attributes/{name}"] if name else []}
        for name, text in errors
    ]
    return {"error": {"code": "Base.1.8.GeneralError", "message": "See ExtendedInfo.", "@Message.ExtendedInfo": entries}}
