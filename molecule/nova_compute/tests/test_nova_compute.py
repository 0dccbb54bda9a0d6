# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nova-compute is told on a node: in a folder that it reads by itself, and since its last start."""

FILE = "/etc/nova/nova-compute.conf.d/zz-realtime-kvm.conf"


def test_sets_are_those_of_the_partition(host):
    text = host.file(FILE).content_string
    assert "cpu_shared_set = 0-1,6-7\n" in text
    assert "cpu_power_management = false\n" in text
    assert "cpu_dedicated_set = " in text


def test_traits_are_reported(host):
    assert "- CUSTOM_REALTIME_KVM\n" in host.file("/etc/nova/provider_config/realtime-kvm.yaml").content_string


def test_the_operators_file_is_untouched(host):
    assert host.file("/etc/nova/nova.conf").content_string == "[DEFAULT]\ntransport_url = rabbit://nobody:secret@controller\n"


def test_the_service_was_started_after_the_file_was_written(host):
    pid = host.check_output("systemctl show --property=MainPID --value nova-compute.service")
    started = host.check_output(f"stat --format=%Y /proc/{pid}")
    assert int(started) >= int(host.check_output(f"stat --format=%Y {FILE}"))
