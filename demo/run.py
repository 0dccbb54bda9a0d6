# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` and `make try`: everything from a machine with nothing but Debian or Ubuntu to the result, in steps that a person can follow.

usage: python3 -m demo.run demo NODE[,NODE...] | try    (needs only Python's own library; Ansible comes with .venv)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from . import machine
from .playbooks import ROOT, StopError, run, run_playbook, wrapped
from .progress import Progress, Step, duration

INVENTORY = "inventories/lab/hosts.yml"
CAPTURES = ROOT / "tests" / "fixtures"
#: Captured servers that `make try` plans: the name in demo/machines.yml, and the archive below tests/fixtures.
MACHINES = {
    "xeon": "openshift-ppc/must-gather/must-gather.bare-metal/nodes/worker1.internal/sysinfo.tgz",
    "opteron": "hwloc/48amd64-4pa2n6c-sparse.tar.bz2",
    "hybrid": "hwloc/20em64t-hybrid-1p6c2t+2ca4co1t.tar.bz2",
}

#: Seconds of each step on two idle cores: emulated and with KVM, the first time and again.
STEPS = {
    "packages": ("Packages of this machine", (70, 70), (0, 0)),
    "python": ("Ansible in .venv", (20, 20), (0, 0)),
    "kvm": ("Does KVM work here?", (10, 2), (10, 2)),
    "qemu": ("A newer QEMU in .lab", (30, 0), (0, 0)),
    "image": ("The disk image of a stock Debian, built from its packages", (90, 70), (0, 0)),
    "boot": ("The node boots", (60, 20), (10, 5)),
    "disks": ("Disks for the guests", (45, 25), (15, 8)),
    "plan": ("The plan: what will run on which CPU, and what each change disturbs", (60, 12), (45, 10)),
    "sets": ("CPU sets, power management, interrupts", (35, 8), (30, 7)),
    "host": ("libvirt, QEMU and huge pages", (150, 30), (10, 3)),
    "kernel": ("The real-time kernel and its arguments", (150, 30), (10, 3)),
    "reboot": ("A reboot on trial: if the node is not well, it boots its old kernel again", (110, 30), (0, 0)),
    "switch": ("The DPDK switch", (80, 15), (10, 3)),
    "guests": ("The guests", (75, 15), (15, 4)),
    "verify": ("Is every claim true on the running node?", (40, 8), (35, 7)),
    "report": ("The report", (45, 10), (40, 8)),
}
#: Those that may come although the images and nodes exist: the recipe of the image, or the inventory, has changed.
UNEXPECTED = ("image", "reboot")
#: Those that wait for downloads.
NETWORK = ("packages", "python", "qemu", "image")


def steps_of(needs: machine.Needs, *, kvm: bool) -> list[Step]:
    """Return the steps that are to be expected."""
    absent = {"packages": not needs.packages, "python": not needs.ansible, "image": not needs.images}
    absent["kvm"] = bool(os.environ.get("LAB_ACCEL"))
    absent["qemu"] = kvm or not needs.images  # it is unpacked with the first image
    found = []
    for name, (title, first, again) in STEPS.items():
        once = again if name != "image" and not needs.nodes else first
        if not absent.get(name, once == (0, 0)):
            found.append(Step(name, title, once[kvm], telling=name not in NETWORK))
    return found


def demo(nodes: list[str]) -> None:
    """Run the demo on nodes of the lab."""
    if reason := machine.reason_against():
        raise StopError(wrapped(reason))
    known = machine.described_nodes((ROOT / INVENTORY).read_text(encoding="utf-8"))
    if unknown := [node for node in nodes if node not in known]:
        raise StopError(wrapped(f"NODES: {', '.join(unknown)} is no node of the lab; there are {', '.join(known)}."))
    needs, lab = machine.find_needs(nodes), machine.lab_folder()
    memory = sum(known[node].memory for node in nodes)
    if taken := [known[node].port for node in nodes if needs.nodes and machine.is_taken(known[node].port)]:
        text = f"Another program, perhaps another lab, listens at port {taken[0]} of this machine, where the node would."
        raise StopError(wrapped(f"{text} End it, or let the nodes take other ports: LAB_PORT=2300 make demo"))
    state = lab / "demo.json"
    closed = machine.kvm_opens()
    given = os.environ.get("LAB_ACCEL", "")
    kvm = given == "kvm" or not (given or closed)
    pace = read_pace(state)
    everything = steps_of(machine.Needs(needs.packages, needs.ansible, images=True, nodes=True), kvm=kvm)
    unexpected = [step for step in everything if step.name in UNEXPECTED]
    progress = Progress(steps_of(needs, kvm=kvm), pace=pace, extra=unexpected)
    time = f"about {duration(progress.left())}"
    if kvm and not given:
        time += f" with KVM, {duration(Progress(steps_of(needs, kvm=False), pace=pace).left())} without"
    progress.say(announcement(nodes, needs, memory, kvm_line(given, closed), time))
    lab.mkdir(parents=True, exist_ok=True)
    log = lab / "demo.log"
    log.write_bytes(b"")
    prepare(progress, log, needs, "python", "lab")
    if not given:
        progress.begin("kvm")
        reason = closed or machine.try_kvm()
        kvm = not reason
        os.environ["LAB_ACCEL"] = "kvm" if kvm else "tcg"
        progress.end(f"no ({reason}), so the node's CPUs are emulated" if reason else "yes")
        if advice := machine.kvm_advice(reason):
            progress.say(wrapped(f"{advice}."))
        titles = {step.name: step for step in steps_of(needs, kvm=kvm)}
        progress.steps = [titles.get(step.name, step) for step in progress.steps]
    selected = ["-i", INVENTORY, "-e", f"lab_nodes={','.join(nodes)}"]
    run_playbook(progress, log, ROOT / "molecule/lab/create.yml", selected)
    run_playbook(progress, log, ROOT / "molecule/lab/guests.yml", selected)
    limited = ["-i", INVENTORY, "--limit", ",".join(nodes)]
    site = run_playbook(progress, log, ROOT / "site.yml", limited)
    report = run_playbook(progress, log, ROOT / "playbooks/report.yml", limited)
    progress.end()
    state.write_text(json.dumps({"pace": round(progress.pace, 2)}) + "\n", encoding="utf-8")
    progress.say(ending(nodes, lab, report.files, site.changed, progress.total))


def kvm_line(given: str, closed: str) -> str:
    """Return what is known of KVM before anything is installed."""
    if given:
        return f"LAB_ACCEL={given}"
    return (
        f"no ({closed}): the node's CPUs will be emulated"
        if closed
        else "/dev/kvm opens; a small boot will show whether it works"
    )


def announcement(nodes: list[str], needs: machine.Needs, memory: int, kvm: str, time: str) -> list[str]:
    """Return what will happen and what it takes."""
    free, room = machine.free_memory_mib(), machine.free_disk_mb(machine.lab_folder())
    lines = [""]
    if needs.nodes:
        lines += wrapped(
            f"A stock Debian in QEMU ({', '.join(nodes)}) becomes a real-time node: the plan, the change with one reboot, three guests "
            "on a DPDK switch, the audit, the report. It lives in .lab, Ansible in .venv; only the packages go elsewhere."
        )
    else:
        lines += wrapped(
            f"The demo's node ({', '.join(nodes)}) exists; this run plans it, changes what differs, and audits it again."
        )
    rows = [("installs", package_line(needs))] if needs.packages else []
    rows += [
        ("downloads", f"about {needs.download_mb} MB" if needs.download_mb else "nothing"),
        ("disk", f"about {max(needs.disk_mb, 100) / 1000:.1f} GB; {room / 1000:.1f} GB are free"),
        ("memory", f"{memory / 1024:.0f} GiB for the node; {free / 1024:.1f} GiB are free"),
        ("KVM", kvm),
        ("time", time),
    ]
    lines += ["", *[line for name, text in rows for line in columns(name, text)], ""]
    if room < needs.disk_mb + (machine.BUILD_DISK if needs.images else 0):
        raise StopError([*lines, *wrapped("The disk is too full for this. LAB_DIR=/some/folder puts the lab elsewhere.")])
    if free < memory and needs.nodes:
        lines += [*wrapped("Less memory is free than the node may use: end other programs, or it may become very slow."), ""]
    return lines


def package_line(needs: machine.Needs) -> str:
    """Return which packages are installed how."""
    how = "with apt-get" if os.geteuid() == 0 else "with sudo apt-get"
    return f"{' '.join(needs.packages)}, with their dependencies, {how} (DEMO_INSTALL=no refuses)"


def columns(name: str, text: str) -> list[str]:
    """Return a name and its text, which may take several lines."""
    first, *more = wrapped(text, " " * 14)
    return [f"   {name:<11}{first[14:]}", *more]


def prepare(progress: Progress, log: Path, needs: machine.Needs, *purposes: str) -> None:
    """Install packages, with the person's terminal for sudo, and make .venv."""
    if needs.packages:
        progress.begin("packages")
        sys.stdout.flush()
        if subprocess.run([str(machine.PACKAGES), "install", *purposes], cwd=ROOT, check=False).returncode:
            raise StopError([])
        progress.end()
    progress.begin("python")
    if run(progress, log, ["make", "--no-print-directory", "ansible"]):
        raise StopError(tail(log), log)


def tail(log: Path) -> list[str]:
    """Return the end of the log."""
    return [line for text in log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] for line in wrapped(text)]


def read_pace(path: Path) -> float:
    """Return how much longer this machine took the last time than an idle one."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["pace"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0


def relative(path: Path | str) -> str:
    """Return a path as it is typed here."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)


def ending(nodes: list[str], lab: Path, files: list[str], changed: int, seconds: float) -> list[str]:
    """Return what a person can look at now."""
    program = shutil.which("ansible-playbook") or "ansible-playbook"
    page = next((name for name in files if name.endswith(".html")), "")
    done = "The node is ready" if changed else "The node is as it should be: nothing was changed"
    rows = [
        ("the report", f"{relative(page)}  (open it in a browser)"),
        ("the node", f"ssh -F {relative(lab / 'ssh_config')} {nodes[0]}    (there: rtpart list, virsh list, virsh console plc1)"),
        ("audit it", f"{relative(program)} -i {INVENTORY} playbooks/verify.yml --limit {nodes[0]}"),
        ("change it", f"edit inventories/lab/host_vars/{nodes[0]}.yml, then: make demo"),
        ("delete it", "make lab-destroy"),
    ]
    lines = ["", f"== {done} ({duration(seconds)}). Look at next:", ""]
    return [*lines, *[f"   {name:<12}{text}" for name, text in rows], ""]


def introduction(needs: machine.Needs, time: str) -> list[str]:
    """Return what `make try` does, what it does not, and what it takes."""
    lines = [
        "",
        *wrapped(
            "What three real servers would become. Their /sys and /proc were captured; nothing runs on them, and of this machine only .venv, .cache/try "
            "and results/try are written. Five modules of a real run plan CPU sets, interrupts, huge pages, kernel arguments and guests. Power "
            "management, time, the switch's own settings and packages are planned only for a machine that answers."
        ),
        "",
    ]
    if needs.packages:
        lines += columns("installs", package_line(needs))
    if needs.ansible:
        lines += columns(
            "makes",
            f".venv with Ansible, about {machine.ANSIBLE_DISK} MB (.venv is this project's own; another Ansible is left alone)",
        )
    if needs.download_mb:
        lines += columns("downloads", f"about {(20 if needs.packages else 0) + (machine.ANSIBLE_MB if needs.ansible else 0)} MB")
    return [*lines, *columns("time", time), ""]


def try_out() -> None:
    """Plan captured servers."""
    packages = machine.missing_packages("python")
    needs = machine.Needs(packages, machine.lacks_ansible(), images=False, nodes=False)
    folder = ROOT / ".cache" / "try"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "try.log"
    log.write_bytes(b"")
    steps = [Step("packages", STEPS["packages"][0], 30, telling=False)] if packages else []
    steps += [Step("python", STEPS["python"][0], 15, telling=False)] if needs.ansible else []
    progress = Progress([*steps, Step("plan", "Three captured servers, planned by five modules of a real run", 25)])
    progress.say(introduction(needs, f"about {duration(progress.left())}"))
    prepare(progress, log, needs, "python")
    progress.begin("plan")
    for name, archive in MACHINES.items():
        unpack(CAPTURES / archive, folder / name)
    arguments = ["-i", "demo/machines.yml", "-e", json.dumps({"captures": str(folder)})]
    files = run_playbook(progress, log, ROOT / "demo/try.yml", arguments).files
    progress.end()
    page = next((name for name in files if name.endswith(".html")), "")
    rows = [
        ("the report", f"{relative(page)}  (open it in a browser)"),
        ("your idea", "edit demo/machines.yml, then: make try"),
        ("your server", "capture it with hwloc-gather-topology (package hwloc), see docs/partition.md"),
        ("for real", "make demo"),
    ]
    progress.say(
        [f"== Done ({duration(progress.total)}). Look at next:", "", *[f"   {name:<12}{text}" for name, text in rows], ""]
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a captured machine: what describes CPUs, nodes, devices and interrupts, with the folder of the machine as its root."""
    if folder.exists():
        shutil.rmtree(folder)
    with tarfile.open(archive) as stream:
        for member in stream:
            parts = Path(member.name).parts
            start = next((number for number, part in enumerate(parts) if part in ("proc", "sys")), None)
            if start is None or ".." in parts:
                continue
            target = folder.joinpath(*parts[start:])
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                target.parent.mkdir(parents=True, exist_ok=True)
                source = stream.extractfile(member)
                target.write_bytes(source.read() if source else b"")
            elif member.issym() and not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status."""
    os.chdir(ROOT)
    name = arguments[0] if arguments else ""
    try:
        if name == "demo":
            demo([node for node in (arguments[1:] or ["node1"])[0].split(",") if node])
        elif name == "try":
            try_out()
        else:
            print(__doc__)
            return 2
    except StopError as reason:
        print("\n".join(reason.lines), file=sys.stderr)
        if reason.log:
            print(f"\n== make {name} failed. The whole output: {relative(reason.log)}", file=sys.stderr)
            print("   Run it again when the cause is gone: it goes on with what is there.\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n== Interrupted. make {name} goes on with what is there when you run it again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
