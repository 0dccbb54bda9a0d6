# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""max_disruption binds in every module that changes a node: a plan above the limit is refused before anything is touched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.doc_fragments.disruption import ModuleDocFragment
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import awaited_boot
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import (
    DISRUPTIONS,
    Change,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import LIMIT, Outcome
from ansible_collections.realtime.kvm.plugins.modules import (
    cpu_partition,
    cpu_power,
    guest_os,
    irq_affinity,
    kernel_arguments,
    kvm_host,
    neutron_agent,
    nova_compute,
    ovs_dpdk,
    package_holds,
    package_origins,
    package_update,
    rt_domain,
    rt_domain_power,
    rt_metrics,
    time_sync,
)
from unit.trees import fill, machine_files, snapshot

FOLDER = Path(cpu_power.__file__).parent
BODIES = FOLDER.parent / "module_utils" / "_module"
MODULES = [
    cpu_partition,
    cpu_power,
    guest_os,
    irq_affinity,
    kernel_arguments,
    kvm_host,
    neutron_agent,
    nova_compute,
    ovs_dpdk,
    package_holds,
    package_origins,
    package_update,
    rt_domain,
    rt_domain_power,
    rt_metrics,
    time_sync,
]
REQUIRED = {rt_domain_power: {"state": "stopped"}, package_origins: {"state": "absent"}}
WAITS = {
    "reboot_required": True,
    "running": {"release": "6.1-amd64", "matches": False},
    "following": {"release": "6.1-rt", "tokens": []},
}


# -- the rule --------------------------------------------------------------------------------------


def test_documented_choices_are_those_of_the_code():
    (documented,) = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"].items()
    (spec,) = LIMIT.items()
    assert documented[0] == spec[0]
    assert documented[1]["choices"] == spec[1]["choices"] == list(DISRUPTIONS)
    assert documented[1]["default"] == spec[1]["default"]


def test_every_module_that_changes_a_node_has_the_limit():
    """The others run in check mode always (info), or are the documentation of an action; bios_baseline and bmc_reset talk to a BMC.

    bios_record changes nothing of a node: it keeps a file of its own, as the journal is kept.
    """
    sources = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    changing = {
        name for name, source in sources.items() if "AnsibleModule(" in source and not re.search("info=True|run_info", source)
    }
    changing -= {"bios_record"}
    assert changing == {*(module.__name__.rpartition(".")[2] for module in MODULES), "bios_baseline", "bmc_reset"}
    for name in changing:
        body = (BODIES / f"{name}.py").read_text(encoding="utf-8") if (BODIES / f"{name}.py").exists() else ""
        assert "**LIMIT" in sources[name] + body, f"{name}: its options lack LIMIT"
        assert "realtime.kvm.disruption" in sources[name], f"{name}: its documentation lacks the fragment"


# -- the door --------------------------------------------------------------------------------------


@pytest.fixture(name="root")
def _root(tmp_path, monkeypatch):
    root = fill(tmp_path / "node", {**machine_files(), "/var/lib/": None, "/etc/": None, "/run/": None})

    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    return root


def call(capsys, module, *, check=False, **arguments):
    with (
        patch_module_args({**REQUIRED.get(module, {}), **arguments, "_ansible_check_mode": check}),
        pytest.raises(SystemExit) as stopped,
    ):
        module.main()
    result = json.loads(capsys.readouterr().out)
    assert bool(result.get("failed")) == (stopped.value.code != 0)
    return result


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_module_refuses_above_the_limit_and_goes_on_up_to_it(capsys, monkeypatch, root, module, check):
    def body(edges, _parameters):
        host = edges.host
        host.set_file("/etc/x", b"x\n")
        host.follow_up(Change("domain plc1: state", "running", "shut off", "guest"), lambda: host.write_file("/etc/stopped", b""))
        return Outcome({}, after=lambda: host.write_file("/etc/after", b"") or {})

    monkeypatch.setattr(module, "run", body)
    before = snapshot(root)
    for limit in ("none", "stall"):
        result = call(capsys, module, check=check, max_disruption=limit)
        assert (result["failed"], result["changed"]) == (True, False)
        assert result["msg"].startswith(
            f"max_disruption: the limit is {limit}, but the plan needs more: domain plc1: state (guest). "
        )
        assert [change["resource"] for change in result["changes"]] == ["/etc/x", "domain plc1: state"]
        assert result["disruption"] == "guest"
        assert snapshot(root) == before
    for given in ({"max_disruption": "guest"}, {}):
        monkeypatch.setattr(module, "run", body)
        assert call(capsys, module, check=check, **given)["changed"] is True
    made = snapshot(root)
    assert (before == made) is check
    assert all((path in made) is not check for path in ("/etc/x", "/etc/stopped", "/etc/after"))


def test_a_pending_reboot_is_refused_although_nothing_changes(capsys, monkeypatch, root):
    del root
    monkeypatch.setattr(kernel_arguments, "run", lambda _edges, _parameters: Outcome(WAITS, disturbs=[awaited_boot(WAITS)]))
    result = call(capsys, kernel_arguments, max_disruption="guest")
    assert result["failed"]
    assert "running kernel and arguments (reboot)" in result["msg"]
    assert result["disruption"] == "reboot"
    assert not call(capsys, kernel_arguments, max_disruption="reboot").get("failed")
