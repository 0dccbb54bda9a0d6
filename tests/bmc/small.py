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


# -- machines that write their values in another way -------------------------------------------------


def displayed(name: str, shown: str, *pairs: tuple[object, str], **more) -> tuple[dict, str]:
    """An enumeration with names that are numbers, and the text for people that the machine shows."""
    values = [{"ValueName": value, "ValueDisplayName": text} for value, text in pairs]
    return {"AttributeName": name, "Type": "Enumeration", "Value": values, **more}, shown


def supermicro(names: type = str) -> dict[str, dict]:
    """As a Supermicro: values are numbers in the registry, texts for people in the BIOS; pending settings only while there are some."""
    switch, other = ("0", "Disable"), ("1", "Enable")
    made = [
        displayed("PowerTechnology_FF77", "Energy Efficient", switch, ("1", "Energy Efficient"), ("2", "Custom")),
        displayed("PackageCState_3D25", "Auto", ("0", "C0/C1 state"), ("2", "C6(non Retention) state"), ("255", "Auto")),
        displayed("EnhancedHaltState_C1E__3D23", "Enable", switch, other),
        displayed("PatrolScrub_3C41", "Enable at End of POST", ("0", "Disabled"), ("2", "Enable at End of POST")),
        displayed("SR_IOVSupport_0047", "Enabled", ("0", "Disabled"), ("1", "Enabled")),
        # the numbers say the opposite of what they look like
        displayed("Hyper_Threading_ALL__F27F", "Enable", ("0", "Enable"), ("1", "Disable")),
        displayed("DataBits_008E", "8", ("7", "7"), ("8", "8")),
    ]
    for entry, _shown in made:
        for value in entry["Value"]:
            value["ValueName"] = names(value["ValueName"])
    attributes = [entry for entry, _shown in made]
    attributes += [{"AttributeName": "QuietBoot_002E", "Type": "Boolean"}, {"AttributeName": "BootURI_2953", "Type": "String"}]
    locked = dependency("PackageCState_3D25", "GrayOut", True, "PowerTechnology_FF77", "NEQ", "Custom")
    document = {"Id": "BiosAttributeRegistry.1_0_0", "RegistryEntries": {"Attributes": attributes, "Dependencies": [locked]}}
    values = {entry["AttributeName"]: shown for entry, shown in made}
    made_tree = tree_of({**values, "QuietBoot_002E": False, "BootURI_2953": None}, document, manufacturer="Supermicro")
    bios = made_tree["/redfish/v1/Systems/1/Bios"]
    bios["AttributeRegistry"] = "BiosAttributeRegistry.v1_0_0"
    del bios["@Redfish.Settings"]["SupportedApplyTimes"], made_tree["/redfish/v1/Systems/1/Bios/Settings"]
    return moved(made_tree, "SD")


def numbered() -> dict[str, dict]:
    """Values are JSON numbers in the registry and in the BIOS."""
    values = {"ProcCStates": (1, {0: "Disabled", 1: "Enabled"}), "ProcC1E": (1, {0: "Disabled", 1: "Enabled"})}
    entries = [displayed(name, str(shown), *pairs.items())[0] for name, (shown, pairs) in values.items()]
    document = {"Id": "numbers", "RegistryEntries": {"Attributes": entries, "Dependencies": []}}
    return tree_of({name: shown for name, (shown, _pairs) in values.items()}, document, manufacturer="Whoever")


def moved(documents: dict[str, dict], name: str) -> dict[str, dict]:
    """Pending settings in another place, and none there yet."""
    path = f"/redfish/v1/Systems/1/Bios/{name}"
    documents["/redfish/v1/Systems/1/Bios"]["@Redfish.Settings"]["SettingsObject"] = {"@odata.id": path}
    documents[path] = {}
    return documents


def ilo4() -> dict[str, dict]:
    """As iLO 4: attributes are fields of the BIOS, links in Hp's own form, operators as signs."""
    system, bios = "/redfish/v1/Systems/1", "/redfish/v1/systems/1/bios/"
    settings, place = (
        "/rest/v1/systems/1/bios/Settings",
        "/redfish/v1/registrystore/registries/en/hpbiosattributeregistryp89.1.1.30/",
    )
    kind = {
        "@odata.type": "#HpBios.1.2.0.HpBios",
        "Type": "HpBios.1.2.0",
        "AttributeRegistry": "HpBiosAttributeRegistryP89.1.1.30",
    }
    values = {
        "MinProcIdlePower": "C6",
        "MinProcIdlePkgState": "C6Retention",
        "EnergyPerfBias": "BalancedPerf",
        "CollabPowerControl": "Enabled",
        "ProcVirtualization": "Enabled",
        "Sriov": "Enabled",
        "AsrTimeoutMinutes": "10",
        "VlanId": 0,
        "AdminPassword": None,
    }
    choices = {
        "MinProcIdlePower": ["C6", "C3", "C1E", "NoCStates"],
        "MinProcIdlePkgState": ["C6Retention", "C6NonRetention", "NoState"],
        "EnergyPerfBias": ["MaxPerf", "BalancedPerf"],
        **{name: ["Enabled", "Disabled"] for name in ("CollabPowerControl", "ProcVirtualization", "Sriov")},
        "AsrTimeoutMinutes": ["10", "15"],
    }
    entries = [
        {"Name": name, "Type": "Enumeration", "Value": [{"ValueName": one} for one in names]} for name, names in choices.items()
    ]
    locked = dependency("MinProcIdlePkgState", "ReadOnly", True, "MinProcIdlePower", "==", "C6")
    return {
        "/redfish/v1/Systems": {"Members": [{"@odata.id": system}]},
        system: {
            "Id": "1",
            "Manufacturer": "HPE",
            "Model": "ProLiant DL380 Gen9",
            "Oem": {"Hp": {"Links": {"BIOS": {"@odata.id": bios}}}},
        },
        bios: {
            **kind,
            **values,
            "SettingsResult": {"Messages": [{"MessageID": "Base.1.0:Success", "MessageArgs": []}]},
            "links": {"Settings": {"href": settings}, "self": {"href": "/rest/v1/systems/1/bios"}},
        },
        settings: {**kind, **values, "links": {"self": {"href": settings}}},
        "/redfish/v1/Registries": {"Members": [{"@odata.id": "/redfish/v1/Registries/HpBiosAttributeRegistryP89.1.1.30/"}]},
        "/redfish/v1/Registries/HpBiosAttributeRegistryP89.1.1.30/": {"Location": [{"Language": "en", "Uri": {"extref": place}}]},
        place: {"Id": "P89", "RegistryEntries": {"Attributes": entries, "Dependencies": [locked]}},
    }


def locked(maker: str = "Dell Inc.") -> dict[str, dict]:
    """In lockdown mode, which Dell shows in every attribute of the registry too."""
    made = tree()
    manager = "/redfish/v1/Managers/iDRAC.Embedded.1"
    made["/redfish/v1/Systems/1"] |= {"Manufacturer": maker, "Links": {"ManagedBy": [{"@odata.id": manager}]}}
    if maker != "Dell Inc.":
        place = f"{manager}/Oem/Supermicro/SysLockdown"
        return {
            **made,
            manager: {"Oem": {"Supermicro": {"SysLockdown": {"@odata.id": place}}}},
            place: {"SysLockdownEnabled": True},
        }
    for entry in made["/redfish/v1/Registries/BiosAttributeRegistry.1.json"]["RegistryEntries"]["Attributes"]:
        entry |= {"ReadOnly": True, "Immutable": True}
    own = [{"@odata.id": f"{manager}/Oem/Dell/DellAttributes/{name}"} for name in ("System.Embedded.1", "iDRAC.Embedded.1")]
    return {
        **made,
        manager: {"Links": {"Oem": {"Dell": {"DellAttributes": own}}}},
        own[1]["@odata.id"]: {"Attributes": {"Lockdown.1.SystemLockdown": "Enabled"}},
    }
