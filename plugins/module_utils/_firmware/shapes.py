# SPDX-License-Identifier: GPL-3.0-or-later
"""Where BMCs keep what DMTF's schemas have elsewhere: BIOS, its attributes, its pending settings, a lockdown. Pure.

Seen on machines: iLO 4 has the attributes beside ``Attributes``, and its links in ``Oem.Hp`` (ilo-rest-api-docs, "iLO 5 Adaptation");
MegaRAC and Gigabyte name no ``SettingsObject``, though they have one (DMTF Redfish-Tacklebox #55, community.general #6433).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .odata import link, listed
from .registry import Value, is_true

#: What iLO 4 has beside its attributes.
_NOT_ATTRIBUTES = {
    "Actions",
    "Links",
    "Oem",
    "links",
    "Id",
    "Name",
    "Description",
    "Type",
    "Modified",
    "AttributeRegistry",
    "BaseConfig",
    "SettingsResult",
}
#: Where to look for pending settings when the BIOS gives no link to them.
USUAL_SETTINGS = ("Settings", "SD")
#: Manufacturers whose BMCs can refuse all settings, in lower case.
LOCKABLE = ("dell", "supermicro", "super micro")


def _inside(document: Any, *names: str) -> Any:
    """Return the value at a path of names; None where the path ends before."""
    for name in names:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def bios_of(system: Mapping[str, Any]) -> str:
    """Return the place of a system's BIOS; an empty text without one."""
    oem = _inside(system, "Oem", "Hp")
    places = (_inside(system, "Bios"), _inside(oem, "Links", "BIOS"), _inside(oem, "links", "BIOS"), _inside(oem, "BIOS"))
    return next(filter(None, map(link, places)), "")


def settings_of(bios: Mapping[str, Any]) -> str:
    """Return the place of a BIOS's pending settings; an empty text where it does not say it."""
    named = _inside(bios, "@Redfish.Settings", "SettingsObject")
    places = (named, _inside(bios, "Links", "Settings"), _inside(bios, "links", "Settings"))
    return next(filter(None, map(link, places)), "")


def is_flat(bios: Mapping[str, Any]) -> bool:
    """Return whether attributes are fields of the BIOS itself, as those of iLO 4 are."""
    kind = str(bios.get("@odata.type") or bios.get("Type") or "")
    return "Attributes" not in bios and "HpBios." in kind


def attributes_of(document: Mapping[str, Any], *, flat: bool, damaged: bool = False) -> dict[str, Value]:
    """Return attributes whose values are text, whole numbers or truths; others cannot be compared or set.

    ``damaged``: these too, without a value. An attribute that is there is not absent: no machine complies with a wanted one by such an answer.
    """
    found = document if flat else document.get("Attributes")
    if not isinstance(found, Mapping):
        return {}
    kept = {
        name: value if isinstance(value, (str, int)) else None for name, value in found.items() if damaged or _is_value(value)
    }
    return {name: value for name, value in kept.items() if not flat or _is_attribute(name)}


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, (str, int))


def _is_attribute(name: str) -> bool:
    return name not in _NOT_ATTRIBUTES and "@" not in name


def manager_of(system: Mapping[str, Any]) -> str:
    """Return the place of the system's manager."""
    return next(filter(None, map(link, listed(_inside(system, "Links", "ManagedBy")))), "")


def lock_of(manager: Mapping[str, Any]) -> str:
    """Return where a manager says whether the system is locked down; an empty text where it has no such place."""
    dell = map(link, listed(_inside(manager, "Links", "Oem", "Dell", "DellAttributes")))
    own = next((place for place in dell if "/idrac." in place.lower().rpartition("/dellattributes")[2]), "")
    return own or link(_inside(manager, "Oem", "Supermicro", "SysLockdown"))


def lockdown_in(document: Mapping[str, Any]) -> str:
    """Return the field that says that the system is locked down, and its value; an empty text where it is not."""
    for field, value in (
        ("Lockdown.1.SystemLockdown", _inside(document, "Attributes", "Lockdown.1.SystemLockdown")),
        ("SysLockdownEnabled", document.get("SysLockdownEnabled")),
    ):
        if is_true(value) or str(value).lower() == "enabled":
            return f"{field} is {value}"
    return ""
