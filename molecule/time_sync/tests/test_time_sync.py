# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""chrony on a running node: on housekeeping CPUs, with our file last, and before guests."""

UNIT = "chrony.service"


def test_it_runs_on_housekeeping_cpus(host):
    assert host.service("chrony").is_enabled
    script = f"for pid in $(cat /sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs); do grep Cpus_allowed_list /proc/$pid/task/*/status; done"
    lists = {line.split()[-1] for line in host.check_output(script).splitlines()}
    assert lists == {"0-1,6-7"}


def test_it_reads_our_file_which_includes_its_own(host):
    pid = host.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    assert host.check_output(f"tr '\\0' ' ' < /proc/{pid}/cmdline").strip().endswith("-f /etc/chrony/realtime-kvm.conf")
    assert "include /etc/chrony/chrony.conf\nmakestep 1 0\n" in host.file("/etc/chrony/realtime-kvm.conf").content_string
    assert "realtime" not in host.file("/etc/chrony/chrony.conf").content_string
    assert host.run("chronyc -c tracking").rc == 0


def test_it_starts_before_libvirt(host):
    assert "libvirtd.service" in host.check_output(f"systemctl show --property=Before --value {UNIT}").split()
