# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module kvm_host as Ansible runs it: on captured machines, on a tree that takes itself for a machine, and on bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import PCI
from ansible_collections.realtime.kvm.plugins.module_utils._guests import kvm as _kvm
from ansible_collections.realtime.kvm.plugins.module_utils._guests import libvirt as _libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Libvirt
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._memory.pools import pool_path
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.module_utils._module import kvm_host as body
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import build_archive
from ansible_collections.realtime.kvm.plugins.module_utils._node.hook import HOOK
from ansible_collections.realtime.kvm.plugins.modules import kernel_arguments, kvm_host
from unit.functions import NIC, Functions, vf
from unit.menus import MakeConfig
from unit.trees import documented, fill, machine_files, memory_files, snapshot

SHAPE = {"nodes": 2, "cores": 4, "threads": 1}
TOPOLOGY = build_topology(machine_files(**SHAPE))
PARTITION = to_document(plan_partition(TOPOLOGY, Intent(smt="together", cpus={"dataplane": "1", "realtime": "2-3,6-7"})))
CONFIG = config_path("kvm_host")
MOUNTS = "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n"
CPU = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm constant_tsc nonstop_tsc\n"
CONTROL = {"name": "control"}
PLC1 = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "networks": [{"network": "control"}]}
PLC2 = {**PLC1, "name": "plc2"}
BIG = {"name": "big", "memory_mib": 2048, "hugepages": "1G", "vcpus": 1, "numa_node": 1}
OFFICE = {"name": "office", "memory_mib": 512}


def nr(node, size="2M"):
    return f"{pool_path(node, size)}/nr_hugepages"


def machine(isolated="1-3,6-7", **memory):
    return {
        **machine_files(isolated=isolated, **SHAPE),
        **memory_files({0: 2000, 1: 4000}, **memory),
        "/proc/cpuinfo": CPU,
        "/proc/mounts": MOUNTS,
        "/proc/sys/kernel/hostname": "n1\n",
        **{f"{folder}/": None for folder in ("/var/lib", "/etc/modprobe.d", "/etc/systemd/system", "/run/systemd/system")},
    }


@pytest.fixture(name="told")
def _told(monkeypatch):
    """The warnings; where they go otherwise depends on what else of ansible is loaded."""
    warnings = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))
    return warnings


@pytest.fixture(name="call")
def _call(capsys, told):
    def call(*, check=False, name="kvm_host", **arguments):
        given = {"partition": PARTITION, **({"networks": [CONTROL]} if name == "kvm_host" else {}), **arguments}
        with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit) as stopped:
            {"kvm_host": kvm_host, "kernel_arguments": kernel_arguments}[name].main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        return result

    return call


# -- a snapshot ------------------------------------------------------------------------------------


@pytest.fixture(name="snap")
def _snap(tmp_path):
    return fill(tmp_path / "snap", machine())


def test_a_snapshot_is_planned_for_and_never_written(call, snap, told):
    before = snapshot(snap)
    result = call(fsroot=str(snap), guests=[PLC1, PLC2, BIG, OFFICE], socket_memory_mib=128, hugepages_reserve={"2M": 16})
    assert snapshot(snap) == before
    assert result["pages"] == {"0": {"2M": 200}, "1": {"1G": 2, "2M": 200}}
    assert result["hugepages"] == [
        {"node": 0, "size": "2M", "wanted": 200, "have": 0, "free": 0, "users": {"plc1": 128, "the switch": 64, "kvm_host_hugepages_reserve": 8}},
        {"node": 1, "size": "1G", "wanted": 2, "have": 0, "free": 0, "users": {"big": 2}},
        {"node": 1, "size": "2M", "wanted": 200, "have": 0, "free": 0, "users": {"plc2": 128, "the switch": 64, "kvm_host_hugepages_reserve": 8}},
    ]  # fmt: skip
    assert result["placements"] == {
        "plc1": {"nodes": [0], "vcpus": {"0": "2", "1": "3"}, "floating": "", "emulator": "0"},
        "plc2": {"nodes": [1], "vcpus": {"0": "6", "1": "7"}, "floating": "", "emulator": "4-5"},
        "big": {"nodes": [1], "vcpus": {}, "floating": "4-5", "emulator": "4-5"},
        "office": {"nodes": [], "vcpus": {}, "floating": "0,4-5", "emulator": "0,4-5"},
    }
    assert result["kernel_arguments"] == ["hugepagesz=1G", "hugepages=1:2"]
    assert (result["deferred"], result["installed"], result["disruption"]) == (True, False, "none")
    text = "NUMA node 1 has 0 of 2 huge pages of 1G: big cannot start before the kernel is booted with the arguments in kernel_arguments (role rt_kernel)"
    assert told == [text]


def test_a_snapshot_that_tells_no_memory(call, snap):
    for node in (0, 1):
        (snap / f"sys/devices/system/node/node{node}/meminfo").unlink()
    result = call(fsroot=str(snap), guests=[PLC1], socket_memory_mib=128)
    assert result["pages"] == {"0": {"2M": 192}, "1": {"2M": 64}}


def test_a_node_that_waits_for_its_reboot_keeps_its_options_alone(call, snap):
    fill(snap, {"/sys/devices/system/cpu/isolated": "\n", **memory_files({0: 2000, 1: 4000}, free={0: 10, 1: 10})})
    result = call(fsroot=str(snap), guests=[PLC1])
    assert result["deferred"]
    assert [change["resource"] for change in result["changes"]] == [HOOK, CONFIG]


def test_nothing_is_asked_for(call, snap):
    result = call(fsroot=str(snap), networks=[], guests=[OFFICE])
    assert (result["pages"], result["kernel_arguments"], result["deferred"]) == ({}, [], False)


def test_without_guests_a_node_needs_no_kvm(call, snap):
    fill(snap, {"/proc/cpuinfo": "vendor_id : GenuineIntel\nflags : fpu\n"})
    assert not call(fsroot=str(snap), guests=[]).get("failed")
    assert call(fsroot=str(snap), guests=[PLC1])["msg"].startswith("kvm_host: the processor offers no hardware virtualization")


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "files", "said"),
    [
        ({"guests": [{**PLC1, "memory_mib": 257}]}, {}, r"^realtime_guests: plc1: memory_mib 257 is no multiple"),
        ({"networks": [{"name": "X"}]}, {}, r"realtime_networks\[0\]: name 'X'"),
        ({"guests": [PLC1], "networks": []}, {}, r"network 'control' is not in realtime_networks"),
        ({"hugepages_reserve": {"4K": 1}}, {}, r"^kvm_host_hugepages_reserve: '4K' is not a page size"),
        ({"hugepages_reserve": {"2M": 3}}, {}, r"^kvm_host_hugepages_reserve: 2M: 3 is no multiple of 2 MiB; choose 4"),
        ({"halt_poll_ns": -2}, {}, r"^kvm_host_halt_poll_ns: -2 is not a number of nanoseconds; -1 leaves it alone"),
        ({"nx_huge_pages": "on"}, {}, r"value of nx_huge_pages must be one of: keep, off, never"),
        ({"nx_huge_pages": "never"}, {}, r"^kvm_host_nx_huge_pages: never needs Linux 6.5 or newer"),
        ({"switch_pages": "4K"}, {}, r"value of switch_pages must be one of: 2M, 1G"),
        (
            {"guests": [{**PLC1, "memory_mib": 3600}]},
            {},
            r"^realtime_guests: plc1 asks for 2 realtime CPUs and 3600 MiB of memory on one NUMA node.*node 0: 2 of 2 free \(2-3, 1488 MiB of memory\)",
        ),
        (
            {"guests": [{**PLC1, "memory_mib": 1300, "numa_node": 0}], "socket_memory_mib": 512},
            {},
            (
                r"^realtime_guests: NUMA node 0 has 2000 MiB of memory, of which 512 are left to the operating system; 1812 MiB of huge pages are requested "
                r"for \(plc1 1300, the switch 512\), 1488 are available"
            ),
        ),
        (
            {"guests": [{**PLC1, "numa_node": 0}], "socket_memory_mib": 64},
            memory_files({0: 2000, 1: 4000}, free={0: 300, 1: 4000}, pages={(0, "2M"): (40, 0)}),
            r"^realtime_guests: NUMA node 0 has 40 huge pages of 2M and needs 160 \(plc1 128, the switch 32\): 240 MiB more, but only 172 MiB are free",
        ),
        (
            {"guests": [PLC1]},
            {"/etc/systemd/system/machine.slice.d/rt.conf": "[Slice]\nAllowedCPUs=2-3,6-7\n"},
            r"^kvm_host: /etc/systemd/system/machine\.slice\.d/rt\.conf \(AllowedCPUs=2-3,6-7\) limits guests to CPUs 2-3,6-7, but they need 0,2-7",
        ),
        ({"guests": [PLC1]}, {"/proc/cpuinfo": CPU.replace("constant_tsc", "")}, r"^kvm_host: the processor's time stamp counter is not constant"),
        ({"partition": {"schema": 1}}, {}, r"the partition file is damaged"),
        ({"partition": None}, {}, r"^kvm_host: there is no partition on this node .*; run the cpu_partition role first"),
        ({"partition": {**PARTITION, "topology_digest": "other"}}, {}, r"the partition file describes another topology than the node has now"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_change(call, snap, arguments, files, said):
    fill(snap, files)
    before = snapshot(snap)
    result = call(fsroot=str(snap), **arguments)
    assert result.get("failed"), result
    assert re.search(said, result["msg"]), result["msg"]
    assert snapshot(snap) == before


def test_a_processor_without_large_pages(call, snap):
    for name in ("nr_hugepages", "free_hugepages"):
        (snap / pool_path(1, "1G")[1:] / name).unlink()
    result = call(fsroot=str(snap), guests=[BIG])
    assert result["msg"] == (
        "kvm_host: NUMA node 1 of this machine offers no huge pages of 1G, which are requested (big 2); its processor has none (no pdpe1gb in "
        "/proc/cpuinfo): use hugepages: 2M"
    )


# -- a tree that takes itself for a machine ----------------------------------------------------------


class Commands:
    """systemctl, which mounts; anything else is GRUB's."""

    def __init__(self, root):
        self.root, self.calls, self.make = root, [], MakeConfig(root)

    def __call__(self, command):
        if command[0] != "systemctl":
            return self.make(command)
        self.calls.append(" ".join(command[1:]))
        if command[1] in ("start", "stop"):
            large = "hugetlbfs /dev/hugepages1G hugetlbfs rw,pagesize=1024M 0 0\n" if command[1] == "start" else ""
            fill(self.root, {"/proc/mounts": MOUNTS + large})
        return 0, "", ""


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    files = {
        **machine(),
        **documented(PARTITION),
        "/dev/kvm": "",
        "/usr/sbin/grub-mkconfig": "",
        "/etc/default/grub.d/": None,
        GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        "/boot/vmlinuz-6.1.0-50-rt-amd64": "",
        "/boot/grub/": None,
        "/sys/module/kvm/parameters/halt_poll_ns": "200000\n",
    }
    root = fill(tmp_path / "node", files)
    commands = Commands(root)
    commands(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    monkeypatch.setattr(_door, "runner_of", lambda _module: commands)
    monkeypatch.setattr(_kvm.fcntl, "ioctl", lambda _handle, _request: 12)
    monkeypatch.setattr(_libvirt, "libvirt", None)
    return root


def resources(result):
    return [change["resource"] for change in result["changes"]]


WISHES = {"guests": [PLC1, PLC2, BIG], "socket_memory_mib": 64, "halt_poll_ns": 0}
UNIT = "/etc/systemd/system/dev-hugepages1G.mount"


def test_checked_made_repeated_and_taken_back(call, node):
    before = snapshot(node)
    check = call(check=True, **WISHES)
    assert snapshot(node) == before
    real = call(**WISHES)
    assert real["changes"] == check["changes"]
    assert real["diff"] == check["diff"]
    assert resources(real) == [
        HOOK,
        _kvm.MODPROBE,
        UNIT,
        "/etc/systemd/system/sysinit.target.wants/dev-hugepages1G.mount",
        "mount:/dev/hugepages1G",
        CONFIG,
        nr(0),
        nr(1),
        "/sys/module/kvm/parameters/halt_poll_ns",
    ]
    assert [(row["node"], row["size"], row["have"]) for row in check["hugepages"]] == [(0, "2M", 0), (1, "1G", 0), (1, "2M", 0)]
    assert [(row["node"], row["size"], row["have"]) for row in real["hugepages"]] == [
        (0, "2M", 160),
        (1, "1G", 0),
        (1, "2M", 160),
    ]
    assert json.loads((node / CONFIG[1:]).read_text()) == {
        "pages": {"0": {"2M": 160}, "1": {"1G": 2, "2M": 160}},
        "nx_huge_pages": "keep",
        "halt_poll_ns": 0,
    }
    again = call(**WISHES)
    assert (again["changed"], again["diff"]) == (False, [])

    fewer = call(**{**WISHES, "guests": [PLC1]})  # pages stay, but are not asked for at the next boot
    assert resources(fewer) == [CONFIG]
    assert (node / nr(1)[1:]).read_text() == "160"

    check, real = call(check=True, state="absent"), call(state="absent")
    assert real["changes"] == check["changes"] != []
    assert call(state="absent")["changed"] is False
    after = snapshot(node)
    values = {nr(0), nr(1), "/sys/module/kvm/parameters/halt_poll_ns"}
    assert {path: found for path, found in after.items() if path not in values} == {
        path: found for path, found in before.items() if path not in values
    }
    assert {path: after[path][-1].strip() for path in values} == {path: before[path][-1].strip() for path in values}


PROFILE = "/etc/apparmor.d/abstractions/libvirt-qemu"


def test_qemu_may_read_a_nodes_cpus_where_its_profile_forbids_it(call, node):
    fill(node, {PROFILE: "  /sys/devices/system/node/ r,\n", _kvm.PROFILE_ADDITIONS: "# site\n"})
    assert resources(call(check=True))[:2] == resources(call())[:2] == [HOOK, _kvm.PROFILE_ADDITIONS]
    added = (node / _kvm.PROFILE_ADDITIONS[1:]).read_text()
    assert added == "# site\n# Added by realtime.kvm (module kvm_host)\n/sys/devices/system/node/*/cpumap r,\n"
    assert call()["changed"] is False
    call(state="absent")
    assert (node / _kvm.PROFILE_ADDITIONS[1:]).read_text() == "# site\n"


@pytest.mark.parametrize("profile", [{}, {PROFILE: "  /sys/devices/system/node/ r,\n   /sys/devices/system/node/*/cpumap r,\n"}])
def test_a_profile_that_allows_it_is_left_alone(call, node, profile):
    fill(node, profile)
    assert _kvm.PROFILE_ADDITIONS not in resources(call())


def test_a_boot_service_of_an_older_release_is_replaced(call, node):
    fill(node, {ARCHIVE: "old"})
    assert resources(call(check=True))[0] == ARCHIVE
    assert ARCHIVE not in resources(call(check=True, tool=False)), "cpu_partition shows it already"
    assert call()["changed"]
    assert (node / ARCHIVE[1:]).read_bytes() == build_archive()
    assert call()["changed"] is False
    call(state="absent")
    assert (node / ARCHIVE[1:]).read_text() == "old"


def test_domains_that_are_not_listed_count(call, node, told, monkeypatch):
    fill(node, {"/run/libvirt/qemu/loose.pid": "77\n", "/proc/77/task/": None})
    fill(node, {"/proc/77/numa_maps": "7f00 default huge dirty=8 N0=8 kernelpagesize_kB=2048\n"})
    domains = [
        Existing("strange", ours=False, memory_mib=64, hugepages="2M", nodes=(1,)),
        Existing("loose", ours=False, running=True, memory_mib=64, hugepages="2M"),
        Existing("asleep", ours=False, memory_mib=64, hugepages="2M"),
        Existing("plc1", ours=True, memory_mib=4096, hugepages="2M", nodes=(1,)),
    ]
    monkeypatch.setattr(Libvirt, "existing", lambda _self, _host: domains)
    result = call(check=True, networks=[], guests=[{**PLC1, "networks": []}])
    assert {row["node"]: row["users"] for row in result["hugepages"]} == {0: {"plc1": 128, "loose": 8}, 1: {"strange": 32}}
    text = (
        "domain asleep has huge pages (64 MiB of 2M) but no NUMA node (numatune), so their node is unknown; they are not counted while it "
        "does not run. Bind it, or reserve them in kvm_host_hugepages_reserve"
    )
    assert told == [text]


def test_pages_that_others_use_are_noted(call, node, told):
    fill(node, memory_files({0: 2000}, pages={(0, "2M"): (200, 20)}))
    call(check=True, networks=[], guests=[{**PLC1, "networks": []}])
    text = (
        "180 huge pages of 2M are in use on NUMA node 0, 52 more than guests and switch use; to keep them after a reboot, count them in "
        "kvm_host_hugepages_reserve"
    )
    assert told == [text]


def test_a_node_without_kvm_is_refused(call, node):
    (node / "dev/kvm").unlink()
    before = snapshot(node)
    result = call(**WISHES)
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].startswith("kvm_host: /dev/kvm is missing: the module kvm_amd is not loaded. Load it (modprobe kvm_amd)")
    assert snapshot(node) == before


PROGRAMS = {
    "libvirt": "/run/libvirt/libvirt-sock",
    "QEMU": "/usr/libexec/qemu-kvm",
    "firmware": "/usr/share/qemu/firmware/60-edk2.json",
    "seed": "/usr/bin/xorriso",
    "tpm": "/usr/bin/swtpm",
    "qemu-img": "/usr/bin/qemu-img",
}
ASKS = {
    "firmware": [{"firmware": "uefi"}, {"firmware": "uefi", "secure_boot": True}, {"secure_boot": True}],
    "seed": [{"cloud_init": {}}],
    "tpm": [{"tpm": True}],
    "qemu-img": [{"disks": [{"size_gib": 1}]}],
}


@pytest.fixture(name="bindings")
def _bindings(node, monkeypatch):
    assert node
    monkeypatch.setattr(_libvirt, "libvirt", object())
    monkeypatch.setattr(Libvirt, "existing", lambda _self, _host: [])


@pytest.mark.usefixtures("bindings")
@pytest.mark.parametrize("missing", [None, *PROGRAMS])
def test_what_is_installed(call, node, missing):
    fill(node, {path: "" for name, path in PROGRAMS.items() if name != missing})
    assert call(check=True, guests=[OFFICE])["installed"] is (missing not in ("libvirt", "QEMU"))
    for name, guests in ASKS.items():
        for more in guests:
            result = call(check=True, guests=[{**OFFICE, **more}])
            assert result["installed"] is (missing not in ("libvirt", "QEMU", name)), (name, more)
            assert result["extras"] == ([name] if name != "qemu-img" else [])


@pytest.mark.parametrize("folder", ["/etc/libvirt/qemu", "/run/libvirt/qemu"])
def test_domains_that_a_missing_libvirt_left_are_said_not_to_be_counted(call, node, monkeypatch, folder):
    monkeypatch.setattr(_libvirt, "libvirt", None)
    assert call(check=True, guests=[OFFICE])["unread_domains"] is False
    fill(node, {f"{folder}/old.xml": "<domain/>"})
    assert call(check=True, guests=[OFFICE])["unread_domains"] is True


@pytest.mark.usefixtures("bindings")
def test_domains_that_libvirt_shows_are_counted(call, node):
    fill(node, {PROGRAMS["libvirt"]: "", "/etc/libvirt/qemu/old.xml": "<domain/>"})
    assert call(check=True, guests=[OFFICE])["unread_domains"] is False


@pytest.mark.usefixtures("bindings")
def test_a_guest_that_goes_needs_nothing(call):
    assert (
        call(check=True, guests=[{**OFFICE, "state": "absent", "tpm": True, "firmware": "uefi", "cloud_init": {}}])["extras"]
        == []
    )


def test_every_distribution_has_packages_for_what_guests_need():
    for path in sorted((Path(__file__).resolve().parents[5] / "roles" / "kvm_host" / "vars").glob("*.yml")):
        packages = yaml.safe_load(path.read_text())["__kvm_host_extras"]
        assert packages.keys() == body._EXTRAS.keys(), path


# -- the kernel's arguments ------------------------------------------------------------------------


def tokens(result):
    return [argument["token"] for argument in result["arguments"] if "hugepages" in argument["token"]]


def test_large_pages_reach_the_boot_loader(call, node):
    asked = call(**WISHES)["kernel_arguments"]
    assert tokens(call(name="kernel_arguments", host_arguments=asked)) == asked == ["hugepagesz=1G", "hugepages=1:2"]
    assert "hugepagesz=1G hugepages=1:2" in (node / DROP_IN[1:]).read_text()
    assert call(name="kernel_arguments")["changed"] is False  # by what is left on the node
    call(**{**WISHES, "guests": [{**BIG, "memory_mib": 3072}]})
    assert tokens(call(name="kernel_arguments")) == ["hugepagesz=1G", "hugepages=1:3"]
    call(state="absent")
    assert tokens(call(name="kernel_arguments")) == []
    assert "hugepages" not in (node / DROP_IN[1:]).read_text()


def test_large_pages_that_the_operator_counts_as_well(call, node):
    call(**WISHES)
    own = ["hugepages=64", "hugepagesz=1G", "hugepages=1:2"]
    assert tokens(call(name="kernel_arguments", check=True, arguments=own)) == own
    assert tokens(call(name="kernel_arguments", check=True, arguments=own[:1])) == [
        "hugepages=64",
        "hugepagesz=1G",
        "hugepages=1:2",
    ]
    result = call(name="kernel_arguments", check=True, arguments=["hugepagesz=1G", "hugepages=16"])
    assert "rt_kernel_arguments has hugepagesz=1G hugepages=16, the plan needs hugepagesz=1G hugepages=1:2" in result["msg"]


def test_large_pages_that_the_administrator_counts_otherwise(call, node):
    fill(node, {GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet default_hugepagesz=1G hugepages=16"\n'})
    call(**WISHES)
    result = call(name="kernel_arguments", check=True)
    assert f"{GRUB_DEFAULTS} has default_hugepagesz=1G hugepages=16, the plan needs hugepagesz=1G hugepages=1:2" in result["msg"]


def test_damaged_options_are_named_by_the_kernel_arguments_too(call, node):
    fill(node, {CONFIG: "{"})
    result = call(name="kernel_arguments", check=True)
    assert re.search(rf"{CONFIG} is damaged .*; run the kvm_host role to write it again", result["msg"])


def test_virtual_functions_are_made_kept_for_the_boot_and_taken_back(call, node, monkeypatch):
    functions = Functions(node)
    fill(node, {"/proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: vmx constant_tsc\n"})
    monkeypatch.setattr(_door, "runner_of", lambda _module: functions.runner)
    number = f"{PCI}/{NIC}/sriov_numvfs"
    wishes = {"virtual_functions": {"ens1f0": 2}, "guests": [{**PLC1, "devices": [{"physical_function": "ens1f0"}]}]}
    check, real = call(check=True, **wishes), call(**wishes)
    assert real["changes"] == check["changes"]
    assert [name for name in resources(real) if name.startswith(PCI)] == [number.replace("numvfs", "drivers_autoprobe"), number]
    assert (real["virtual_functions"], real["kernel_arguments"], real["extras"]) == (
        {NIC: 2},
        ["intel_iommu=on", "iommu=pt"],
        ["devices"],
    )
    kept = json.loads((node / CONFIG[1:]).read_text())
    assert (kept["virtual_functions"], kept["devices"]) == ({NIC: 2}, {"plc1": ["a VF of ens1f0"]})
    assert call(**wishes)["changed"] is False
    assert number in resources(call(guests=[PLC1]))
    assert (node / number[1:]).read_text().strip() == "0"
    call(**wishes)
    assert number in resources(call(state="absent"))
    assert (node / number[1:]).read_text().strip() == "0"


def test_virtual_functions_in_use_are_not_taken_back_and_check_mode_says_so(call, node, monkeypatch):
    functions = Functions(node)
    monkeypatch.setattr(_door, "runner_of", lambda _module: functions.runner)
    call(virtual_functions={"ens1f0": 2})
    functions.make(2)
    functions.bind(vf(1), "vfio-pci")
    said = f"{NIC} keeps its 2 virtual functions while they are in use: {vf(1)} \\(vfio-pci\\); take them from their guests in a run of its own first"
    assert [bool(re.search(said, call(check=check)["msg"])) for check in (True, False)] == [True, True]
    assert f"{PCI}/{NIC}/sriov_numvfs" in resources(call(state="absent", check=True))  # the guests' devices are taken back before


def test_more_virtual_functions_than_there_can_be(call, node, monkeypatch):
    monkeypatch.setattr(_door, "runner_of", lambda _module: Functions(node).runner)
    assert "ens1f0: 8 virtual functions are asked for" in call(virtual_functions={"ens1f0": 8})["msg"]
