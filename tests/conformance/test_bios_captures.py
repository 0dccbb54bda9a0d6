# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware of real machines: captured BMCs behind a stand-in that behaves like one (see bmc/replay.py for what it cannot show)."""

from __future__ import annotations

import pytest
from bmc.captures import load, other, tree_of
from bmc.modules import apply_all, info, stage
from bmc.replay import Bmc, make_certificate

CAPTURES = ("dell", "hpe", "lenovo", "nvidia", "supermicro", "dmtf", "mx740c", "sushy", "zt", "ilo5")
#: Those that have attributes of a baseline and take settings.
SETTABLE = [name for name in CAPTURES if name != "zt"]


def ilo5() -> dict[str, dict]:
    """HPE's table of attributes and values of iLO 5, as a machine that has the first value of each."""
    attributes = other("hpe-ilo5-gen10-bios-attribute-values")["attributes"]
    entries = [
        {"AttributeName": name, "Type": "Enumeration", "Value": [{"ValueName": value} for value in entry["values"]]}
        for name, entry in attributes.items()
    ]
    registry = {"Id": "BiosAttributeRegistryU30", "RegistryEntries": {"Attributes": entries, "Dependencies": []}}
    return tree_of({name: entry["values"][0] for name, entry in attributes.items()}, registry, manufacturer="HPE")


def tree(name: str) -> dict[str, dict]:
    if name == "mx740c":
        return tree_of(other("dell-mx740c-bios-attributes")["Attributes"], manufacturer="Dell Inc.")
    if name == "sushy":
        document = other("sushy-bios")
        return tree_of(
            document["Attributes"], other("sushy-bios_attribute_registry"), pending=other("sushy-bios_settings")["Attributes"]
        )
    if name == "zt":
        return tree_of(other("sushy-bios_zt")["Attributes"], other("sushy-bios_attribute_registry_zthardware"), manufacturer="ZT")
    return ilo5() if name == "ilo5" else load(name)


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("bmc"))


@pytest.fixture(name="serve")
def _serve(certificate):
    running = []

    def serve(name):
        bmc = Bmc(tree(name), certificate)
        bmc.machine.only_sparse = name in ("dell", "dell_locked", "mx740c", "supermicro")
        running.append(bmc)
        return bmc

    yield serve
    for bmc in running:
        bmc.close()


def states(result, *wanted):
    return {one["attribute"]: one["wanted"] for one in result["attributes"] if one["state"] in wanted}


# -- what each machine is --------------------------------------------------------------------------


def test_the_tuned_dell_is_recognised(capsys, serve):
    """PowerEdge R750 with SysProfile=PerfOptimized: what that preset does not do is all that is missing."""
    result = info(capsys, serve("dell"))
    assert result["baseline"]["name"] == "dell_idrac9"
    assert result["registry"] == "BiosAttributeRegistry.v1_0_3"
    preset = next(one for one in result["attributes"] if one["attribute"] == "SysProfile")
    assert preset["note"].startswith("Dell's performance preset")
    # the preset itself changes only because the registry locks MemPatrolScrub under it
    assert states(result, "differs") == {
        "SysProfile": "Custom",
        "MemPatrolScrub": "Disabled",
        "CorrEccSmi": "Disabled",
        "ProcX2Apic": "Enabled",
    }
    fine = states(result, "ok")
    assert {"ProcCStates", "ProcC1E", "UncoreFrequency", "EnergyPerformanceBias", "ProcPwrPerf", "PcieAspmL1"} <= set(fine)
    assert (result["absent"], result["conflicts"], result["blocked"], result["foreign_pending"]) == ([], [], [], {})


def test_the_tuned_dell_keeps_its_preset_in_the_balanced_profile(capsys, serve):
    result = info(capsys, serve("dell"), profile="balanced")
    assert result["stages"] == [{"ProcX2Apic": "Enabled"}]
    assert states(result, "ok")["SysProfile"] == "PerfOptimized"


def test_dell_profile_lock(capsys, serve):
    """What SysProfile locks comes a reboot later, everything else with it."""
    result = info(capsys, serve("dell"))
    assert result["stages"] == [
        {"SysProfile": "Custom", "CorrEccSmi": "Disabled", "ProcX2Apic": "Enabled"},
        {"MemPatrolScrub": "Disabled"},
    ]
    assert result["reboots"] == 2


def test_dell_out_of_the_box(capsys, serve):
    """With Dell's power saving preset: Custom first, then all that it locked."""
    bmc = serve("dell")
    bmc.machine.bios["Attributes"].update(
        {"SysProfile": "PerfPerWattOptimizedDapc", "ProcPwrPerf": "SysDbpm", "ProcC1E": "Enabled", "ProcCStates": "Enabled"}
        | {"UncoreFrequency": "DynamicUFS", "EnergyPerformanceBias": "BalancedPerformance", "PcieAspmL1": "Enabled"}
    )
    first, second = info(capsys, bmc)["stages"]
    assert first["SysProfile"] == "Custom"
    assert set(second) == {
        *("ProcCStates", "ProcC1E", "UncoreFrequency", "ProcPwrPerf", "EnergyPerformanceBias", "MemPatrolScrub", "PcieAspmL1")
    }
    # the preset of the balanced profile brings them all, so that takes one reboot
    balanced = info(capsys, bmc, profile="balanced")
    assert balanced["stages"] == [{"SysProfile": "PerfOptimized", "ProcX2Apic": "Enabled"}]
    assert set(states(balanced, "comes")) == {"ProcC1E", "UncoreFrequency", "ProcPwrPerf", "EnergyPerformanceBias", "PcieAspmL1"}


def test_hpe_profile_lock(capsys, serve):
    """ProLiant DL385 Gen10 Plus v2: LowLatency would switch SR-IOV and I/O virtualization off, so it is Custom."""
    result = info(capsys, serve("hpe"))
    assert result["baseline"]["name"] == "hpe_ilo5_ilo6"
    assert result["stages"] == [
        {"WorkloadProfile": "Custom", "CStateEfficiencyMode": "Disabled", "MemPatrolScrubbing": "Disabled"},
        {
            "PowerRegulator": "StaticHighPerf",
            "MinProcIdlePower": "NoCStates",
            "DataFabricCStateEnable": "Disabled",
            "ApplicationPowerBoost": "Disabled",
            "InfinityFabricPstate": "P0",
        },
    ]
    assert {"ProcAmdIoVt": "Enabled", "Sriov": "Enabled"}.items() <= states(result, "ok").items()
    assert "UncoreFreqScaling" in result["absent"], "Intel's attributes are listed, not failed"


def test_hpe_balanced_profile_is_one_preset(capsys, serve):
    result = info(capsys, serve("hpe"), profile="balanced")
    assert result["stages"] == [{"WorkloadProfile": "Virtualization-MaxPerformance"}]
    assert {"PowerRegulator", "DataFabricCStateEnable"} <= set(states(result, "comes"))


def test_lenovo_needs_custom_mode_in_the_same_stage(capsys, serve):
    """XCC grays out what its preset governs, which DSP0268 lets be written together with the preset."""
    result = info(capsys, serve("lenovo"))
    assert result["reboots"] == 1
    assert next(iter(result["stages"][0])) == "OperatingModes_ChooseOperatingMode"
    assert {"Processors_CStates", "Processors_C1EnhancedMode", "Memory_PatrolScrub"} <= set(result["stages"][0])


def test_several_systems_of_which_one_has_a_bios(capsys, serve):
    result = info(capsys, serve("nvidia"))
    assert result["system"]["id"] == "DGX"
    assert result["stages"] == [{"PackageCState": "C0/C1 state"}]


def test_pending_settings_of_another_user_are_shown(capsys, serve):
    """DMTF's mockup has five: one of them is a wanted attribute, which is not ours to change then."""
    result = info(capsys, serve("dmtf"), turbo="off")
    assert result["foreign_pending"]["EmbeddedSata"] == "Ahci"
    assert any("no attribute registry" in note for note in result["notes"])
    assert states(result, "staged") == {"ProcTurboMode": "Disabled"}, "what waits already is as wanted"


def test_opaque_names_are_listed_as_absent(capsys, serve):
    bmc = serve("zt")
    result = info(capsys, bmc)
    assert result["baseline"]["name"] == "generic"
    assert (result["attributes"], result["state"], result["compliant"], result["stages"]) == ([], "unsupported", False, [])
    assert "ProcTurboMode" in result["absent"]
    failed = stage(capsys, bmc)
    assert failed["failed"], "an apply that can apply nothing says so"
    assert "none of the attributes of the baseline exists here" in failed["msg"]


def test_supermicro_shows_display_names(capsys, serve):
    """SYS-821GE-TNHR, BIOS 1.4: the registry's values are numbers, all 336 enumerations show the text for people."""
    bmc = serve("supermicro")
    result = info(capsys, bmc)
    assert (result["baseline"]["name"], result["state"]) == ("supermicro", "differs")
    assert "unsupported" not in {one["state"] for one in result["attributes"]}
    assert result["absent"] == []
    assert result["stages"] == [
        {
            "PackageCState_3D25": "C0/C1 state",
            "CPUC6Report_3D22": "Disable",
            "EnhancedHaltState_C1E__3D23": "Disable",
            "PatrolScrub_3C41": "Disabled",
        }
    ]


@pytest.mark.parametrize("intent", [{"smt": "single"}, {"numa": "2"}, {"numa": "4"}, {"numa": "1"}, {"turbo": "off"}], ids=str)
def test_supermicro_has_all_values_of_its_baseline(capsys, serve, intent):
    assert info(capsys, serve("supermicro"), **intent)["state"] == "differs"


def test_a_dell_in_lockdown_fails_its_apply(capsys, serve):
    """PowerEdge R750, BIOS 1.13.2: every attribute is read-only, and SysProfile immutable, while system lockdown is on."""
    bmc = serve("dell_locked")
    result = info(capsys, bmc)
    assert (result["state"], result["stages"]) == ("locked", [])
    assert result["outcome"] == "locked: the system is in lockdown mode (Lockdown.1.SystemLockdown is Enabled)"
    failed = stage(capsys, bmc)
    assert failed["failed"]
    assert "so its BMC refuses ProcCStates, ProcC1E" in failed["msg"]
    assert bmc.machine.patches == []


def test_intel_proliant(capsys, serve):
    result = info(capsys, serve("ilo5"))
    assert {
        "UncoreFreqScaling": "Maximum",
        "MinProcIdlePkgState": "NoState",
        "ProcessorJitterControl": "Auto-tuned",
    }.items() <= states(result, "differs").items()
    assert {one for one in states(result, "differs", "ok") if one.startswith("PciSlot")} == {
        f"PciSlot{n}Aspm" for n in range(1, 9)
    }


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("profile", ["latency", "balanced"])
def test_virtualization_is_never_switched_off(capsys, serve, name, profile):
    for one in info(capsys, serve(name), profile=profile)["attributes"]:
        if one["topic"] == "virtualization":
            assert one["wanted"] in ("Enabled", "Enable", "ForceEnabled", "Auto"), one


@pytest.mark.parametrize("name", CAPTURES)
def test_a_report_writes_nothing_and_is_cheap(capsys, serve, name):
    bmc = serve(name)
    result = info(capsys, bmc)
    assert (result["changed"], bmc.machine.patches) == (False, [])
    assert {method for method, _path in bmc.machine.requests} == {"GET"}
    assert (
        result["requests"] == len(bmc.machine.requests) <= (13 if name.startswith("dell") else 11)
    )  # a Dell tells of its lockdown apart
    for one in result["attributes"]:
        assert one["reason"]
        assert one["cost"]
        assert one["source"]


# -- apply, reset, read again ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTABLE)
@pytest.mark.parametrize("profile", ["latency", "balanced"])
@pytest.mark.parametrize("intent", [{}, {"smt": "single", "numa": "2", "turbo": "off"}], ids=["defaults", "single"])
def test_apply_reset_and_nothing_is_left(capsys, serve, name, profile, intent):
    bmc = serve(name)
    options = {"profile": profile, "without_registry": True, "overwrite_pending": True, **intent}
    predicted = stage(capsys, bmc, check=True, **options)
    assert bmc.machine.patches == []
    before = dict(bmc.machine.bios["Attributes"])

    written = apply_all(capsys, bmc, **options)
    waiting = states(predicted, "staged")
    planned = [{one: value for one, value in part.items() if one not in waiting} for part in predicted["stages"]]
    assert written == planned, "check mode predicted the exact attributes, stage by stage"
    assert [change["resource"] for change in predicted["changes"]] == [f"bios:{one}" for one in (written[0] if written else [])]
    assert bmc.machine.resets == predicted["reboots"]

    again = stage(capsys, bmc, **options)
    assert (again["changed"], again["stages"], again["changes"]) == (False, [], [])
    unsupported = states(again, "unsupported")
    assert (again["compliant"], again["state"]) == (not unsupported, "unsupported" if unsupported else "compliant"), again[
        "attributes"
    ]
    after = bmc.machine.bios["Attributes"]
    for one in predicted["attributes"]:
        if one["state"] != "unsupported":
            assert after[one["attribute"]] == one["wanted"]

    # the rollback is exact for what was written
    undo = {"profile": "none", "overrides": predicted["rollback"], "without_registry": True, "overwrite_pending": True}
    result = info(capsys, bmc, profile="none", overrides=predicted["rollback"])
    if not result["blocked"]:
        apply_all(capsys, bmc, **undo)
        assert {one: bmc.machine.bios["Attributes"][one] for one in predicted["rollback"]} == predicted["rollback"]
        assert {one: before[one] for one in predicted["rollback"]} == predicted["rollback"]


@pytest.mark.parametrize("name", ["dell", "hpe", "lenovo"])
def test_only_what_differs_is_written_with_etag_and_apply_time(capsys, serve, name):
    bmc = serve(name)
    stage(capsys, bmc)
    (body,) = bmc.machine.patches
    assert all(bmc.machine.bios["Attributes"][one] != value for one, value in body["Attributes"].items())
    # the stand-in refuses a PATCH without If-Match; HPE's BIOS asks for no apply time
    assert body.get("@Redfish.SettingsApplyTime") == (None if name == "hpe" else {"ApplyTime": "OnReset"})


def test_a_run_that_ended_before_the_reboot_is_taken_up(capsys, serve):
    bmc = serve("hpe")
    stage(capsys, bmc)
    result = stage(capsys, bmc)
    assert (result["changed"], result["reboot_required"]) == (False, True)
    assert states(result, "staged") == {
        "WorkloadProfile": "Custom",
        "CStateEfficiencyMode": "Disabled",
        "MemPatrolScrubbing": "Disabled",
    }


def test_what_did_not_take_is_named(capsys, serve):
    bmc = serve("dell")
    bmc.machine.ignore = {"CorrEccSmi"}
    staged = stage(capsys, bmc)["stages"][0]
    bmc.machine.reset()
    result = info(capsys, bmc, expect=staged)
    assert result["not_taken"] == ["CorrEccSmi"]
    assert result["bmc_messages"] == ["The BIOS did not apply CorrEccSmi."]


def test_suffixes_of_a_build_are_matched_and_reported(capsys, certificate):
    """Supermicro's names of a SYS-821GE, on a made machine, as there is no whole capture of one."""
    names = {"PackageCState_3D25": "C6(Retention) state", "EnhancedHaltState_C1E__3D23": "Enable", "PatrolScrub_3C6A": "Enable"}
    values = {"PackageCState_3D25": ["C0/C1 state", "C6(Retention) state"]}
    entries = [
        {
            "AttributeName": name,
            "Type": "Enumeration",
            "Value": [{"ValueName": one} for one in values.get(name, ["Disable", "Enable"])],
        }
        for name in names
    ]
    registry = {"Id": "made", "RegistryEntries": {"Attributes": entries}}
    bmc = Bmc(tree_of(dict(names), registry, manufacturer="Supermicro"), certificate)
    try:
        result = info(capsys, bmc, overrides={"PatrolScrub": None})
        assert result["stages"] == [{"PackageCState_3D25": "C0/C1 state", "EnhancedHaltState_C1E__3D23": "Disable"}]
        shown = {one["attribute"]: one["baseline_name"] for one in result["attributes"]}
        assert shown == {"PackageCState_3D25": "PackageCState", "EnhancedHaltState_C1E__3D23": "EnhancedHaltState_C1E"}
    finally:
        bmc.close()
