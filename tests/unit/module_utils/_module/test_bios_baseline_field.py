# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BMCs that do not speak as DMTF's documents have it, each as a public report describes it (bmc/dialects.py, bmc/small.py)."""

from __future__ import annotations

import copy
import gzip
import json

import pytest
from bmc import replay
from bmc.dialects import ETAGS
from bmc.modules import apply_all, info, stage
from bmc.replay import Bmc, make_certificate
from bmc.small import ilo4, locked, moved, numbered, supermicro, tree

SETTINGS = "/redfish/v1/Systems/1/Bios/Settings"
#: BMCs that compare nothing cannot tell that somebody else was there.
BLIND = ("none", "empty")


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("bmc"))


@pytest.fixture(name="serve")
def _serve(certificate):
    running = []

    def serve(documents):
        running.append(Bmc(copy.deepcopy(documents), certificate))
        return running[-1]

    yield serve
    for bmc in running:
        bmc.close()


def states(result):
    return {one["attribute"]: one["state"] for one in result["attributes"]}


# -- ETags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ETAGS)
def test_settings_are_staged_whatever_a_bmc_does_with_etags(capsys, serve, name):
    bmc = serve(tree())
    bmc.machine.etags = ETAGS[name]
    result = stage(capsys, bmc)
    assert not result.get("failed"), (result["msg"], bmc.machine.matches)
    assert bmc.machine.pending == {"SysProfile": "Custom", "CorrEccSmi": "Disabled"}
    assert len(bmc.machine.patches) == 1, "a refused PATCH has changed nothing"
    assert len(bmc.machine.matches) <= 7
    again = stage(capsys, bmc)
    assert (again["changed"], again.get("failed")) == (False, None)


@pytest.mark.parametrize("name", [name for name in ETAGS if name not in BLIND])
@pytest.mark.parametrize("values", [{"NumLock": False}, {"CorrEccSmi": "Disabled"}], ids=["another", "the same"])
def test_the_settings_of_another_user_are_never_written_over(capsys, serve, name, values):
    """Somebody stages something between the look and the PATCH, which no form of the ETag may hide."""
    bmc = serve(tree())
    bmc.machine.etags = ETAGS[name]
    served = bmc.machine.get

    def get(path):
        document = served(path)
        if bmc.machine.key(path).endswith("registry.1.json"):
            document = copy.deepcopy(document)
            bmc.machine.stage(**values)
        return document

    bmc.machine.get = get
    result = stage(capsys, bmc)
    assert result["failed"]
    assert "was changed meanwhile (HTTP 412); run again" in result["msg"]
    assert (bmc.machine.pending, bmc.machine.patches) == (values, [])


def test_a_bmc_that_takes_no_form_is_told_so(capsys, serve, monkeypatch):
    bmc = serve(tree())
    monkeypatch.setattr(type(bmc.machine.etags), "verdict", lambda *_arguments: 412)
    result = stage(capsys, bmc)
    assert result["failed"]
    assert (
        "with its own ETag in every form and without one, though nothing has changed there (HTTP 412); update its firmware"
        in result["msg"]
    )
    assert bmc.machine.patches == []


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [str, int], ids=["text", "numbers"])
def test_display_names_are_read_and_written(capsys, serve, names):
    bmc = serve(supermicro(names))
    bmc.machine.only_sparse = True
    first = info(capsys, bmc)
    assert (first["state"], first["baseline"]["name"]) == ("differs", "supermicro")
    assert "unsupported" not in states(first).values()
    predicted = stage(capsys, bmc, check=True)
    written = apply_all(capsys, bmc)
    assert (
        written
        == predicted["stages"]
        == [
            {
                "PowerTechnology_FF77": "Custom",
                "PackageCState_3D25": "C0/C1 state",
                "EnhancedHaltState_C1E__3D23": "Disable",
                "PatrolScrub_3C41": "Disabled",
            }
        ]
    )
    again = stage(capsys, bmc)
    assert (again["changed"], again["state"], again["compliant"], again["stages"]) == (False, "compliant", True, [])
    # the recorded values restore exactly
    apply_all(capsys, bmc, profile="none", overrides=predicted["rollback"])
    assert {one: bmc.machine.attributes[one] for one in predicted["rollback"]} == predicted["rollback"]


@pytest.mark.parametrize("value", ["Disable", "1", 1])
def test_an_override_may_use_either_name(capsys, serve, value):
    """The registry's 1 is Disable for Hyper-Threading: numbers are names, not truths."""
    bmc = serve(supermicro())
    result = stage(capsys, bmc, profile="none", overrides={"Hyper_Threading_ALL__F27F": value})
    assert result["stages"] == [{"Hyper_Threading_ALL__F27F": "Disable"}]


@pytest.mark.parametrize("value", ["Off", 2, True])
def test_a_value_in_neither_form_is_refused_with_those_that_exist(capsys, serve, value):
    bmc = serve(supermicro())
    result = info(capsys, bmc, profile="none", overrides={"Hyper_Threading_ALL__F27F": value})
    assert result["failed"]
    assert "Enable, Disable" in result["msg"]


def test_pending_settings_by_the_registrys_names_are_the_same_values(capsys, serve):
    bmc = serve(supermicro())
    bmc.machine.stage(PatrolScrub_3C41="0", DataBits_008E="8", EnhancedHaltState_C1E__3D23="1")
    result = info(capsys, bmc)
    assert states(result)["PatrolScrub_3C41"] == "staged"
    assert result["foreign_pending"] == {}


def test_numbers_as_values(capsys, serve):
    bmc = serve(numbered())
    written = apply_all(capsys, bmc)
    assert written == [{"ProcCStates": 0, "ProcC1E": 0}]
    assert all(isinstance(value, int) and not isinstance(value, bool) for value in written[0].values())
    again = stage(capsys, bmc)
    assert (again["changed"], again["compliant"]) == (False, True)


@pytest.mark.parametrize("value", [120, "120"])
def test_numbers_that_a_machine_writes_as_text(capsys, serve, value):
    bmc = serve(tree())
    bmc.machine.attributes.update(AcPwrRcvryUserDelay="60", NumLock="True")
    result = stage(capsys, bmc, profile="none", overrides={"AcPwrRcvryUserDelay": value, "NumLock": False})
    assert result["stages"] == [{"AcPwrRcvryUserDelay": "120", "NumLock": "False"}]
    bmc.machine.reset()
    assert info(capsys, bmc, profile="none", overrides={"AcPwrRcvryUserDelay": value, "NumLock": False})["compliant"]
    refused = info(capsys, bmc, profile="none", overrides={"AcPwrRcvryUserDelay": "900"})
    assert "AcPwrRcvryUserDelay is 900, but the registry allows from 60 to 240" in refused["msg"]


# -- what does not exist ---------------------------------------------------------------------------


def test_a_value_that_the_machine_lacks_is_never_compliant(capsys, serve):
    bmc = serve(tree())
    entry = bmc.machine.entry("MemPatrolScrub")
    entry["Value"] = [{"ValueName": "Standard"}]
    apply_all(capsys, bmc)
    result = stage(capsys, bmc)
    assert (result["state"], result["compliant"], result["changed"]) == ("unsupported", False, False)
    assert result["outcome"] == "unsupported: MemPatrolScrub (the registry has none of Disabled; it has Standard)"
    assert result["table"][-2:] == ["nothing can be set", f"state: {result['outcome']}"]
    assert [one["attribute"] for one in result["summary"]["differences"]] == ["MemPatrolScrub"]
    assert "MemPatrolScrub is not as wanted: the registry has none of Disabled; it has Standard" in result["notes"]
    assert stage(capsys, bmc, overrides={"MemPatrolScrub": None})["compliant"]


def test_an_override_that_the_machine_lacks_is_never_compliant(capsys, serve):
    bmc = serve(tree())
    apply_all(capsys, bmc)
    result = info(capsys, bmc, overrides={"Nothing": "x"})
    assert (result["state"], result["outcome"]) == ("unsupported", "unsupported: Nothing (not on this machine)")
    assert info(capsys, bmc, overrides={"Nothing": None})["state"] == "compliant"


def test_a_machine_with_no_attribute_of_the_baseline_is_not_compared(capsys, serve):
    bmc = serve(tree())
    bmc.machine.bios["Attributes"] = {"CRCS005": "Enable"}
    result = info(capsys, bmc)
    assert (result["state"], result["compliant"]) == ("unsupported", False)
    assert "this machine has no attribute of the baseline, so its firmware was not compared" in result["notes"]
    failed = stage(capsys, bmc)
    assert failed["failed"]
    assert "bios_apply: unsupported: none of the attributes of the baseline exists here; nothing can be applied" in failed["msg"]
    assert info(capsys, bmc, profile="none")["compliant"], "where nothing is wanted, nothing is missing"


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maker", "field"), [("Dell Inc.", "Lockdown.1.SystemLockdown is Enabled"), ("Supermicro", "SysLockdownEnabled is True")]
)
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("without_locked", [True, False])
def test_a_machine_in_lockdown_fails_its_apply(capsys, serve, maker, field, check, without_locked):
    bmc = serve(locked(maker))
    more = {"baseline": "dell_idrac9"}
    report = info(capsys, bmc, **more)
    assert (report["state"], report["compliant"], report["stages"]) == ("locked", False, [])
    assert report["outcome"] == f"locked: the system is in lockdown mode ({field})"
    assert set(report["blocked"]) == {"ProcCStates", "ProcC1E", "MemPatrolScrub", "CorrEccSmi"}
    failed = stage(capsys, bmc, check=check, without_locked=without_locked, **more)
    assert failed["failed"]
    assert failed["msg"].startswith(
        f"bios_apply: the system is in lockdown mode ({field}), so its BMC refuses ProcCStates, ProcC1E"
    )
    assert (
        "Switch the lockdown off in the BMC (iDRAC: Dashboard, More Actions, Turn off System Lockdown Mode, or racadm set"
        in failed["msg"]
    )
    assert bmc.machine.patches == []
    # as wanted already: nothing to apply, so nothing to refuse
    bmc.machine.attributes.update(ProcCStates="Disabled", ProcC1E="Disabled", MemPatrolScrub="Disabled", CorrEccSmi="Disabled")
    assert not stage(capsys, bmc, check=check, **more).get("failed")


def test_a_dell_whose_lockdown_cannot_be_read_is_recognised_by_its_registry(capsys, serve):
    bmc = serve({path: document for path, document in locked().items() if "DellAttributes" not in path})
    result = stage(capsys, bmc)
    assert result["failed"]
    assert (
        "bios_without_locked: 4 of the wanted settings cannot be set (ProcCStates: locked: the registry has Immutable"
        in result["msg"]
    )
    assert "an iDRAC reports Immutable for all settings while its system lockdown is on" in result["msg"]


def test_a_lockdown_that_only_the_refusal_tells(capsys, serve):
    bmc = serve(tree())
    bmc.machine.lockdown = "Unable to start the configuration operation because the System Lockdown mode is enabled."
    result = stage(capsys, bmc)
    assert result["failed"]
    assert "System Lockdown mode is enabled" in result["msg"]
    assert "Switch the lockdown off in the BMC" in result["msg"]
    assert bmc.machine.patches == []


def test_one_lock_refuses_all_unless_the_rest_is_wanted(capsys, serve):
    bmc = serve(tree())
    bmc.machine.entry("CorrEccSmi")["ReadOnly"] = True
    refused = stage(capsys, bmc)
    assert refused["failed"]
    assert (
        "bios_without_locked: 1 of the wanted settings cannot be set (CorrEccSmi: locked: the registry has ReadOnly); nothing was changed"
        in refused["msg"]
    )
    assert bmc.machine.patches == []
    apply_all(capsys, bmc, without_locked=True)
    rest = stage(capsys, bmc, without_locked=True)
    assert (rest["changed"], rest["state"], rest["outcome"]) == (False, "locked", "locked: CorrEccSmi")
    assert stage(capsys, bmc, overrides={"CorrEccSmi": None})["state"] == "compliant"


# -- shapes ----------------------------------------------------------------------------------------


def test_ilo_4_keeps_attributes_in_the_bios_itself(capsys, serve):
    bmc = serve(ilo4())
    result = info(capsys, bmc)
    assert (result["system"]["model"], result["baseline"]["name"]) == ("ProLiant DL380 Gen9", "hpe_ilo5_ilo6")
    assert result["foreign_pending"] == {}
    for _round in range(2):
        assert stage(capsys, bmc)["reboot_required"]
        bmc.machine.reset()
    result = stage(capsys, bmc)
    assert bmc.machine.patches == [
        {"MinProcIdlePower": "NoCStates", "EnergyPerfBias": "MaxPerf", "CollabPowerControl": "Disabled"},
        {"MinProcIdlePkgState": "NoState"},
    ]
    assert (result["changed"], result["compliant"]) == (False, True)


@pytest.mark.parametrize("name", ["Settings", "SD"])
@pytest.mark.parametrize(
    "block", [None, {"ETag": "Dummyetag", "Messages": [{"MessageId": "Base.1.0.SettingsFailed"}]}], ids=["none", "MegaRAC"]
)
def test_settings_that_the_bios_does_not_name(capsys, serve, name, block):
    documents = moved(tree(), name)
    del documents["/redfish/v1/Systems/1/Bios"]["@Redfish.Settings"]
    if block:
        documents["/redfish/v1/Systems/1/Bios"]["@Redfish.Settings"] = block
    if name == "SD":
        del documents[SETTINGS]
    bmc = serve(documents)
    if name == "Settings":
        bmc.machine.bios["links"] = {"Settings": {"href": SETTINGS}}  # for the stand-in itself
    result = stage(capsys, bmc)
    assert bmc.machine.pending == {"SysProfile": "Custom", "CorrEccSmi": "Disabled"}, result


@pytest.mark.parametrize("name", ["Settings", "SD"])
def test_settings_that_exist_only_while_something_waits(capsys, serve, name):
    bmc = serve(moved(tree(), name))
    bmc.machine.hidden_settings = bmc.machine.only_sparse = True
    bmc.machine.etags = ETAGS["none"]  # of nothing
    assert info(capsys, bmc)["foreign_pending"] == {}
    assert len(apply_all(capsys, bmc)) == 2
    assert stage(capsys, bmc)["compliant"]


def test_settings_that_cannot_be_read_back(capsys, serve, monkeypatch):
    bmc = serve(moved(tree(), "SD"))
    bmc.machine.etags = ETAGS["none"]
    served = bmc.machine.get
    monkeypatch.setattr(bmc.machine, "get", lambda path: None if path.endswith("/SD") else served(path))
    result = stage(capsys, bmc)
    assert result["failed"]
    assert "has taken the values of SysProfile, CorrEccSmi, but does not let its pending settings be read" in result["msg"]


def test_a_registry_that_is_given_only_compressed(capsys, serve):
    bmc = serve(tree())
    bmc.machine.no_identity = {"/redfish/v1/registries/biosattributeregistry.1.json"}
    assert info(capsys, bmc)["registry"] == "BiosAttributeRegistry.small"


@pytest.mark.parametrize(
    "content",
    [b"no gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03garbage", gzip.compress(b"{}" * 99, mtime=0)[:-12]],
    ids=["none", "garbage", "cut"],
)
def test_an_answer_whose_compression_is_damaged(capsys, serve, monkeypatch, content):
    bmc = serve(tree())
    bmc.machine.no_identity = {"/redfish/v1/systems"}
    monkeypatch.setattr(replay.gzip, "compress", lambda _content: content)
    result = info(capsys, bmc)
    assert result["failed"]
    assert "cut its answer to /redfish/v1/Systems short" in result["msg"]
    assert "try again, or restart the BMC" in result["msg"]


def test_a_bmc_that_says_in_words_alone_that_it_is_not_ready(capsys, serve):
    bmc = serve(tree())
    bmc.machine.unready = 1
    assert stage(capsys, bmc)["changed"]
    assert len(bmc.machine.patches) == 1
    bmc.machine.reset()
    bmc.machine.unready = 1000
    failed = stage(capsys, bmc, wait=2)
    assert (
        "is busy (HTTP 400 for /redfish/v1/Systems/1/Bios/Settings): The operation was not successful due to the current system state"
        in failed["msg"]
    )


def test_an_idrac_that_lists_no_apply_time_is_asked_for_the_next_reset(capsys, serve):
    bmc = serve(tree())
    del bmc.machine.bios["@Redfish.Settings"]["SupportedApplyTimes"]
    stage(capsys, bmc)
    assert bmc.machine.patches[0]["@Redfish.SettingsApplyTime"] == {"ApplyTime": "OnReset"}


def test_names_with_a_hash_are_found(capsys, serve):
    bmc = serve(json.loads(json.dumps(supermicro()).replace("PatrolScrub_3C41", "PatrolScrub#3C41")))
    assert info(capsys, bmc)["stages"][0]["PatrolScrub#3C41"] == "Disabled"


# -- former values ---------------------------------------------------------------------------------


def test_recorded_values_are_restored_exactly(capsys, serve):
    bmc = serve(tree())
    before, record = dict(bmc.machine.attributes), {}
    overrides = {"NumLock": False}
    while (result := stage(capsys, bmc, overrides=overrides))["reboot_required"]:
        record = {**result["former"], **record}
        bmc.machine.reset()
    assert record == {
        name: before[name] for name in ("SysProfile", "CorrEccSmi", "NumLock", "ProcCStates", "ProcC1E", "MemPatrolScrub")
    }
    predicted = stage(capsys, bmc, check=True, restore=record, overrides=overrides)
    assert predicted["state"] == "differs"
    apply_all(capsys, bmc, restore=record, overrides=overrides)
    assert bmc.machine.attributes == before
    again = stage(capsys, bmc, restore=record, overrides=overrides)
    assert (again["changed"], again["compliant"]) == (False, True)
    assert {one["origin"] for one in again["attributes"]} == {"record"}


def test_a_record_sets_nothing_but_what_baseline_and_overrides_name(capsys, serve):
    """A node's root can write what it likes into its record."""
    bmc = serve(tree())
    record = {
        "AssetTag": "owned",
        "SetupPassword": "owned",
        "SriovGlobalEnable": "Disabled",
        "CorrEccSmi": "Owned",
        "Gone": 1,
        "ProcC1E": "Enabled",
    }
    result = stage(capsys, bmc, restore=record)
    assert (result["changed"], bmc.machine.patches) == (False, [])
    assert result["unnamed"] == ["AssetTag", "SetupPassword", "Gone"]
    assert states(result) == {"SriovGlobalEnable": "unsupported", "CorrEccSmi": "unsupported", "ProcC1E": "ok"}
    assert result["state"] == "unsupported"
    named = stage(capsys, bmc, restore={"AssetTag": "owned"}, overrides={"AssetTag": "mine"})
    assert named["stages"] == [{"AssetTag": "owned"}]


def test_an_empty_record_restores_nothing(capsys, serve):
    result = stage(capsys, serve(tree()), restore={})
    assert (result["changed"], result["stages"], result["compliant"]) == (False, [], True)


def test_what_is_locked_now_keeps_no_other_from_being_restored(capsys, serve):
    bmc = serve(tree())
    bmc.machine.entry("CorrEccSmi")["ReadOnly"] = True
    bmc.machine.attributes["CorrEccSmi"] = "Disabled"
    result = stage(capsys, bmc, restore={"CorrEccSmi": "Enabled", "SysProfile": "PerfOptimized"}, without_locked=True)
    assert result["stages"] == [{"SysProfile": "PerfOptimized"}]
    assert result["blocked"] == ["CorrEccSmi"]
