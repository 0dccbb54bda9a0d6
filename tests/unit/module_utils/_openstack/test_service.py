# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of each form: what they read, where ours goes, what is refused, their restart."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import IniError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.kinds import AGENT, NOVA
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.launch import LaunchError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.service import (
    ServiceError,
    elsewhere,
    find_service,
    plan_files,
    serving,
)
from unit.clouds import DEBIAN, OPERATOR, SECRET, UNITS, Node, unit
from unit.trees import fill, writable

RDO = {
    f"{UNITS}/openstack-nova-compute.service": unit("/usr/bin/nova-compute"),
    f"{UNITS}/neutron-openvswitch-agent.service": unit(
        "/usr/bin/neutron-openvswitch-agent --config-file /usr/share/neutron/neutron-dist.conf --config-file /etc/neutron/neutron.conf --config-file "
        "/etc/neutron/plugins/ml2/openvswitch_agent.ini --config-dir /etc/neutron/conf.d/common --config-dir /etc/neutron/conf.d/neutron-openvswitch-agent",
        "neutron",
    ),
    "/usr/share/nova/nova-dist.conf": "[DEFAULT]\nlog_dir = /var/log/nova\n",
    "/etc/neutron/conf.d/common/": None,
    "/etc/neutron/conf.d/neutron-openvswitch-agent/": None,
    **OPERATOR,
}
VENV = {
    f"{UNITS}/nova-compute.service": unit("/openstack/venvs/nova-31/bin/nova-compute"),
    f"{UNITS}/neutron-openvswitch-agent.service": unit(
        "/openstack/venvs/neutron/bin/neutron-openvswitch-agent --config-file /etc/neutron/neutron.conf "
        "--config-file /etc/neutron/plugins/ml2/openvswitch_agent.ini",
        "neutron",
    ),
    **OPERATOR,
}
OPTION = ("compute", "cpu_dedicated_set")


def node_of(tmp_path, monkeypatch, files=None):
    return Node(tmp_path, monkeypatch, files)


def found(node, kind=NOVA, **more):
    return find_service(writable(node.root, kind.role, **more), node.systemd, kind)


@pytest.mark.parametrize(
    ("files", "kind", "path", "extra"),
    [
        (DEBIAN, NOVA, "/etc/nova/realtime-kvm.conf", "/etc/default/nova-compute"),
        (DEBIAN, AGENT, "/etc/neutron/realtime-kvm.conf", "/etc/default/neutron-openvswitch-agent"),
        (RDO, NOVA, "/etc/nova/nova-compute.conf.d/zz-realtime-kvm.conf", ""),
        (RDO, AGENT, "/etc/neutron/conf.d/neutron-openvswitch-agent/zz-realtime-kvm.conf", ""),
        (VENV, NOVA, "/etc/nova/nova-compute.conf.d/zz-realtime-kvm.conf", ""),
        (
            VENV,
            AGENT,
            "/etc/neutron/realtime-kvm.conf",
            "/etc/systemd/system/neutron-openvswitch-agent.service.d/realtime-kvm.conf",
        ),
    ],
    ids=["Debian's nova", "Debian's agent", "RDO's nova", "RDO's agent", "a venv's nova", "a venv's agent"],
)
def test_where_ours_is_read_last(tmp_path, monkeypatch, files, kind, path, extra):
    node = node_of(tmp_path, monkeypatch, files)
    service = found(node, kind)
    assert service.place.path == path
    assert (service.extra.path if service.extra else "") == extra
    host = writable(node.root, kind.role)
    with host.locked():
        plan_files(host, service, "[compute]\ncpu_dedicated_set = 2\n", [OPTION])
        host.commit()
    after = found(node, kind)
    assert after.settings.files[-1].path == path, "it is read, and last"
    assert after.place == service.place
    assert after.extra == service.extra
    assert path not in [file.path for file in after.others.files]


def test_the_operators_files_in_the_order_of_debian(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch)
    paths = [file.path for file in found(node, AGENT).others.files]
    assert paths == ["/etc/neutron/plugins/ml2/openvswitch_agent.ini", "/etc/neutron/neutron.conf"]


def test_a_drop_in_of_the_operators_counts_and_ours_does_not(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, VENV)
    folder = "/etc/systemd/system/nova-compute.service.d"
    fill(
        node.root,
        {f"{folder}/10.conf": "[Service]\nExecStart=\nExecStart=/opt/bin/nova-compute --config-file /etc/nova/nova.conf\n"},
    )
    assert found(node).extra.text.splitlines()[-1] == (
        "ExecStart=/opt/bin/nova-compute --config-file /etc/nova/nova.conf --config-file=/etc/nova/realtime-kvm.conf"
    )
    fill(node.root, {f"{folder}/realtime-kvm.conf": found(node).extra.text})
    assert found(node).extra.text.count("realtime-kvm.conf") == 1


def test_a_process_tells_what_its_script_does_not(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, {**DEBIAN, "/etc/init.d/nova-compute": "#!/bin/sh\nexec something\n"})
    with pytest.raises(LaunchError, match=r"cannot be told from /etc/init\.d/nova-compute; start the service"):
        found(node)
    node.systemd.start("nova-compute.service", "--config-file=/etc/nova/nova.conf")
    service = found(node)
    assert [file.path for file in service.others.files] == ["/etc/nova/nova.conf"]
    assert service.active


def test_variables_in_a_command_are_not_guessed(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, {**VENV, f"{UNITS}/nova-compute.service": unit("/usr/bin/nova-compute $OPTIONS")})
    with pytest.raises(LaunchError, match="cannot be told from its ExecStart"):
        found(node)


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/etc/kolla/nova-compute/", NOVA, "/etc/kolla/config/nova/<host>/nova.conf and run kolla-ansible reconfigure"),
        ("/etc/kolla/neutron-openvswitch-agent/", AGENT, "/etc/kolla/config/neutron/<host>/openvswitch_agent.ini"),
        ("/etc/systemd/system/edpm_nova_compute.service", NOVA, "containers that read what the control plane mounts"),
        ("/snap/openstack-hypervisor/", NOVA, "the snap openstack-hypervisor"),
        ("/etc/other", NOVA, "install nova-compute by the means of the cloud"),
    ],
)
def test_other_forms_are_refused_with_what_works_and_the_text(tmp_path, monkeypatch, path, kind, said):
    node = node_of(tmp_path, monkeypatch, {path: ""})
    host = writable(node.root)
    assert find_service(host, node.systemd, kind) is None
    refusal = elsewhere(host, kind, {"text": "[a]\n"})
    assert said in str(refusal)
    assert refusal.results == {"text": "[a]\n"}


def test_what_is_read_after_ours_is_refused(tmp_path, monkeypatch):
    node = node_of(
        tmp_path,
        monkeypatch,
        {**RDO, "/etc/nova/nova-compute.conf.d/zzz.conf": f"[compute]\ncpu_dedicated_set = 1\n[x]\ny = {SECRET}\n"},
    )
    host, service = writable(node.root, "nova_compute"), found(node)
    fill(node.root, {service.place.path: "[compute]\ncpu_dedicated_set = 2\n"})
    with pytest.raises(IniError, match=r"zzz\.conf \(\[compute\] cpu_dedicated_set\) is read after"):
        plan_files(host, found(node), "", [OPTION])
    os.remove(f"{node.root}{service.place.path}")
    with pytest.raises(IniError, match=r"zzz\.conf"):
        plan_files(host, found(node), "", [OPTION])


def test_the_environment_wins_over_files_so_it_is_refused(tmp_path, monkeypatch):
    text = unit("/usr/bin/nova-compute").replace("[Install]", "Environment=OS_COMPUTE__CPU_DEDICATED_SET=s3cret\n[Install]")
    node = node_of(tmp_path, monkeypatch, {**VENV, f"{UNITS}/nova-compute.service": text})
    with pytest.raises(ServiceError, match="OS_COMPUTE__CPU_DEDICATED_SET in the environment of") as caught:
        plan_files(writable(node.root), found(node), "", [OPTION])
    assert "s3cret" not in str(caught.value)
    node = node_of(tmp_path / "b", monkeypatch, VENV)
    node.systemd.start("nova-compute.service")
    fill(node.root, {f"/proc/{node.systemd.pids['nova-compute.service']}/environ": "A=1\0OS_COMPUTE__CPU_DEDICATED_SET=3\0"})
    with pytest.raises(ServiceError, match="wins over all files"):
        plan_files(writable(node.root), found(node), "", [OPTION])


def test_defaults_of_somebody_else_are_not_replaced(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, {**DEBIAN, "/etc/default/nova-compute": "USE_SYSLOG=yes\n"})
    with pytest.raises(ServiceError, match="/etc/default/nova-compute exists and is not this collection's"):
        plan_files(writable(node.root), found(node), "", [OPTION])


def test_a_service_that_was_never_configured(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, {f"{UNITS}/nova-compute.service": unit("/usr/bin/nova-compute")})
    with pytest.raises(ServiceError, match="/etc/nova does not exist"):
        plan_files(writable(node.root), found(node), "", [OPTION])


def test_a_captured_node_is_read_without_running_anything(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch)
    host = Host(str(tmp_path), owner="nova_compute", captured=True)

    def runner(_command):
        raise AssertionError

    service = find_service(host, runner, NOVA)
    assert (service.active, service.pid, service.place.path) == (False, 0, "/etc/nova/realtime-kvm.conf")
    assert node.systemd.calls == []


def test_a_drop_in_after_ours_that_starts_it_is_refused(tmp_path, monkeypatch):
    folder = "/etc/systemd/system/nova-compute.service.d"
    text = "[Service]\nExecStart=\nExecStart=/opt/bin/nova-compute --config-file /etc/nova/nova.conf --debug\n"
    node = node_of(tmp_path, monkeypatch, {**VENV, f"{folder}/zz-limits.conf": text})
    with pytest.raises(
        ServiceError, match=r"zz-limits\.conf sets ExecStart and is read after .*a name that sorts before realtime-kvm\.conf"
    ):
        plan_files(writable(node.root), found(node), "", [OPTION])
    os.rename(f"{node.root}{folder}/zz-limits.conf", f"{node.root}{folder}/limits.conf")
    plan_files(writable(node.root), found(node), "", [OPTION])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/nova/env", "OS_COMPUTE__CPU_DEDICATED_SET in the environment of"),
        ("%E/nova/env", "EnvironmentFile=%E/nova/env has a specifier"),
    ],
)
def test_files_of_variables(tmp_path, monkeypatch, name, said):
    text = unit("/usr/bin/nova-compute").replace("[Install]", f"EnvironmentFile=-{name}\n[Install]")
    files = {**VENV, f"{UNITS}/nova-compute.service": text, "/etc/nova/env": "OS_COMPUTE__CPU_DEDICATED_SET=1\n"}
    node = node_of(tmp_path, monkeypatch, files)
    with pytest.raises(ServiceError, match=said):
        plan_files(writable(node.root), found(node), "", [OPTION])


@pytest.mark.parametrize(
    "command", ["/usr/bin/nova-compute --config-dir %E/nova/conf.d", "/usr/bin/nova-compute --config-file /a ; /bin/true"]
)
def test_a_command_that_only_systemd_understands_is_read_from_the_process(tmp_path, monkeypatch, command):
    node = node_of(tmp_path, monkeypatch, {**VENV, f"{UNITS}/nova-compute.service": unit(command)})
    with pytest.raises(LaunchError, match="cannot be told from its ExecStart; start the service"):
        found(node)
    node.systemd.start("nova-compute.service", "--config-dir", "/etc/nova/conf.d")
    assert found(node).place.path == "/etc/nova/conf.d/zz-realtime-kvm.conf"


def test_a_unit_beside_another_form(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch, {**VENV, "/etc/kolla/nova-compute/": None})
    host = writable(node.root)
    assert serving(host, node.systemd, NOVA) is None
    node.systemd.start("nova-compute.service")
    assert serving(host, node.systemd, NOVA).active
