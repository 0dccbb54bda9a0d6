# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch of a running node: who polls where, which ports there are, who may enter the sockets' folder."""

import json
import os

from integration.lab import module
from integration.machine import cpus, look

NODE = os.environ.get("LAB_NODES", "node1")

HOUSEKEEPING, DATAPLANE = cpus("0-1,6-7"), cpus("2-3")
SOCKETS = "/run/realtime-kvm/vhost"


def vsctl(host, *words):
    return host.check_output("ovs-vsctl --timeout=30 " + " ".join(words))


def test_dpdk_runs(host):
    assert vsctl(host, "get Open_vSwitch . dpdk_initialized") == "true"
    assert host.service("openvswitch-switch").is_enabled


def test_only_dataplane_cpus_are_polled_on_and_nothing_else_of_the_switch_is_there():
    _guests, switch = look(NODE)
    polling = [thread for thread in switch if thread.name.startswith("pmd-")]
    assert sorted(sorted(thread.cpus) for thread in polling) == [[cpu] for cpu in sorted(DATAPLANE)]
    for thread in switch:
        assert thread in polling or thread.cpus <= HOUSEKEEPING, thread


def test_settings_say_where_to_poll_and_leave_the_rest_to_the_daemon(host):
    settings = vsctl(host, "get Open_vSwitch . other_config")
    for part in ('pmd-cpu-mask="0xc"', 'dpdk-socket-mem="64,64"', 'dpdk-init="true"'):
        assert part in settings.replace("pmd-cpu-mask=0xc", 'pmd-cpu-mask="0xc"'), settings
    assert "dpdk-lcore-mask" not in settings


def test_each_guest_has_a_port_where_qemu_will_listen(host):
    assert vsctl(host, "get Bridge br-control datapath_type") == "netdev"
    assert set(vsctl(host, "list-ports br-control").split()) == {"plc1.control", "plc2.control"}
    for guest in ("plc1", "plc2"):
        port = f"{guest}.control"
        assert vsctl(host, f"get Interface {port} type") == "dpdkvhostuserclient"
        assert vsctl(host, f"get Interface {port} options:vhost-server-path").strip('"') == f"{SOCKETS}/{port}"
        assert vsctl(host, f"get Interface {port} external_ids:realtime-kvm-guest").strip('"') == guest


def test_only_qemus_user_may_enter_the_folder_of_the_sockets(host):
    folder = host.file(SOCKETS)
    assert (folder.mode, folder.user, folder.group) == (0o700, "libvirt-qemu", "root")
    assert host.run(f"runuser -u nobody -- ls {SOCKETS}").failed
    assert host.run(f"runuser -u libvirt-qemu -- ls {SOCKETS}").succeeded


def test_what_an_administrator_made_is_still_there(host):
    assert "br-admin" in vsctl(host, "list-br").split()
    assert vsctl(host, "list-ports br-admin").split() == ["admin0"]
    assert vsctl(host, "get Bridge br-admin external_ids:owner").strip('"') == "admin"
    assert "flow-limit" in vsctl(host, "get Open_vSwitch . other_config")


def test_a_hand_edit_is_the_only_thing_that_check_mode_shows(host):
    request = {
        "networks": "{{ realtime_networks }}",
        "guests": "{{ realtime_guests }}",
        "socket_memory_mib": "{{ ovs_dpdk_socket_memory_mib }}",
        "pmd_sleep_max_us": "{{ ovs_dpdk_pmd_sleep_max_us }}",
    }
    vsctl(host, "set Open_vSwitch . other_config:pmd-cpu-mask=0x8")
    try:
        result = module(NODE, "realtime.kvm.ovs_dpdk", "-a", json.dumps(request), "--check")
    finally:
        vsctl(host, "set Open_vSwitch . other_config:pmd-cpu-mask=0xc")
    assert [change["resource"].rpartition(" ")[2] for change in result["changes"]] == ["other_config:pmd-cpu-mask"], result


def test_a_restart_brings_everything_back(host):
    assert host.run("systemctl restart openvswitch-switch").succeeded
    assert vsctl(host, "get Open_vSwitch . dpdk_initialized") == "true"
    test_only_dataplane_cpus_are_polled_on_and_nothing_else_of_the_switch_is_there()
