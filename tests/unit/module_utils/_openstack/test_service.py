# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of each form: what they read, where ours goes, what is refused, their restart."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._openstack import service as module
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import IniError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.kinds import AGENT, NOVA
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.launch import LaunchError, Unit
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.service import (
    ServiceError,
    elsewhere,
    find_service,
    ovsdb_connection,
    plan_files,
    read_back,
    start_of,
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
    paths = [file.path for file in found(node, AGENT).settings.files]
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
    assert [file.path for file in service.settings.files] == ["/etc/nova/nova.conf"]
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
    refusal = elsewhere(host, kind, "[a]\n")
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


# -- the switch's database -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "mode", "group", "way"),
    [
        ("root", 0o750, "", "unix:/run/openvswitch/db.sock"),
        ("nova", 0o750, "", "tcp:127.0.0.1:6640"),
        ("nova", 0o770, "nova", "unix:/run/openvswitch/db.sock"),
        ("nova", 0o750, "nova", "tcp:127.0.0.1:6640"),
        ("nova", 0o777, "", "unix:/run/openvswitch/db.sock"),
    ],
)
def test_the_socket_is_used_where_the_services_user_may(tmp_path, user, mode, group, way):
    os.chdir(tmp_path)
    (tmp_path / "run/openvswitch").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("run/openvswitch/db.sock")
        os.chmod("run/openvswitch/db.sock", mode)
        own = os.getgid()
        fill(
            tmp_path,
            {
                "/etc/passwd": "root:x:0:0::/root:\nnova:x:64060:64060::/var/lib/nova:\n",
                "/etc/group": f"ovs:x:{own}:{group}\nnova:x:64060:\n",
            },
        )
        assert ovsdb_connection(writable(tmp_path), Unit("x", user=user)) == way


def test_without_a_socket_it_is_tcp(tmp_path):
    assert ovsdb_connection(writable(tmp_path), Unit("x")) == "tcp:127.0.0.1:6640"


# -- the restart -----------------------------------------------------------------------------------


@pytest.fixture(name="running")
def _running(tmp_path, monkeypatch):
    node = node_of(tmp_path, monkeypatch)
    node.systemd.start("nova-compute.service", "--config-file=/etc/nova/nova.conf")
    return node


def wait(node, seconds=0.2):
    host, service = writable(node.root, "nova_compute"), found(node)
    started = start_of(host, service.pid)
    node.systemd(["systemctl", "try-restart", "nova-compute.service"])
    return read_back(host, node.systemd, service, started, seconds)


def test_a_new_process_that_stays_up(running):
    assert wait(running) == {"active": True, "restarted": True}


@pytest.mark.parametrize(
    ("fault", "said"),
    [("dies", "it does not run"), ("deaf", "it still is the process of before")],
    ids=["dies", "stays as it was"],
)
def test_a_restart_that_does_not_work_is_told(running, fault, said):
    setattr(running.systemd, fault, True)
    with pytest.raises(
        HostError, match=f"nova-compute.service was restarted, but {said} within .* see journalctl -u nova-compute.service"
    ):
        wait(running)


def test_a_process_that_does_not_read_our_file_is_told(running):
    fill(running.root, {"/etc/nova/realtime-kvm.conf": ""})
    with pytest.raises(HostError, match="its process was not told to read /etc/nova/realtime-kvm"):
        wait(running)


def test_a_process_that_ends_soon_after_does_not_count(running, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.05)
    shown = running.systemd

    def ends(command):
        if command[1] == "show" and shown.calls:
            ends.looks += 1
            if ends.looks == 3:
                shown.pids.clear()
        return shown(command)

    ends.looks = 0
    host, service = writable(running.root, "nova_compute"), found(running)
    ends(["systemctl", "try-restart", "nova-compute.service"])
    with pytest.raises(HostError, match="it does not run"):
        read_back(host, ends, replace(service), start_of(host, service.pid), 0.3)
