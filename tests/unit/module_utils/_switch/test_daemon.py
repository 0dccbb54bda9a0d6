# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon of the switch: its files, its program, its threads, its start."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import SOCKET_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host import threads as _threads
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import restore_threads
from ansible_collections.realtime.kvm.plugins.module_utils._switch import daemon as _ovs_daemon
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import (
    ALTERNATIVE,
    DPDK_PROGRAM,
    DRIVERCTL,
    DROP_IN,
    LOG,
    PID_FILE,
    PLAIN_PROGRAM,
    PROGRAM,
    TMPFILES,
    check_pages,
    find_daemon,
    is_installed,
    last_errors,
    note_selinux,
    plan_enabled,
    plan_files,
    plan_program,
    plan_threads,
    remove_folder,
    restore_program,
    socket_folder,
    start,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from unit.trees import fill, plan, writable

PARTITION = plan(Intent(smt="together", cpus={"housekeeping": "0-1", "dataplane": "2", "realtime": "3"}))
DEBIAN = {
    "/etc/debian_version": "13\n",
    DPDK_PROGRAM: "",
    PLAIN_PROGRAM: "",
    "/usr/lib/x/dpdk/pmds-25.0/librte_mempool_ring.so.25": "",
}
DEBIAN_LINK = {ALTERNATIVE: ("link", PLAIN_PROGRAM)}
GROUPS = {
    "/etc/group": "root:x:0:\nkvm:x:108:\nbad\n",
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nlibvirt-qemu:x:64055:108::/:/bin/false\nbad\n",
}


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {BOOT_ID: "aaaabbbb-cccc\n", "/var/lib/": None})


class Programs:
    """Remembers what was run and does to the tree what it does to a machine."""

    def __init__(self, root, fails=""):
        self.root, self.fails, self.commands = root, fails, []

    def __call__(self, command):
        self.commands.append(" ".join(command))
        if self.fails and self.fails in self.commands[-1]:
            return 1, "", "it did not work\n"
        if command[0] == "systemd-tmpfiles":
            fill(self.root, {f"{SOCKET_DIR}/": None})
            *_rest, line = [line for line in (self.root / TMPFILES[1:]).read_text().splitlines() if line.startswith("d ")]
            mode, user, group = line.split()[2:5]
            numbers = {"root": 0, "kvm": 108, "libvirt-qemu": 64055}
            os.chown(f"{self.root}{SOCKET_DIR}", numbers[user], numbers[group])
            os.chmod(f"{self.root}{SOCKET_DIR}", int(mode, 8))
        if command[0] == "update-alternatives":
            os.unlink(f"{self.root}{ALTERNATIVE}")
            os.symlink(PLAIN_PROGRAM if command[1] == "--auto" else command[-1], f"{self.root}{ALTERNATIVE}")
        return 0, "", ""


def run(root, planner, **more):
    host = writable(root, "ovs_dpdk", **more)
    with host.locked():
        planner(host)
        host.commit()
    return host


def resources(host):
    return [change.resource for change in host.changes]


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder belongs to root")
def test_files_and_folder_of_debian(root):
    fill(root, {**DEBIAN, **GROUPS})
    programs = Programs(root)
    folder = socket_folder(writable(root), "")
    assert resources(run(root, lambda host: plan_files(host, programs, PARTITION, folder))) == [DROP_IN, TMPFILES, SOCKET_DIR]
    assert programs.commands == [f"systemd-tmpfiles --create {TMPFILES}"]
    drop_in = (root / DROP_IN[1:]).read_text().splitlines()
    assert [line for line in drop_in if not line.startswith("#")] == ["[Service]", "CPUAffinity=", "CPUAffinity=0-1"]
    folders = [line for line in (root / TMPFILES[1:]).read_text().splitlines() if not line.startswith("#")]
    assert folders == ["d /run/realtime-kvm 0755 root root -", "d /run/realtime-kvm/vhost 0700 libvirt-qemu root -"]
    assert resources(run(root, lambda host: plan_files(host, programs, PARTITION, folder))) == []
    os.chown(f"{root}{SOCKET_DIR}", 0, 108)
    os.chmod(f"{root}{SOCKET_DIR}", 0o770)
    host = run(root, lambda host: plan_files(host, programs, PARTITION, folder), check_mode=True)
    assert [(change.before, change.after) for change in host.changes] == [("0770 root:kvm", "0700 libvirt-qemu:root")]


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder belongs to root")
def test_a_group_that_was_given_may_enter_a_sticky_folder(root):
    fill(root, {**DEBIAN, **GROUPS})
    folder = socket_folder(writable(root), "kvm")
    run(root, lambda host: plan_files(host, Programs(root), PARTITION, folder))
    assert "d /run/realtime-kvm/vhost 1770 root kvm -" in (root / TMPFILES[1:]).read_text()
    assert resources(run(root, lambda host: plan_files(host, Programs(root), PARTITION, folder))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
@pytest.mark.parametrize(("uid", "gid", "able"), [(64055, 108, True), (1000, 108, False), (1000, 1000, False)])
def test_no_member_of_qemus_group_stands_in_for_a_guest_or_the_switch(root, uid, gid, able):
    """As the users themselves: makes a guest's socket before it starts, enters one, and removes one."""
    fill(root, {**DEBIAN, **GROUPS})
    run(root, lambda host: plan_files(host, Programs(root), PARTITION, socket_folder(host, "")))
    for parent in (root, *root.parents):
        if parent != parent.parent and parent.stat().st_uid == 0 and str(parent).startswith(tempfile.gettempdir() + "/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    (root / "run" / "realtime-kvm").chmod(0o755)
    folder = root / SOCKET_DIR[1:]
    attacks = f"mkdir {folder}/plc1.control; ls {folder}; rmdir {folder}/plc1.control"
    done = subprocess.run(["/bin/sh", "-ec", attacks], user=uid, group=gid, extra_groups=[108], capture_output=True, check=False)
    assert (done.returncode == 0) is able


def test_where_the_daemon_is_not_root_it_may_enter_all_the_same(root):
    host = writable(root)
    folder = socket_folder(host, "")
    run(root, lambda host: plan_files(host, Programs(root), PARTITION, folder), check_mode=True)
    assert str(folder) == "0770 qemu:root", "the mask of its ACL"
    text = _ovs_daemon._tmpfiles(host, folder)
    assert "d /run/realtime-kvm/vhost 0700 qemu root -" in text
    assert "a+ /run/realtime-kvm/vhost - - - - u:openvswitch:rwx,d:u:openvswitch:rwx" in text
    assert str(socket_folder(host, "libvirt-qemu")) == "1770 root:libvirt-qemu"
    fill(root, DEBIAN)
    assert str(socket_folder(host, "")) == "0700 libvirt-qemu:root"
    assert "openvswitch" not in _ovs_daemon._tmpfiles(host, socket_folder(host, ""))


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ('#user = "x"\n', "libvirt-qemu"),
        ('user = "kvmuser" # ours\n', "kvmuser"),
        ('  user="+64055"\n', "libvirt-qemu"),
        ('user = "+7"\n', "7"),
        ('user = "a b"\n', "libvirt-qemu"),
    ],
)
def test_the_user_is_that_of_libvirts_configuration(root, text, user):
    fill(root, {**DEBIAN, **GROUPS, "/etc/libvirt/qemu.conf": text})
    assert socket_folder(writable(root), "").user == user


@pytest.mark.parametrize("group", ["a b", "a\nf", "9", "a:b"])
def test_a_group_that_is_no_name(root, group):
    with pytest.raises(SwitchError, match=r"^ovs_dpdk_socket_group: .* is not the name of a group"):
        socket_folder(writable(root), group)


@pytest.mark.parametrize(("given", "missing"), [("", "user qemu"), ("qemu", "group qemu")])
def test_a_user_or_group_that_does_not_exist(root, given, missing):
    fill(root, GROUPS)
    with pytest.raises(
        HostError, match=f"there is no {missing} on this node; run the kvm_host role, which installs QEMU, or set ovs_"
    ):
        run(root, lambda host: plan_files(host, Programs(root), PARTITION, socket_folder(host, given)))


def test_the_folder_goes_unless_it_is_used(root):
    assert resources(run(root, remove_folder)) == []
    fill(root, {f"{SOCKET_DIR}/plc1.control": ""})
    host = run(root, remove_folder)
    assert resources(host) == []
    assert "since guests have sockets in it: plc1.control" in host.notes[0]
    os.unlink(f"{root}{SOCKET_DIR}/plc1.control")
    assert resources(run(root, remove_folder)) == [SOCKET_DIR]
    assert not (root / "run" / "realtime-kvm").exists()


# -- program ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "manual"])
def test_the_daemon_with_dpdk_is_chosen_and_the_choice_given_back(root, mode):
    fill(root, {**DEBIAN, **DEBIAN_LINK, "/var/lib/dpkg/alternatives/ovs-vswitchd": f"{mode}\n/usr/sbin/ovs-vswitchd\n"})
    programs = Programs(root)
    host = run(root, lambda host: plan_program(host, programs))
    assert [(change.before, change.after) for change in host.changes] == [(PLAIN_PROGRAM, DPDK_PROGRAM)]
    assert resources(run(root, lambda host: plan_program(host, programs))) == []
    host = run(root, lambda host: restore_program(host, programs))
    assert [(change.before, change.after) for change in host.changes] == [(DPDK_PROGRAM, PLAIN_PROGRAM)]
    how = "--auto ovs-vswitchd" if mode == "auto" else f"--set ovs-vswitchd {PLAIN_PROGRAM}"
    assert programs.commands == [f"update-alternatives --set ovs-vswitchd {DPDK_PROGRAM}", f"update-alternatives {how}"]
    assert resources(run(root, lambda host: restore_program(host, programs))) == []


def test_the_choice_is_predicted_before_the_package_is_there(root):
    fill(root, {"/etc/debian_version": "13\n"})
    host = run(root, lambda host: plan_program(host, Programs(root)), check_mode=True)
    assert [(change.before, change.after) for change in host.changes] == [(PLAIN_PROGRAM, DPDK_PROGRAM)]


@pytest.mark.parametrize("missing", [DPDK_PROGRAM, "/usr/lib/x/dpdk/pmds-25.0/librte_mempool_ring.so.25", "/etc/debian_version"])
def test_what_is_not_installed_is_refused_with_the_role(root, missing):
    fill(root, {path: text for path, text in DEBIAN.items() if path != missing})
    assert is_installed(writable(root)) is False
    with pytest.raises(HostError, match=r"^Open vSwitch with DPDK is not complete on this node .*; run the ovs_dpdk role"):
        run(root, lambda host: plan_program(host, Programs(root)))


@pytest.mark.parametrize("missing", [DRIVERCTL, "/usr/lib/x/dpdk/pmds-25.0/librte_net_e1000.so.25"])
def test_devices_need_more(root, missing):
    more = {DRIVERCTL: "", "/usr/lib/x/dpdk/pmds-25.0/librte_net_e1000.so.25": ""}
    fill(root, {**DEBIAN, **DEBIAN_LINK, **{path: text for path, text in more.items() if path != missing}})
    run(root, lambda host: plan_program(host, Programs(root)))
    with pytest.raises(HostError, match=r"is not complete on this node \(.*/usr/sbin/driverctl or DPDK's plug-ins are missing\)"):
        run(root, lambda host: plan_program(host, Programs(root), devices=True))
    fill(root, more)
    run(root, lambda host: plan_program(host, Programs(root), devices=True))


def test_the_red_hat_family_has_one_daemon(root):
    fill(root, {PROGRAM: ""})
    assert resources(run(root, lambda host: plan_program(host, Programs(root)))) == []


@pytest.mark.parametrize(
    ("files", "link"),
    [
        ({"/etc/debian_version": ""}, None),  # the package enables it
        ({"/etc/debian_version": "", "/usr/lib/systemd/system/openvswitch-switch.service": ""}, "openvswitch-switch"),
        (
            {
                "/etc/debian_version": "",
                "/lib/systemd/system/openvswitch-switch.service": "",
                "/etc/systemd/system/multi-user.target.wants/openvswitch-switch.service": ("link", "x"),
            },
            None,
        ),
        ({}, "openvswitch"),
    ],
)
def test_the_switch_starts_at_boot(root, files, link):
    fill(root, files)
    wanted = [] if link is None else [f"/etc/systemd/system/multi-user.target.wants/{link}.service"]
    assert resources(run(root, plan_enabled)) == wanted
    assert resources(run(root, plan_enabled)) == []


# -- threads ---------------------------------------------------------------------------------------


def thread_files(pid, task, name, allowed, started=100):
    fields = ["S", "1"] + ["0"] * 48
    fields[19], fields[37], fields[38] = str(started), "0", "0"
    return {
        f"/proc/{pid}/task/{task}/stat": f"{task} ({name}) {' '.join(fields)}\n",
        f"/proc/{pid}/task/{task}/status": f"Name:\t{name}\nCpus_allowed_list:\t{allowed}\n",
    }


def daemon_files(pid=77, name="ovs-vswitchd"):
    main = thread_files(pid, pid, name, "0-3")
    return {**main, **{path.replace(f"/task/{pid}", ""): text for path, text in main.items()}, PID_FILE: f"{pid}\n"}


def test_the_daemon_is_the_process_of_its_pid_file(root):
    assert find_daemon(writable(root)) is None
    fill(root, daemon_files(name="bash"))
    assert find_daemon(writable(root)) is None
    fill(root, daemon_files())
    found = find_daemon(writable(root))
    assert (found.pid, found.process) == (77, "aaaabbbb-77-100")
    fill(root, {PID_FILE: "x"})
    assert find_daemon(writable(root)) is None


def test_threads_that_do_not_poll_are_moved_and_moved_back(root, monkeypatch):
    moved = {}
    for module in (_threads, _ovs_daemon):
        monkeypatch.setattr(module, "set_affinity", lambda pid, cpus: moved.update({pid: cpus}))
    fill(root, daemon_files())
    for task, name, allowed in ((78, "handler1", "0-3"), (79, "dpdk-intr", "1"), (80, "pmd-c02/id:9", "2"), (81, "urcu2", "0-1")):
        fill(root, thread_files(77, task, name, allowed))
        fill(
            root,
            {
                path.replace("/task/", "/../").replace("/77/../", "/"): text
                for path, text in thread_files(77, task, name, allowed).items()
            },
        )
    host = run(root, lambda host: plan_threads(host, find_daemon(host), PARTITION))
    assert resources(host) == ["thread:ovs-vswitchd:77:100:affinity", "thread:handler1:78:100:affinity"]
    assert moved == {77: "0-1", 78: "0-1"}
    fill(root, thread_files(77, 78, "handler1", "0-1"))
    fill(root, {path.replace("/77/task", ""): text for path, text in thread_files(77, 78, "handler1", "0-1").items()})
    run(root, restore_threads)
    assert moved == {77: "0-3", 78: "0-3"}


# -- start -----------------------------------------------------------------------------------------


def pages(node, **counts):
    return {
        f"/sys/devices/system/node/node{node}/hugepages/hugepages-{size[1:]}kB/free_hugepages": f"{count}\n"
        for size, count in counts.items()
    }


def test_pages_are_checked_before_a_start(root):
    fill(root, {**pages(0, _2048=16, _1048576=1), **pages(1, _2048=16)})
    host = writable(root)
    check_pages(host, {"dpdk-socket-mem": "1056,32"}, {}, running=False)
    with pytest.raises(
        SwitchError,
        match=r"^ovs_dpdk_socket_memory_mib: the switch needs 64 MiB of huge pages on NUMA node 1, 32 MiB are free",
    ):
        check_pages(host, {"dpdk-socket-mem": "0,64"}, {"dpdk-socket-mem": "0,32"}, running=False)
    check_pages(host, {"dpdk-socket-mem": "0,64"}, {"dpdk-socket-mem": "0,32"}, running=True)
    check_pages(host, {"dpdk-socket-mem": None}, {}, running=False)
    with pytest.raises(SwitchError, match="NUMA node 2, 0 MiB are free"):
        check_pages(host, {"dpdk-socket-mem": "0,0,1"}, {"dpdk-socket-mem": "rubbish"}, running=True)


@pytest.mark.parametrize("restart", [True, False])
def test_a_start(root, restart):
    programs, done = Programs(root, fails="reset-failed"), []
    start(writable(root), programs, restart=restart, after=lambda: done.append(1))
    how = "restart" if restart else "start"
    assert programs.commands == ["systemctl reset-failed ovs-vswitchd.service", f"systemctl {how} ovs-vswitchd.service"]
    assert done == [1]
    fill(root, {"/run/systemd/system/": None})
    start(writable(root), programs, restart=restart, after=lambda: None)
    assert programs.commands[2] == "systemctl daemon-reload"


def test_a_start_that_fails_tells_what_the_log_says(root):
    text = "2026|00001|dpdk|INFO|hello\n2026-11-22T22:00Z|00002|dpdk|EMER|Unable to initialize DPDK: Cannot allocate memory\n"
    fill(root, {LOG: text})
    with pytest.raises(HostError) as caught:
        start(writable(root), Programs(root, fails=" start "), restart=False, after=lambda: None)
    assert (
        str(caught.value)
        == "ovs-vswitchd did not start: it did not work; its log: dpdk|EMER|Unable to initialize DPDK: Cannot allocate memory"
    )
    assert last_errors(writable(fill(root / "other", {"/x": ""}))) == f"; see {LOG}"


@pytest.mark.parametrize(("enforce", "said"), [("1\n", True), ("0\n", False), (None, False)])
def test_what_selinux_may_refuse_is_said_where_it_enforces(root, enforce, said):
    fill(root, {} if enforce is None else {"/sys/fs/selinux/enforce": enforce})
    host = writable(root)
    note_selinux(host)
    assert ["openvswitch_t" in note for note in host.notes] == ([True] if said else [])
