# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron's agent is told on a node: by one more argument of its unit."""

FILE = "/etc/neutron/realtime-kvm.conf"
UNIT = "neutron-openvswitch-agent.service"


def test_the_datapath_and_the_folder_are_those_of_the_switch(host):
    text = host.file(FILE).content_string
    assert "datapath_type = netdev\n" in text
    assert "vhostuser_socket_dir = /run/realtime-kvm/vhost\n" in text


def test_the_process_reads_the_file_last(host):
    pid = host.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    words = host.check_output(f"tr '\\0' ' ' < /proc/{pid}/cmdline").split()
    assert words[-1] == f"--config-file={FILE}"


def test_the_operators_file_is_untouched(host):
    assert (
        host.file("/etc/neutron/neutron.conf").content_string == "[DEFAULT]\ntransport_url = rabbit://nobody:secret@controller\n"
    )
