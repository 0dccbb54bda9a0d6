# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BIOS modules on BMCs that misbehave, and on bad input. The BMC is a stand-in (bmc/replay.py)."""

from __future__ import annotations

import base64
import re

import pytest
from bmc.modules import apply_all, info, stage
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import ATTRIBUTES, tree

SYSTEM = "/redfish/v1/Systems/1"


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bmc")


@pytest.fixture(name="bmc")
def _bmc(folder):
    bmc = Bmc(tree(), make_certificate(folder))
    yield bmc
    assert bmc.machine.resets == 0 or bmc.machine.patches
    bmc.close()


def refuse(capsys, bmc, words, run=stage, **arguments):
    """The module fails with these words and has written nothing."""
    result = run(capsys, bmc, **arguments)
    assert result.get("failed"), result
    assert re.search(words, result["msg"]), result["msg"]
    assert result["changed"] is False
    assert not bmc.machine.pending
    return result


# -- a BMC that cannot be talked to ----------------------------------------------------------------


def test_wrong_credentials(capsys, bmc):
    refuse(
        capsys,
        bmc,
        r"refuses the credentials \(HTTP 401\); see bios_username and bios_password",
        run=info,
        password="wrong-password",
    )
    assert len(bmc.machine.requests) == 1, "a BMC locks accounts after some tries"


def test_expired_certificate(capsys, folder):
    bmc = Bmc(tree(), make_certificate(folder, days=-1))
    try:
        refuse(
            capsys,
            bmc,
            "certificate .* cannot be trusted: certificate has expired; renew it, .*bios_ca_file.*bios_validate_certs",
            run=info,
        )
        assert bmc.machine.requests == [], "not even the credentials were sent"
        assert info(capsys, bmc, validate_certs=False)["system"]["id"] == "1"
    finally:
        bmc.close()


def test_unknown_certificate_is_refused_by_default(capsys, bmc):
    refuse(capsys, bmc, "self-signed certificate.*bios_ca_file", run=info, ca_path=...)
    assert bmc.machine.requests == []


def test_missing_ca_file(capsys, bmc):
    refuse(capsys, bmc, "/nowhere/ca.pem|No such file", run=info, ca_path="/nowhere/ca.pem")


def test_slow_answers(capsys, bmc):
    bmc.machine.delay = 3
    refuse(capsys, bmc, r"did not answer within 1 s; see bios_timeout", run=info, timeout=1)
    bmc.machine.delay = 0.2
    assert info(capsys, bmc, timeout=20)["reboots"] == 2


def test_nobody_listens(capsys, bmc):
    refuse(capsys, bmc, "cannot be reached: .*refused.*bios_address", run=info, address="127.0.0.1:1")


def test_no_such_name(capsys, bmc):
    refuse(capsys, bmc, "bmc.invalid (has no address|cannot be reached)", run=info, address="bmc.invalid")


def test_busy_in_the_middle(capsys, bmc):
    bmc.machine.busy = 2
    assert info(capsys, bmc)["reboots"] == 2


def test_busy_for_ever(capsys, bmc):
    bmc.machine.busy = 1000
    refuse(
        capsys, bmc, r"busy \(HTTP 503 .*The service is starting.*; requests were repeated for \d s\. Try again", run=info, wait=2
    )


@pytest.mark.parametrize(
    "path",
    ["/redfish/v1/systems", f"{SYSTEM}/Bios", f"{SYSTEM}/Bios/Settings", "/redfish/v1/Registries/BiosAttributeRegistry.1.json"],
)
def test_truncated_body(capsys, bmc, path):
    bmc.machine.truncate = {path.lower()}
    refuse(capsys, bmc, "(short|damaged).*try again, or restart the BMC", run=info)


def test_damaged_once_is_asked_again(capsys, bmc):
    bmc.machine.truncate = {"/redfish/v1/systems"}
    served = bmc.machine.get

    def get(path):
        if len(bmc.machine.requests) > 1:
            bmc.machine.truncate = set()
        return served(path)

    bmc.machine.get = get
    assert info(capsys, bmc)["reboots"] == 2


@pytest.mark.parametrize("path", ["/redfish/v1/systems", f"{SYSTEM}/Bios", f"{SYSTEM}/Bios/Settings"])
def test_html(capsys, bmc, path):
    bmc.machine.html = {path.lower()}
    refuse(capsys, bmc, "HTML instead of JSON; is this the address of the BMC", run=info)


def test_credentials_follow_no_redirect(capsys, bmc):
    other = Bmc(tree(), bmc.certificate)
    try:
        bmc.machine.redirect = f"https://{other.address}/redfish/v1/Systems"
        refuse(capsys, bmc, "points to another address, .*which does not get the credentials", run=info)
        assert other.machine.requests == []
    finally:
        other.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://operator:pw@bmc1", "bios_address: give user and password in"),
        ("ftp://bmc1", "bios_address: .* is no address"),
        ("https://", "bios_address: .* is no address"),
        ("http://bmc1", "bios_address: http sends the password in the clear"),
    ],
)
def test_bad_addresses(capsys, bmc, address, words):
    refuse(capsys, bmc, words, run=info, address=address)


# -- a BMC that lacks something --------------------------------------------------------------------


def without_registry(bmc):
    bmc.machine.tree = {path: document for path, document in bmc.machine.tree.items() if "biosattributeregistry" not in path}
    bmc.machine.find("/registries")["Members"] = []


def test_no_registry(capsys, bmc):
    without_registry(bmc)
    result = info(capsys, bmc)
    assert any(
        "no attribute registry 'BiosAttributeRegistry.1', so allowed values and locks are unknown" in note
        for note in result["notes"]
    )
    assert result["stages"][0] == {"SysProfile": "Custom"}, "what locks is unknown, so the preset comes first"
    refuse(capsys, bmc, "bios_without_registry: without an attribute registry the values and the order")
    assert stage(capsys, bmc, without_registry=True)["changed"] is True


def test_no_settings_object(capsys, bmc):
    del bmc.machine.tree[bmc.machine.settings_path], bmc.machine.bios["@Redfish.Settings"]
    result = info(capsys, bmc)
    assert result["notes"] == ["the BMC names no settings object (@Redfish.Settings), so its BIOS cannot be set"]
    failed = stage(capsys, bmc)
    assert failed["failed"]
    assert "names no settings object" in failed["msg"]
    assert bmc.machine.patches == []


def test_no_bios(capsys, bmc):
    del bmc.machine.find("/systems/1")["Bios"]
    result = info(capsys, bmc)
    assert result["failed"]
    assert "has no Bios for system 1" in result["msg"]


def test_apply_time_that_no_reboot_applies(capsys, bmc):
    bmc.machine.bios["@Redfish.Settings"]["SupportedApplyTimes"] = ["AtMaintenanceWindowStart"]
    refuse(capsys, bmc, "applies BIOS settings only AtMaintenanceWindowStart, not at the next reset")


def test_several_systems(capsys, bmc):
    more = tree()
    for path, document in more.items():
        if "/Systems/1" in path:
            text = path.replace("/Systems/1", "/Systems/2")
            bmc.machine.tree[bmc.machine.key(text)] = document
    bmc.machine.find("/redfish/v1/systems")["Members"].append({"@odata.id": "/redfish/v1/Systems/2"})
    refuse(capsys, bmc, r"bios_system: .* has several systems \(1, 2\); name one of them", run=info)
    refuse(capsys, bmc, r"bios_system: .* has no system 'x'; it has 1, 2", run=info, system="x")
    assert info(capsys, bmc, system="2")["system"]["id"] == "2"


# -- a BMC that refuses ----------------------------------------------------------------------------


def test_one_attribute_of_many_is_refused(capsys, bmc):
    bmc.machine.refuse = {"CorrEccSmi": "CorrEccSmi cannot be set while the memory is mirrored."}
    result = refuse(
        capsys,
        bmc,
        "has not accepted SysProfile, CorrEccSmi: CorrEccSmi cannot be set while the memory is mirrored. Staged for the next reboot: none",
    )
    assert result["changes"] == []


def test_half_of_it_is_taken(capsys, bmc):
    bmc.machine.refuse_partly = {"CorrEccSmi": "CorrEccSmi is not supported by this memory."}
    result = stage(capsys, bmc)
    assert result["failed"]
    assert (
        "has not accepted CorrEccSmi: CorrEccSmi is not supported by this memory. Staged for the next reboot: SysProfile"
        in result["msg"]
    )
    assert [change["resource"] for change in result["changes"]] == ["bios:SysProfile"]
    assert result["changed"] is True, "something waits for the reboot now, and that is said"


def test_silently_not_taken(capsys, bmc):
    bmc.machine.refuse_partly = {"CorrEccSmi": ""}
    result = stage(capsys, bmc)
    assert result["failed"]
    assert "has not accepted CorrEccSmi; it gives no reason" in result["msg"]


def test_changed_meanwhile(capsys, bmc):
    """Somebody stages something between our look and our PATCH."""
    served = bmc.machine.get

    def get(path):
        document = served(path)
        if bmc.machine.key(path).endswith("registry.1.json"):
            bmc.machine.stage(NumLock=False)
        return document

    bmc.machine.get = get
    result = stage(capsys, bmc)
    assert result["failed"]
    assert "was changed meanwhile (HTTP 412); run again" in result["msg"]
    assert bmc.machine.pending == {"NumLock": False}


def test_the_right_to_configure_is_missing(capsys, bmc, monkeypatch):
    monkeypatch.setattr(bmc.machine, "patch", lambda _body: (403, {"error": {"message": "insufficient privilege"}}))
    refuse(capsys, bmc, "does not allow user operator to PATCH .*insufficient privilege")


# -- settings of another user ----------------------------------------------------------------------


def test_pending_settings_of_somebody_else_stay(capsys, bmc):
    bmc.machine.stage(SysProfile="PerfOptimized", NumLock=False)
    result = info(capsys, bmc)
    assert result["conflicts"] == ["SysProfile"]
    assert result["foreign_pending"] == {"SysProfile": "PerfOptimized", "NumLock": False}
    failed = stage(capsys, bmc)
    assert failed["failed"]
    assert (
        "bios_overwrite_pending: settings of another user wait for the reboot (SysProfile: PerfOptimized (wanted: Custom))"
        in failed["msg"]
    )
    assert (bmc.machine.pending, bmc.machine.patches) == ({"SysProfile": "PerfOptimized", "NumLock": False}, [])


def test_pending_settings_are_overwritten_when_told_to(capsys, bmc):
    bmc.machine.stage(SysProfile="PerfOptimized", NumLock=False)
    result = stage(capsys, bmc, overwrite_pending=True)
    assert result["changed"]
    assert bmc.machine.pending["SysProfile"] == "Custom"
    assert bmc.machine.pending["NumLock"] is False, "what is none of our business stays"


def test_a_good_value_that_somebody_is_about_to_lose_is_kept_when_told_to(capsys, bmc):
    bmc.machine.stage(SriovGlobalEnable="Disabled")
    assert info(capsys, bmc)["conflicts"] == ["SriovGlobalEnable"]
    stage(capsys, bmc, overwrite_pending=True)
    assert "SriovGlobalEnable" not in bmc.machine.pending


# -- overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"ProcC1E": "Off"}, "bios_overrides: ProcC1E is 'Off', which is not in the registry: Enabled, Disabled"),
        ({"ProcC1E": False}, "bios_overrides: ProcC1E is False, but the attribute needs text: Enabled, Disabled; quote it"),
        ({"ProcC1E": 1}, "bios_overrides: ProcC1E is 1, but the attribute needs text"),
        (
            {"AcPwrRcvryUserDelay": "long"},
            "bios_overrides: AcPwrRcvryUserDelay is 'long', but the attribute is an Integer from 60 to 240",
        ),
        ({"AcPwrRcvryUserDelay": 300}, "bios_overrides: AcPwrRcvryUserDelay is 300, but the registry allows from 60 to 240"),
        ({"AcPwrRcvryUserDelay": True}, "bios_overrides: AcPwrRcvryUserDelay is True, but the attribute is an Integer"),
        ({"NumLock": "yes"}, "bios_overrides: NumLock is 'yes', but the attribute is a Boolean: true or false"),
        ({"AssetTag": "much too long"}, "bios_overrides: AssetTag has 13 characters, but the registry allows 8"),
        ({"SetupPassword": "x"}, "bios_overrides: SetupPassword is a password, which this collection does not set"),
        (
            {"SriovGlobalEnable": "Disabled"},
            "bios_overrides: SriovGlobalEnable is 'Disabled', which removes what guests need",
        ),
    ],
)
def test_bad_overrides(capsys, bmc, overrides, words):
    refuse(capsys, bmc, re.escape(words), overrides=overrides)
    refuse(capsys, bmc, re.escape(words), run=info, overrides=overrides)


def test_overrides_win_and_null_leaves_alone(capsys, bmc):
    written = apply_all(
        capsys,
        bmc,
        overrides={
            "MemPatrolScrub": "Extended",
            "CorrEccSmi": None,
            "NumLock": False,
            "AcPwrRcvryUserDelay": 120,
            "Nothing": "x",
        },
    )
    assert {name: value for part in written for name, value in part.items()} == {
        "SysProfile": "Custom",
        "ProcCStates": "Disabled",
        "ProcC1E": "Disabled",
        "MemPatrolScrub": "Extended",
        "NumLock": False,
        "AcPwrRcvryUserDelay": 120,
    }
    result = info(capsys, bmc, overrides={"Nothing": "x"})
    assert "Nothing" in result["absent"]


def test_profile_none_has_nothing_but_overrides(capsys, bmc):
    assert info(capsys, bmc, profile="none")["attributes"] == []
    assert info(capsys, bmc, profile="none", overrides={"NumLock": False})["stages"] == [{"NumLock": False}]


def test_unknown_baseline(capsys, bmc):
    refuse(
        capsys,
        bmc,
        "bios_baseline: there is no baseline 'delll'; choose one of auto, ami_aptio, dell_idrac9, generic",
        run=info,
        baseline="delll",
    )


# -- what holds for a good run ---------------------------------------------------------------------


def test_check_mode_predicts_the_run(capsys, bmc):
    predicted = stage(capsys, bmc, check=True)
    assert bmc.machine.patches == []
    made = stage(capsys, bmc)
    for key in ("changed", "changes", "diff", "disruption", "stages", "reboots"):
        assert made[key] == predicted[key], key
    assert made["disruption"] == "reboot"
    assert bmc.machine.pending == {change["resource"].split(":")[1]: change["after"] for change in predicted["changes"]}


@pytest.mark.parametrize("limit", ["none", "stall", "guest"])
def test_nothing_is_staged_where_no_reboot_is_allowed(capsys, bmc, limit):
    words = rf"max_disruption: the limit is {limit}, but the plan needs more: bios:SysProfile \(reboot\)"
    for check in (True, False):
        result = refuse(capsys, bmc, words, check=check, max_disruption=limit)
        assert result["disruption"] == "reboot"
    assert len(result["changes"]) == 5, "those of later stages as well"
    stage(capsys, bmc)
    assert "max_disruption" in stage(capsys, bmc, max_disruption=limit)["msg"], "what is staged waits for a reboot"
    bmc.machine.reset()
    apply_all(capsys, bmc)
    assert not stage(capsys, bmc, max_disruption=limit).get("failed")


def test_two_reboots_and_nothing_is_left(capsys, bmc):
    written = apply_all(capsys, bmc)
    assert written == [
        {"SysProfile": "Custom", "CorrEccSmi": "Disabled"},
        {"ProcCStates": "Disabled", "ProcC1E": "Disabled", "MemPatrolScrub": "Disabled"},
    ]
    again = stage(capsys, bmc)
    assert (again["changed"], again["compliant"], again["reboot_required"]) == (False, True, False)


def test_the_rollback_restores(capsys, bmc):
    rollback = info(capsys, bmc)["rollback"]
    apply_all(capsys, bmc)
    # the preset comes last, for it locks the others
    written = apply_all(capsys, bmc, profile="none", overrides=rollback)
    assert bmc.machine.bios["Attributes"] == ATTRIBUTES, written


def test_no_password_anywhere(capsys, bmc):
    """The stand-in's error page even quotes the request's header; bmc.modules.call greps what every run prints."""
    result = info(capsys, bmc, password="wrong-password")
    assert "wrong-password" not in str(result)
    bmc.machine.refuse = {"CorrEccSmi": f"I know that you are operator:{PASSWORD}"}
    assert PASSWORD not in str(stage(capsys, bmc))


def test_the_header_that_carries_the_password_is_hidden(capsys, bmc):
    header = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    bmc.machine.refuse = {"CorrEccSmi": f"I was sent Basic {header}"}
    result = stage(capsys, bmc)
    assert "I was sent Basic" in str(result)
    assert header not in str(result)


@pytest.mark.parametrize("run", [info, stage])
def test_what_carries_the_password_is_no_attributes_name(capsys, bmc, run):
    header = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    names = (PASSWORD, header, f"_ansible_{PASSWORD}")
    bmc.machine.bios["Attributes"].update(dict.fromkeys(names, "a"))
    bmc.machine.stage(**dict.fromkeys(names, "b"))
    result = run(capsys, bmc, check=True)
    assert sorted(result["foreign_pending"].values()) == ["b", "b"], "two names are the same without the secret"
    assert not any(name in str(result) for name in names)


@pytest.mark.parametrize("before", [980, 987, 995])
def test_no_value_is_cut_in_the_middle_of_the_password(capsys, bmc, before):
    bmc.machine.bios["Attributes"]["SysProfile"] = f"{'x' * before}{PASSWORD}{'y' * 90}"
    result = str(info(capsys, bmc))
    assert not any(PASSWORD[:length] in result for length in range(6, len(PASSWORD) + 1))


def test_secrets_of_others_are_hidden(capsys, bmc):
    bmc.machine.bios["Attributes"]["AdminPassphraseKey"] = None
    bmc.machine.stage(SetupPassword="hunter2", AdminPassphraseKey="hunter2")
    result = info(capsys, bmc)
    assert result["foreign_pending"] == {"SetupPassword": "hidden", "AdminPassphraseKey": "hidden"}
    assert "hunter2" not in str(result)


@pytest.mark.parametrize("answer", [[], {}, [1], 1.5, None])
def test_a_wanted_attribute_with_a_damaged_value_is_never_compliant(capsys, bmc, answer):
    apply_all(capsys, bmc)
    assert info(capsys, bmc)["state"] == "compliant"
    attributes = bmc.machine.tree[f"{SYSTEM}/bios".lower()]["Attributes"]
    attributes["LogicalProc"] = answer
    assert info(capsys, bmc)["state"] == "differs"
