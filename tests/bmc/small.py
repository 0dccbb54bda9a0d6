# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small machine with a BIOS of its own making, for tests that need no capture."""

from __future__ import annotations

from .captures import tree_of

#: As iDRAC has it: the profile locks what it governs, and sets it.
ATTRIBUTES = {
    "SysProfile": "PerfPerWattOptimizedDapc",
    "ProcCStates": "Enabled",
    "ProcC1E": "Enabled",
    "MemPatrolScrub": "Standard",
    "LogicalProc": "Enabled",
    "SriovGlobalEnable": "Enabled",
    "ProcTurboMode": "Enabled",
    "CorrEccSmi": "Enabled",
    "AcPwrRcvryUserDelay": 60,
    "NumLock": True,
    "AssetTag": "",
    "SetupPassword": None,
}
LOCKED = ("ProcCStates", "ProcC1E", "MemPatrolScrub", "ProcTurboMode")


def enumeration(name: str, values: list[str], **more) -> dict:
    return {"AttributeName": name, "Type": "Enumeration", "Value": [{"ValueName": value} for value in values], **more}


def dependency(target: str, prop: str, value: object, source: str, condition: str, other: str) -> dict:
    source_ = {
        "MapFromAttribute": source,
        "MapFromProperty": "CurrentValue",
        "MapFromCondition": condition,
        "MapFromValue": other,
    }
    return {
        "Type": "Map",
        "DependencyFor": target,
        "Dependency": {"MapFrom": [source_], "MapToAttribute": target, "MapToProperty": prop, "MapToValue": value},
    }


def registry() -> dict:
    switch = ["Enabled", "Disabled"]
    attributes = [
        enumeration("SysProfile", ["PerfPerWattOptimizedDapc", "PerfOptimized", "Custom"]),
        enumeration("ProcCStates", switch, ReadOnly=True),
        enumeration("ProcC1E", switch, ReadOnly=True),
        enumeration("MemPatrolScrub", ["Standard", "Extended", "Disabled"], ReadOnly=True),
        enumeration("ProcTurboMode", switch, ReadOnly=True),
        *(enumeration(name, switch) for name in ("LogicalProc", "SriovGlobalEnable", "CorrEccSmi")),
        {"AttributeName": "AcPwrRcvryUserDelay", "Type": "Integer", "LowerBound": 60, "UpperBound": 240},
        {"AttributeName": "NumLock", "Type": "Boolean"},
        {"AttributeName": "AssetTag", "Type": "String", "MaxLength": 8},
        {"AttributeName": "SetupPassword", "Type": "Password"},
    ]
    dependencies = [dependency(name, "ReadOnly", True, "SysProfile", "NEQ", "Custom") for name in LOCKED]
    dependencies += [
        dependency(name, "CurrentValue", "Disabled", "SysProfile", "EQU", "PerfOptimized") for name in ("ProcCStates", "ProcC1E")
    ]
    return {"Id": "BiosAttributeRegistry.small", "RegistryEntries": {"Attributes": attributes, "Dependencies": dependencies}}


def tree(**more) -> dict[str, dict]:
    return tree_of(dict(ATTRIBUTES), registry(), manufacturer="Dell Inc.", **more)
