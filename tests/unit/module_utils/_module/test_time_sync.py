# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""time_sync: chrony and PTP are set up once, others end only after the new source has answered, and undo restores what was there."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._time import plan as plan_file
from ansible_collections.realtime.kvm.plugins.module_utils._time.texts import PHC2SYS_UNIT, PTP4L_UNIT
from unit.clocks import DEBIAN, EL, HOUSEKEEPING, LINUXPTP, PTP, Clocks, cpus_of, node, run
from unit.systemds import Killed
from unit.trees import fill, snapshot

ON = {"chrony.service": (True, True)}
DROP_IN = "/etc/systemd/system/chrony.service.d/realtime-kvm.conf"
OURS = "/etc/chrony/realtime-kvm.conf"
SERVERS = {"source": "chrony", "servers": ["10.0.0.1", "ntp.plant.example"]}
HEARD = {
    "ptp4l": "ptp4l[1.0]: port 1: LISTENING to UNCALIBRATED on RS_SLAVE\nptp4l[2.0]: master offset -12 s0 freq +0 path delay 5\n"
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(plan_file, "_SETTLE_S", 0.0)
    monkeypatch.setattr(plan_file, "_UP_S", 0.05)


def files(root):
    """All files and folders but those of processes, with their content."""
    return {path: value for path, value in snapshot(root).items() if not path.startswith(("/proc", "/sys"))}


def text(root, path):
    return Path(f"{root}{path}").read_text()


def test_without_a_source_nothing_is_looked_at(tmp_path):
    def never(command):
        raise AssertionError(command)

    done = run(node(tmp_path, DEBIAN), never)
    assert (done["changed"], done["source"], done["installed"]) == (False, "", True)


def test_chrony_gets_its_cpus_and_servers_once_and_undo_is_exact(tmp_path):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, ON)
    before = files(root)
    predicted = run(root, systemd, check_mode=True, **SERVERS)
    assert files(root) == before
    made = run(root, systemd, **SERVERS)
    assert made["changes"] == predicted["changes"]
    assert made["disruption"] == "stall"
    assert cpus_of(root, "chrony.service") == HOUSEKEEPING == "0"
    lines = text(root, OURS).splitlines()[2:]
    assert lines == ["include /etc/chrony/chrony.conf", "server 10.0.0.1 iburst prefer", "server ntp.plant.example iburst prefer"]
    drop_in = text(root, DROP_IN)
    assert "Before=libvirtd.service virtqemud.service libvirt-guests.service\n" in drop_in
    assert drop_in.endswith(f"ExecStart=\nExecStart=!/usr/sbin/chronyd $DAEMON_OPTS -f {OURS}\n")
    assert "CPUScheduling" not in drop_in, "the policy was not given"
    assert made["notes"] == [
        "/etc/chrony/chrony.conf names other sources too, which stay: 2.debian.pool.ntp.org; chrony prefers those of time_sync_servers"
    ]
    assert run(root, systemd, **SERVERS)["changed"] is False
    assert run(root, systemd, source="none")["changed"] is True
    assert cpus_of(root, "chrony.service") == "0-3"
    assert files(root) == before
    assert run(root, systemd, state="absent")["changed"] is False


def test_chrony_without_more_keeps_its_command(tmp_path):
    root = node(tmp_path, EL)
    systemd = Clocks(root, {"chronyd.service": (False, False)})
    done = run(root, systemd, source="chrony", priority=1)
    assert systemd.units["chronyd.service"] == [True, True]
    drop_in = text(root, "/etc/systemd/system/chronyd.service.d/realtime-kvm.conf")
    assert "ExecStart" not in drop_in
    assert "CPUSchedulingPolicy=fifo\nCPUSchedulingPriority=1\n" in drop_in
    assert done["units"] == ["chronyd.service"]
    assert run(root, systemd, source="chrony", priority=1)["changed"] is False
    run(root, systemd, state="absent")
    assert systemd.units["chronyd.service"] == [False, False]


def test_makestep_and_a_stamping_nic_come_after_chronys_own_file(tmp_path):
    root = node(tmp_path, EL)
    systemd = Clocks(root, {"chronyd.service": (True, True)})
    run(root, systemd, source="chrony", makestep="never", interface="eth0")
    assert text(root, "/etc/chrony.realtime-kvm.conf").splitlines()[2:] == [
        "include /etc/chrony.conf",
        "makestep 1 0",
        "hwtimestamp eth0",
    ]


def test_ptp_with_a_clock_of_the_nic_has_phc2sys_too(tmp_path):
    root = node(tmp_path, LINUXPTP)
    systemd = Clocks(root)
    before = files(root)
    predicted = run(root, systemd, check_mode=True, **PTP, domain=24, transport="L2", delay="P2P")
    made = run(root, systemd, **PTP, domain=24, transport="L2", delay="P2P")
    assert made["changes"] == predicted["changes"]
    assert (made["stamping"], made["units"]) == ("hardware", [PTP4L_UNIT, PHC2SYS_UNIT])
    assert "ExecStart=/usr/sbin/ptp4l -s -i eth0 -H -2 -P --domainNumber=24\n" in text(root, f"/etc/systemd/system/{PTP4L_UNIT}")
    assert "ExecStart=/usr/sbin/phc2sys -a -r -n 24\n" in text(root, f"/etc/systemd/system/{PHC2SYS_UNIT}")
    assert [cpus_of(root, name) for name in made["units"]] == ["0", "0"]
    assert run(root, systemd, **PTP, domain=24, transport="L2", delay="P2P")["changed"] is False
    made = run(root, systemd, source="ptp", interface="eth1", makestep="never")
    assert (made["stamping"], made["units"]) == ("software", [PTP4L_UNIT])
    assert "-i eth1 -S -4 -E --domainNumber=0 --first_step_threshold=0\n" in text(root, f"/etc/systemd/system/{PTP4L_UNIT}")
    assert cpus_of(root, PHC2SYS_UNIT) == ""
    assert "stamped by the kernel" in made["notes"][0]
    assert run(root, systemd, source="ptp", interface="eth1", makestep="never")["changed"] is False
    run(root, systemd, state="absent")
    assert files(root) == before


def test_a_running_chrony_ends_only_after_a_grandmaster_has_answered(tmp_path):
    root = node(tmp_path, DEBIAN, LINUXPTP)
    systemd = Clocks(root, {**ON, "systemd-timesyncd.service": (False, False)})
    with pytest.raises(
        RefusalError, match=r"chrony.service \(enabled, active\) would steer the clock too; set time_sync_take_over"
    ):
        run(root, systemd, **PTP)
    before = files(root)
    with pytest.raises(
        HostError, match=r"no grandmaster of domain 0 is heard on eth0 within 20 s .*; chrony.service still steers the clock"
    ):
        run(root, systemd, **PTP, take_over=True)
    assert systemd.units["chrony.service"] == [True, True]
    assert set(files(root)) - set(before) == {f"/var/lib/realtime-kvm{name}" for name in ("", "/journal.json", "/lock")}
    systemd.answers.update(HEARD)
    made = run(root, systemd, **PTP, take_over=True)
    assert "--free_running=1" in systemd.asked[-1]
    assert systemd.units["chrony.service"] == [False, False]
    assert systemd.calls.index("stop chrony.service") < systemd.calls.index(f"restart {PTP4L_UNIT}")
    assert made["others"] == ["chrony.service"]
    assert run(root, systemd, **PTP)["changed"] is False
    run(root, systemd, state="absent")
    assert systemd.units["chrony.service"] == [True, True]
    assert cpus_of(root, PTP4L_UNIT) == ""


def test_timesyncd_ends_only_after_a_server_has_answered(tmp_path):
    root = node(tmp_path, DEBIAN, {"/lib/systemd/system/systemd-timesyncd.service": "[Service]\nExecStart=/x\n"})
    systemd = Clocks(root, {"chrony.service": (False, False), "systemd-timesyncd.service": (True, True)})
    with pytest.raises(
        HostError, match=r"none of 10.0.0.1, ntp.plant.example has answered .*systemd-timesyncd.service still steers"
    ):
        run(root, systemd, **SERVERS, take_over=True)
    assert systemd.units["systemd-timesyncd.service"] == [True, True]
    systemd.answers["chronyd"] = "System clock wrong by -0.000084 seconds (ignored)\n"
    run(root, systemd, **SERVERS, take_over=True)
    assert systemd.asked[-1].startswith("chronyd -u root -Q -t 10 server 10.0.0.1 iburst")
    assert (systemd.units["systemd-timesyncd.service"], systemd.units["chrony.service"]) == ([False, False], [True, True])
    run(root, systemd, source="none")
    assert (systemd.units["systemd-timesyncd.service"], systemd.units["chrony.service"]) == ([True, True], [False, False])


def test_from_ptp_to_chrony_and_back_each_proves_itself(tmp_path):
    root = node(tmp_path, DEBIAN, LINUXPTP)
    systemd = Clocks(root, {"chrony.service": (False, False)})
    run(root, systemd, **PTP)
    with pytest.raises(HostError, match=f"{PTP4L_UNIT}, {PHC2SYS_UNIT} still steers the clock"):
        run(root, systemd, **SERVERS)
    assert cpus_of(root, PTP4L_UNIT) == "0"
    systemd.answers["chronyd"] = "System clock wrong by 0.1 seconds (ignored)\n"
    run(root, systemd, **SERVERS)
    assert (cpus_of(root, PTP4L_UNIT), cpus_of(root, "chrony.service")) == ("", "0")
    assert not Path(f"{root}/etc/systemd/system/{PTP4L_UNIT}").exists()
    assert not list(Path(f"{root}/etc/systemd/system/multi-user.target.wants").iterdir())
    assert run(root, systemd, **SERVERS)["changed"] is False
    systemd.answers.update(HEARD)
    run(root, systemd, **PTP, take_over=True)
    assert (cpus_of(root, PTP4L_UNIT), cpus_of(root, "chrony.service")) == ("0", "")
    assert not Path(f"{root}{DROP_IN}").exists()


@pytest.mark.parametrize("at", range(5))
def test_a_run_that_is_killed_anywhere_can_be_run_again_and_undone(tmp_path, at):
    for again in (True, False):
        root = node(tmp_path / str(again), DEBIAN, LINUXPTP)
        systemd = Clocks(root, ON, HEARD)
        before = files(root)
        systemd.kill_at = at
        with pytest.raises(Killed):
            run(root, systemd, **PTP, take_over=True)
        systemd.kill_at = None
        if again:
            run(root, systemd, **PTP, take_over=True)
            assert [cpus_of(root, name) for name in (PTP4L_UNIT, PHC2SYS_UNIT, "chrony.service")] == ["0", "0", ""]
            assert run(root, systemd, **PTP)["changed"] is False
        run(root, systemd, state="absent")
        assert systemd.units["chrony.service"] == [True, True]
        assert files(root) == before


def test_what_was_stopped_or_moved_meanwhile_is_started_again(tmp_path):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, ON)
    run(root, systemd, **SERVERS)
    systemd.start("chrony.service", cpus="0-3")
    [change] = run(root, systemd, **SERVERS)["changes"]
    assert (change["resource"], change["before"], change["after"]) == (
        "service:chrony.service", "running on CPUs 0-3", "running on CPUs 0",
    )  # fmt: skip
    systemd(["systemctl", "stop", "chrony.service"])
    assert [change["before"] for change in run(root, systemd, **SERVERS)["changes"]] == ["stopped"]
    assert cpus_of(root, "chrony.service") == "0"


def test_a_service_that_does_not_stay_up_fails_the_run(tmp_path, monkeypatch):
    root = node(tmp_path, LINUXPTP)
    systemd = Clocks(root)
    monkeypatch.setattr(systemd, "start", lambda name: None)
    with pytest.raises(
        HostError, match=f"{PTP4L_UNIT} was started, but does not stay running on CPUs 0 .it is stopped.; see journalctl"
    ):
        run(root, systemd, **PTP)


def test_without_the_packages_the_plan_says_so(tmp_path):
    root = node(tmp_path)
    done = run(root, Clocks(root), check_mode=True, **PTP)
    assert (done["installed"], done["disruption"]) == (False, "stall")
    assert [change["resource"] for change in done["changes"]] == ["service:ptp"]
    with pytest.raises(RefusalError, match=r"the limit is none, but the plan needs more: service:ptp .stall."):
        run(root, Clocks(root), check_mode=True, max_disruption="none", **PTP)
    with pytest.raises(HostError, match="linuxptp is not installed; the role time_sync installs it"):
        run(root, Clocks(root), **PTP)


@pytest.mark.parametrize(
    ("more", "parameters", "message"),
    [
        ({}, {"source": "ptp", "interface": "eth7"}, "the node has no interface eth7; it has eth0, eth1"),
        ({}, {"source": "ptp", "interface": "br0"}, "br0 is a bridge"),
        ({}, {"source": "ptp", "interface": "bond0"}, "bond0 is a bond, whose ports have clocks of their own"),
        ({}, {"source": "ptp", "interface": "wlan0"}, "wlan0 is wireless"),
        ({}, {"source": "ptp", "interface": "lo"}, "lo leads nowhere"),
        ({}, {"source": "ptp", "interface": "eth1", "stamping": "hardware"}, "in hardware .it has: software.; choose time_sync_stamping: auto"),
        ({}, {"source": "chrony", "interface": "eth1"}, "eth1 stamps no packets in hardware .*leave time_sync_interface out"),
        ({}, {**PTP, "networks": [{"name": "control", "device": "eth0"}]}, "eth0 is the switch's, for network control"),
        ({}, {"source": "ptp", "interface": "0000:41:00.0"}, "the node has no PCI device 0000:41:00.0"),
        (
            {"/sys/bus/pci/devices/0000:41:00.0/driver": ("link", "../../drivers/vfio-pci"), "/sys/bus/pci/drivers/vfio-pci/": None},
            {"source": "ptp", "interface": "0000:41:00.0"},
            "0000:41:00.0 is bound to vfio-pci, so the kernel's network does not have it",
        ),
        ({OURS: "server x\n"}, SERVERS, f"{OURS} exists and is not this collection's; move it away"),
        ({f"{DROP_IN}": "[Service]\n"}, {"source": "chrony"}, f"{DROP_IN} exists and is not this collection's"),
        (
            {"/etc/systemd/system/chrony.service.d/a.conf": "[Service]\nExecStart=/usr/sbin/chronyd\n"},
            {"source": "chrony"},
            "somebody else's drop-in starts it in another way",
        ),
        (
            {
                "/etc/default/chrony": "# options\nDAEMON_OPTS=\"-F 1 -x\"\n",
                "/etc/systemd/system/chrony.service.d/a.conf": "[Service]\nEnvironmentFile=-/etc/default/chrony\n",
            },
            {"source": "chrony"},
            "starts chronyd with -x ./etc/default/chrony., so it does not keep the clock",
        ),
        ({"/etc/systemd/system/chrony.service": ("link", "/dev/null")}, SERVERS, "chrony.service is masked, so it cannot start"),
        ({}, {"source": "chrony", "makestep": "\u0661 \u0663"}, "is not chrony's 'seconds updates'"),
        (
            {"/etc/systemd/system/chrony.service.d/a.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/chronyd -f /srv/c.conf\n"},
            {"source": "chrony"},
            "starts chronyd with -f .systemctl cat shows where., so its configuration is another one",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_write(tmp_path, more, parameters, message):
    root = fill(node(tmp_path, DEBIAN, LINUXPTP), more)
    before = files(root)
    with pytest.raises(RefusalError, match=message):
        run(root, Clocks(root), **parameters)
    assert files(root) == before


def test_a_program_of_nobodys_unit_is_named(tmp_path):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, ON)
    systemd.process(77, "/usr/sbin/ntpd -g", cgroup="/user.slice/session-1.scope")
    with pytest.raises(RefusalError, match=r"steered by ntpd .process 77, cgroup /user.slice/session-1.scope. too"):
        run(root, systemd, **SERVERS, take_over=True)


def test_the_plan_of_a_missing_chrony_names_what_ends(tmp_path):
    root = node(tmp_path, {"/lib/systemd/system/systemd-timesyncd.service": "[Service]\nExecStart=/x\n"})
    systemd = Clocks(root, {"systemd-timesyncd.service": (True, True)})
    done = run(root, systemd, check_mode=True, take_over=True, **SERVERS)
    assert [(change["resource"], change["disruption"]) for change in done["changes"]] == [
        ("daemons:clock:systemd-timesyncd.service", "stall"),
        ("service:chrony", "stall"),
    ]


def test_a_package_that_removes_the_old_service_comes_only_after_a_server_has_answered(tmp_path, monkeypatch):
    root = node(tmp_path, {"/lib/systemd/system/systemd-timesyncd.service": "[Service]\nExecStart=/x\n"})
    systemd = Clocks(root, {"systemd-timesyncd.service": (True, True)})
    before = files(root)
    monkeypatch.setattr(plan_file, "first_answer", lambda servers, seconds: "")
    assert run(root, systemd, check_mode=True, state="prepared", take_over=True, **SERVERS)["changed"] is False
    with pytest.raises(
        HostError, match=r"none of 10.0.0.1, ntp.plant.example has answered .*timesyncd.service still steers the clock"
    ):
        run(root, systemd, state="prepared", take_over=True, **SERVERS)
    assert files(root) == before
    monkeypatch.setattr(plan_file, "first_answer", lambda servers, seconds: servers[0])
    done = run(root, systemd, state="prepared", take_over=True, **SERVERS)
    assert (done["installed"], done["changed"], done["others"]) == (False, False, ["systemd-timesyncd.service"])
    assert files(root) == before
    fill(root, DEBIAN)
    systemd.units["systemd-timesyncd.service"] = [False, False]
    assert run(root, systemd, state="prepared", **SERVERS)["installed"] is True
    assert not Path(f"{root}{DROP_IN}").exists(), "an installed one is left to the run"


def test_a_chrony_that_did_not_come_up_with_our_file_runs_again_after_undo(tmp_path, monkeypatch):
    root = node(tmp_path, DEBIAN)
    systemd = Clocks(root, ON)
    before = files(root)
    monkeypatch.setattr(systemd, "start", systemd.end)
    with pytest.raises(HostError, match="does not stay"):
        run(root, systemd, **SERVERS)
    systemd.units["chrony.service"][1] = False
    monkeypatch.undo()
    assert run(root, systemd, state="absent")["changed"] is True
    assert systemd.units["chrony.service"] == [True, True]
    assert cpus_of(root, "chrony.service") == "0-3"
    assert files(root) == before


@pytest.mark.parametrize(
    ("unit", "state", "source"),
    [
        ("phc2sys@eth0.service", (True, False), SERVERS),
        ("phc2sys@eth0.service", (False, True), SERVERS),
        ("ptp4l@eth0.service", (True, True), PTP),
        ("ntpd-rs.service", (True, True), SERVERS),
    ],
)
def test_others_are_found_also_by_instances_of_a_template(tmp_path, unit, state, source):
    name, _sign, instance = unit.rpartition("@")
    root = node(
        tmp_path,
        DEBIAN,
        LINUXPTP,
        {f"/lib/systemd/system/{name}@.service" if name else f"/lib/systemd/system/{unit}": "[Service]\nExecStart=/x\n"},
    )
    systemd = Clocks(root, {**({} if source is PTP else ON), unit: state}, HEARD)
    if name and state[0]:
        fill(root, {f"/etc/systemd/system/multi-user.target.wants/{unit}": ("link", f"/lib/systemd/system/{name}@.service")})
    if name and state[1]:
        fill(root, {f"/sys/fs/cgroup/system.slice/system-{name}.slice/{unit}/cgroup.procs": "77\n"})
        systemd.process(77, f"/usr/sbin/{name} -i {instance}", cgroup=f"/system.slice/system-{name}.slice/{unit}")
    with pytest.raises(RefusalError, match=f"{unit} .* would steer the clock too"):
        run(root, systemd, **source)


@pytest.mark.parametrize(("program", "own"), [("", False), ("\0uds_ro_address\0", True)])
def test_the_trial_takes_no_socket_of_the_ptp4l_that_runs(tmp_path, program, own):
    root = node(tmp_path, DEBIAN, LINUXPTP, {"/usr/sbin/ptp4l": program})
    systemd = Clocks(root, ON, HEARD)
    run(root, systemd, **PTP, take_over=True)
    assert ("--uds_ro_address=/run/realtime-kvm-ptp4lro" in systemd.asked[-1]) is own
