# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/bios.yml as a person starts it, on stand-ins for BMCs.

No node is there to reboot: rt_kernel's restart is replaced by one that resets the stand-in. Everything else is the collection's.
"""

from __future__ import annotations

import base64
import json
import re
import sys

import pytest
from bmc.dialects import ETAGS
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import locked, supermicro, tree
from playbooks.bios_runs import UNDO, Run, collection_in


@pytest.fixture(scope="module", name="collections")
def _collections(tmp_path_factory):
    return collection_in(tmp_path_factory.mktemp("collections"))


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("bmc"))


@pytest.fixture(name="bmcs")
def _bmcs(certificate):
    bmcs = [Bmc(tree(), certificate) for _number in range(2)]
    yield bmcs
    for bmc in bmcs:
        bmc.close()


@pytest.fixture(name="run")
def _run(tmp_path, collections, bmcs, certificate):
    def run(*arguments, hosts=None, **variables):
        made = {f"node{number}": {"bios_address": bmc.address} for number, bmc in enumerate(bmcs, 1)}
        known = {
            "bios_username": USER,
            "bios_password": PASSWORD,
            "bios_ca_file": str(certificate),
            "bios_timeout": 20,
            "bios_settle_timeout": 6,
            "bios_record": False,
            # a connection to a node would fail
            "ansible_host": "192.0.2.1",
            "ansible_ssh_common_args": "-o ConnectTimeout=1",
        }
        return Run(tmp_path, collections, hosts or made, arguments, **{**known, **variables})

    return run


def test_a_report_needs_no_node_and_changes_nothing(run, bmcs, tmp_path):
    hosts = {"node1": {"bios_address": bmcs[0].address}, "node2": {"bios_address": bmcs[1].address}, "switch1": {}}
    done = run(hosts=hosts, bios_report_directory=str(tmp_path))
    assert done.code == 0, done.text
    assert done.changed() == {"node1": 0, "node2": 0, "switch1": 0}
    assert "switch1 has no BMC (bios_address)" in done.text
    assert all(bmc.machine.patches == [] for bmc in bmcs)
    report = json.loads((tmp_path / "node1.json").read_text())
    assert (report["host"], report["reboots"], report["error"]) == ("node1", 2, "")
    assert {one["attribute"] for one in report["attributes"] if one["state"] == "differs"} == {
        *("SysProfile", "ProcCStates", "ProcC1E", "MemPatrolScrub", "CorrEccSmi")
    }
    assert '"realtime_bios"' in done.text or "realtime_bios" in done.text
    assert '"compliant": false' in done.text
    assert [line.split()[:3] for line in done.text.splitlines() if line.startswith("ProcC1E ")] == [
        ["ProcC1E", "Enabled", "Disabled"]
    ] * 2


def test_smt_follows_the_partition(run, bmcs):
    done = run(cpu_partition_smt="single", bios_profile="none", bios_apply=True)
    assert done.code == 0, done.text
    assert all(bmc.machine.patches == [] for bmc in bmcs), "the profile none has nothing but overrides"
    done = run(cpu_partition_smt="single", bios_apply=True)
    assert done.code == 0, done.text
    assert all(bmc.machine.bios["Attributes"]["LogicalProc"] == "Disabled" for bmc in bmcs)


def test_apply_goes_through_the_stages_and_the_second_run_changes_nothing(run, bmcs):
    first = run("--check", "--diff", bios_apply=True)
    assert first.code == 0, first.text
    assert all(bmc.machine.patches == [] for bmc in bmcs)
    predicted = set(re.findall(r"after: bios:(\w+)", first.text))

    done = run(bios_apply=True)
    assert done.code == 0, done.text
    for bmc in bmcs:
        assert bmc.machine.resets == 2
        assert set(bmc.machine.patches[0]["Attributes"]) == predicted == {"SysProfile", "CorrEccSmi"}
        assert set(bmc.machine.patches[1]["Attributes"]) == {"ProcCStates", "ProcC1E", "MemPatrolScrub"}
    assert done.changed() == {"node1": 2, "node2": 2}

    again = run(bios_apply=True)
    assert again.code == 0, again.text
    assert again.changed() == {"node1": 0, "node2": 0}
    assert all(bmc.machine.resets == 2 for bmc in bmcs)


def test_without_leave_to_reboot_it_is_staged_only(run, bmcs):
    done = run(bios_apply=True, realtime_reboot_allowed=False)
    assert done.code == 0, done.text
    assert [(bmc.machine.resets, len(bmc.machine.patches)) for bmc in bmcs] == [(0, 1), (0, 1)]


def test_one_unreachable_bmc_keeps_all_from_being_changed(run, bmcs):
    hosts = {"node1": {"bios_address": bmcs[0].address}, "node2": {"bios_address": "127.0.0.1:1"}}
    done = run(hosts=hosts, bios_apply=True)
    assert done.code != 0
    assert bmcs[0].machine.patches == []
    assert "nothing was changed on any node, because the firmware of node2 could not be read" in done.text


def test_one_unreachable_bmc_keeps_no_other_from_being_reported(run, bmcs):
    hosts = {"node1": {"bios_address": "127.0.0.1:1"}, "node2": {"bios_address": bmcs[1].address}}
    done = run(hosts=hosts)
    assert done.code != 0
    assert (done.recap["node1"]["failed"], done.recap["node2"]["failed"]) == (1, 0)
    assert "cannot be reached" in done.text
    assert "to do: 5 attributes, 2 reboots" in done.text


def test_one_refusal_keeps_all_from_being_changed(run, bmcs):
    bmcs[1].machine.stage(SysProfile="PerfOptimized")
    done = run(bios_apply=True)
    assert done.code != 0
    assert "bios_overwrite_pending: settings of another user wait" in done.text
    assert all(bmc.machine.patches == [] for bmc in bmcs)


def test_a_live_fleet_is_not_rebooted(run, bmcs):
    done = run(bios_apply=True, realtime_max_disruption="guest")
    assert done.code != 0
    assert "realtime_max_disruption is guest, but the plan needs more: SysProfile" in done.text
    assert all(bmc.machine.patches == [] for bmc in bmcs)


def test_what_did_not_take_fails_the_node_and_stops_the_next(run, bmcs):
    for bmc in bmcs:
        bmc.machine.ignore = {"CorrEccSmi"}
    done = run("-e", "rt_kernel_reboot_serial=1", bios_apply=True)
    assert done.code != 0
    assert "its BMC still reports other values for CorrEccSmi: The BIOS did not apply CorrEccSmi" in done.text
    assert [bmc.machine.resets for bmc in bmcs] == [1, 0], "the fleet's rule: a failure stops the rest"


@pytest.mark.parametrize("good", [True, False], ids=["right", "wrong"])
def test_no_password_in_any_output(run, bmcs, tmp_path, good):
    """As much output as there is, diffs, artefacts and files; right, wrong, and of the wrong type."""
    password = PASSWORD if good else "Wr0ng-but-secret!"
    header = base64.b64encode(f"{USER}:{password}".encode()).decode()
    bmcs[0].machine.bios["Attributes"].update({password: "a", header: "a"})
    bmcs[0].machine.stage(**{password: "b", header: "b"})
    run_ = run("-vvvv", "--diff", bios_apply=True, bios_password=password, bios_report_directory=str(tmp_path / "."))
    assert (run_.code == 0) is good
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "hosts.yml"]
    for text in (run_.text, *(path.read_text(errors="replace") for path in written)):
        assert password not in text
        assert header not in text
    assert "VALUE_SPECIFIED" in run_.text or good or "401" in run_.text


@pytest.mark.parametrize("apply", [False, True])
def test_no_bmc_is_asked_while_a_node_could_choose_its_address(run, bmcs, apply):
    done = run(bios_apply=apply, inject_facts=True)
    assert done.code != 0
    assert "so the node could choose bios_address and get the password of its BMC; set inject_facts_as_vars = false" in done.text
    assert [bmc.machine.requests for bmc in bmcs] == [[], []]


def test_a_bmc_that_lies_in_every_field_writes_nothing_but_its_report(run, bmcs, tmp_path):
    template = "{{ lookup('pipe', 'touch " + str(tmp_path / "ran") + "') }}"
    for bmc, text in zip(bmcs, ("../../../inventory/group_vars/all", template), strict=True):
        system = bmc.machine.find("/Systems/1")
        system.update({key: text for key, value in system.items() if isinstance(value, str) and not key.startswith("@")})
        attributes = bmc.machine.bios["Attributes"]
        attributes.update({text: text, "\x1b]0;owned\x07": "\x1b[2J", "ansible_facts": "x"})
    reports = tmp_path / "reports"
    reports.mkdir()
    done = run("-v", bios_report_directory=str(reports))
    assert sorted(path.name for path in reports.iterdir()) == ["node1.json", "node2.json"]
    assert not (tmp_path / "ran").exists()
    assert "\x1b]0" not in done.text


def test_no_password_of_a_wrong_type_in_any_output(run):
    done = run("-vvvv", bios_password={"secret": "Wr0ng-but-secret!"})
    assert done.code != 0
    assert "Wr0ng-but-secret!" not in done.text


# -- machines of other ways ------------------------------------------------------------------------


@pytest.fixture(name="serve")
def _serve(certificate):
    running = []

    def serve(documents):
        running.append(Bmc(documents, certificate))
        return running[-1]

    yield serve
    for bmc in running:
        bmc.close()


def test_a_supermicro_is_set_and_the_second_run_changes_nothing(run, serve):
    """Its registry has numbers, its BIOS shows the texts for people."""
    bmc = serve(supermicro())
    bmc.machine.only_sparse = True
    hosts = {"node1": {"bios_address": bmc.address}}
    first = run(hosts=hosts, bios_apply=True)
    assert first.code == 0, first.text
    assert "node1: compliant" in first.text
    assert bmc.machine.attributes["PackageCState_3D25"] == "C0/C1 state"
    again = run(hosts=hosts, bios_apply=True)
    assert (again.code, again.changed(), bmc.machine.resets) == (0, {"node1": 0}, 1), again.text


def test_a_bmc_that_quotes_etags_twice_is_set(run, bmcs):
    for bmc in bmcs:
        bmc.machine.etags = ETAGS["quoted twice, nothing in the document"]
    done = run(bios_apply=True)
    assert done.code == 0, done.text
    assert [bmc.machine.resets for bmc in bmcs] == [2, 2]


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_dell_in_lockdown_keeps_all_from_being_changed(run, bmcs, serve, check):
    dell = serve(locked())
    hosts = {"node1": {"bios_address": bmcs[0].address}, "node2": {"bios_address": dell.address}}
    report = run(hosts=hosts)
    assert report.code == 0, report.text
    assert "state: locked: the system is in lockdown mode (Lockdown.1.SystemLockdown is Enabled)" in report.text
    done = run(*check, hosts=hosts, bios_apply=True)
    assert done.code != 0
    assert "bios_apply: the system is in lockdown mode (Lockdown.1.SystemLockdown is Enabled), so its BMC refuses" in done.text
    assert [bmc.machine.patches for bmc in (bmcs[0], dell)] == [[], []]


def test_an_unsupported_value_is_the_outcome(run, bmcs):
    bmcs[0].machine.entry("MemPatrolScrub")["Value"] = [{"ValueName": "Standard"}]
    hosts = {"node1": {"bios_address": bmcs[0].address}}
    for _run in range(2):
        done = run(hosts=hosts, bios_apply=True)
        assert done.code == 0, done.text
        assert "node1: unsupported: MemPatrolScrub (the registry has none of Disabled; it has Standard)" in done.text
        assert '"compliant": false' in done.text


# -- former values ---------------------------------------------------------------------------------


@pytest.fixture(name="node")
def _node(run, bmcs, tmp_path):
    """Runs on a node that answers; ``node.record()`` is what it has kept."""
    (tmp_path / "undo.yml").write_text(UNDO)
    folder = tmp_path / "node1"
    folder.mkdir()

    def go(*arguments, **variables):
        own = {"bios_address": bmcs[0].address, "ansible_connection": "local", "ansible_remote_tmp": str(folder)}
        own |= {"ansible_become": False, "ansible_python_interpreter": sys.executable, "ansible_host": "127.0.0.1"}
        return run(*arguments, hosts={"node1": own}, **{"bios_record": True, **variables})

    def record():
        path = folder / "var/lib/realtime-kvm/firmware.json"
        return json.loads(path.read_text())["settings"] if path.exists() else None

    go.record = record
    go.undo = lambda *arguments, **variables: go(*arguments, playbook=str(tmp_path / "undo.yml"), **variables)
    return go


def test_former_values_are_recorded_and_restored_on_request(node, bmcs):
    machine = bmcs[0].machine
    before = dict(machine.attributes)
    node("--check", bios_apply=True)
    assert node.record() is None
    done = node(bios_apply=True)
    assert (done.code, done.changed()) == (0, {"node1": 2}), done.text
    former = {name: before[name] for name in ("SysProfile", "CorrEccSmi", "ProcCStates", "ProcC1E", "MemPatrolScrub")}
    assert node.record() == former
    again = node(bios_apply=True)
    assert (again.changed(), node.record()) == ({"node1": 0}, former), again.text

    left = node.undo()
    assert (left.code, left.changed()) == (0, {"node1": 0}), left.text
    assert "node1: 5 firmware settings stay as they are; bios_undo: true restores their former values" in left.text
    planned = node.undo("--check", bios_undo=True)
    assert planned.code == 0, planned.text
    assert (node.record(), machine.resets, len(machine.patches)) == (former, 2, 2)
    assert "plan: bios:" in planned.text

    undone = node.undo(bios_undo=True)
    assert undone.code == 0, undone.text
    assert dict(machine.attributes) == before
    assert node.record() is None
    assert "former firmware settings: restored" in undone.text
    twice = node.undo(bios_undo=True)
    assert (twice.code, twice.changed(), machine.pending) == (0, {"node1": 0}, {}), twice.text


def test_without_leave_to_reboot_the_record_stays_until_they_are_back(node, bmcs):
    node(bios_apply=True, bios_overrides={"NumLock": False}, bios_profile="none")
    staged = node.undo(bios_undo=True, bios_overrides={"NumLock": False}, realtime_reboot_allowed=False)
    assert (staged.code, bmcs[0].machine.pending, node.record()) == (0, {"NumLock": True}, {"NumLock": True}), staged.text
    bmcs[0].machine.reset()
    done = node.undo(bios_undo=True, bios_overrides={"NumLock": False}, realtime_reboot_allowed=False)
    assert (done.code, done.changed(), node.record()) == (0, {"node1": 0}, None), done.text


def test_only_what_the_bmc_has_accepted_is_recorded(node, bmcs):
    bmcs[0].machine.refuse_partly = {"CorrEccSmi": "not with this memory"}
    done = node(bios_apply=True)
    assert done.code != 0
    assert "has not accepted CorrEccSmi" in done.text
    assert node.record() == {"SysProfile": "PerfPerWattOptimizedDapc"}


def test_nothing_is_staged_where_nothing_can_be_recorded(run, bmcs):
    done = run(bios_apply=True, bios_record=True)
    assert done.code != 0
    assert (
        "bios_record: the former firmware values of node1 cannot be recorded on it, so undo could not restore them, and nothing was staged"
        in done.text
    )
    assert [bmc.machine.patches for bmc in bmcs] == [[], []]


def test_a_record_of_another_machine_is_not_restored(node, bmcs):
    node(bios_apply=True)
    bmcs[0].machine.get("/redfish/v1/Systems/1")["Model"] = "PowerEdge R999"
    done = node.undo(bios_undo=True)
    assert done.code != 0
    assert "were recorded on a Dell Inc., but its BMC is that of a Dell Inc. PowerEdge R999" in " ".join(done.text.split())
