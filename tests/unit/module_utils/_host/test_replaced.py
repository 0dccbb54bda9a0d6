# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package that an installation has replaced is there again after undo, with its units as before; the node never lacks both."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.packages import plan_packages, record_packages
from ansible_collections.realtime.kvm.plugins.module_utils._host.replaced import plan_return, record_replaced
from unit.systemds import Killed, Systemd
from unit.trees import fill, writable

OLD, NEW = "systemd-timesyncd", "chrony"
UNIT = "systemd-timesyncd.service"


class Apt:
    """A node with systemd-timesyncd, which goes when chrony comes, and the other way round."""

    def __init__(self, root, *, enabled=True, active=True):
        self.root = fill(root, {"/var/lib/": None, "/usr/bin/apt-get": "", "/run/systemd/system/": None})
        self.systemd = Systemd({UNIT: (enabled, active)})
        self.installed, self.manual, self.config = {OLD, "bash"}, {"bash"}, set()
        self.offline, self.versions, self.more, self.calls, self.die = False, {"1.0"}, "", [], ""

    def __call__(self, command):
        words = [word for word in command if not word.startswith("-")]
        if command[0] == "systemctl":
            return self.systemd(command)
        if command[0] == "dpkg-query":
            return 0, "".join(f"{name}:amd64\tinstall\tinstalled\n" for name in sorted(self.installed)), ""
        if command[0] == "dpkg":
            return 0, f"/lib/systemd/system\n/lib/systemd/system/{UNIT}\n/lib/systemd/system/x@.service\n/usr/bin/x\n", ""
        if command[:2] == ["apt-mark", "showmanual"]:
            return 0, "\n".join(self.manual), ""
        if command[0] == "apt-mark":
            self.manual.discard(words[-1])
            return 0, "", ""
        verb = next(word for word in words if word in ("install", "purge"))
        return self.apt(command, verb, words[words.index(verb) + 1 :])

    def apt(self, command, verb, given):
        came, went, text = set(), set(), self.more
        for word in given:
            name, _sign, version = word.rstrip("+").partition("=")
            if version and version not in self.versions:
                return 100, "", f"E: Version '{version}' for '{name}' was not found\n"
            (went if verb == "purge" and not word.endswith("+") else came).add(name)
        went |= {{OLD: NEW, NEW: OLD}[name] for name in came if name in (OLD, NEW)} & self.installed
        text += "".join(f"{'Purg' if verb == 'purge' else 'Remv'} {name} [1.0]\n" for name in went)
        text += "".join(f"Inst {name} (1.0 Debian [amd64])\nConf {name} (1.0 Debian [amd64])\n" for name in came)
        if "--simulate" in command:
            return 0, text, ""
        if self.offline:
            return 100, "", "E: Failed to fetch"
        if "--download-only" in command:
            return 0, "", ""
        self.calls.append([verb, *given])
        if self.die == "before":
            raise Killed
        self.config = (self.config | went) - (went if verb == "purge" else set()) - came
        self.installed = (self.installed - went) | came
        self.manual = (self.manual - went) | came
        if OLD in went:
            self.systemd.units.pop(UNIT)
        if OLD in came:
            self.systemd.units[UNIT] = [True, True]
        if self.die:
            raise Killed
        return 0, "", ""

    def install(self, *, record=True):
        host = writable(self.root, "package_origins")
        if record:
            record_packages(host, self, "time_sync", [NEW])
            record_replaced(host, self, "time_sync", [NEW])
            host.perform(lambda: None)
            host.commit()
        self(["apt-get", "--yes", "install", NEW])
        self.calls.clear()

    def undo(self, *, remove=False, check=False):
        host = writable(self.root, "package_origins", check_mode=check)
        back = plan_return(host, self, remove=remove)
        stays = plan_packages(host, self, back.stuck, remove=remove, without=back.done)
        host.commit()
        return [change.resource for change in host.changes], stays, back.stuck

    @property
    def journalled(self):
        return (self.root / "var/lib/realtime-kvm/journal.json").exists()


@pytest.mark.parametrize("state", [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("remove", [False, True])
def test_it_is_there_again_as_it_was(tmp_path, state, remove):
    node = Apt(tmp_path, enabled=state[0], active=state[1])
    node.install()
    assert (node.installed, node.systemd.units) == ({NEW, "bash"}, {})
    predicted = node.undo(remove=remove, check=True)
    assert node.calls == []
    assert node.undo(remove=remove) == predicted == ([f"package:{NEW}", f"package:{OLD}"], [], {})
    assert (node.installed, node.manual, node.systemd.units) == ({OLD, "bash"}, {"bash"}, {UNIT: list(state)})
    assert node.calls == [["purge", NEW, f"{OLD}=1.0+"] if remove else ["install", f"{OLD}=1.0"]]
    assert node.config == (set() if remove else {NEW}), "its configuration stays unless it is to be removed"
    assert not node.journalled
    assert node.undo(remove=remove) == ([], [], {})


@pytest.mark.parametrize("remove", [False, True])
def test_what_replaced_it_stays_where_the_old_one_cannot_be_had(tmp_path, remove):
    node = Apt(tmp_path)
    node.install()
    node.offline = True
    changes, stays, stuck = node.undo(remove=remove)
    assert (changes, stays) == ([], [NEW])
    assert "systemd-timesyncd cannot be installed again" in stuck["time_sync"]
    assert "so chrony stays in its place" in stuck["time_sync"]
    assert node.installed == {NEW, "bash"}
    node.offline = False
    assert node.undo(remove=remove)[0] == [f"package:{NEW}", f"package:{OLD}"], "a later undo does the rest"
    assert not node.journalled


def test_another_version_will_do_but_no_update_of_others(tmp_path):
    node = Apt(tmp_path)
    node.install()
    node.versions = {"2.0"}
    node.more = "Inst systemd [1.0] (2.0 Debian [amd64])\n"
    assert "apt would also change systemd" in node.undo()[2]["time_sync"]
    node.more = ""
    node.undo()
    assert node.calls == [["install", OLD]]


@pytest.mark.parametrize("die", ["before", "after"])
def test_a_kill_during_the_exchange_is_made_good_by_the_next_undo(tmp_path, die):
    node = Apt(tmp_path, enabled=False, active=False)
    node.install()
    node.die = die
    with pytest.raises(Killed):
        node.undo()
    assert node.installed & {OLD, NEW}
    node.die = ""
    node.undo()
    assert (node.installed, node.systemd.units) == ({OLD, "bash"}, {UNIT: [False, False]})
    assert not node.journalled


def test_a_kill_before_the_installation_leaves_nothing_to_undo(tmp_path):
    node = Apt(tmp_path)
    host = writable(node.root, "package_origins")
    record_packages(host, node, "time_sync", [NEW])
    record_replaced(host, node, "time_sync", [NEW])
    host.perform(lambda: None)
    host.commit()
    assert node.undo() == ([], [], {})
    assert node.systemd.units == {UNIT: [True, True]}
    assert not node.journalled


def test_the_state_before_the_first_change_counts(tmp_path):
    node = Apt(tmp_path, enabled=False, active=False)
    host = writable(node.root, "time_sync")
    host.keep(f"daemons:clock:{UNIT}", "daemons", {UNIT: {"enabled": True, "active": True}})
    host.perform(lambda: None)
    host.commit()
    node.install()
    node.undo()
    assert node.systemd.units == {UNIT: [True, True]}


def test_nothing_is_recorded_where_nothing_goes_or_apt_refuses(tmp_path):
    node = Apt(tmp_path)
    host = writable(node.root, "package_origins")
    record_replaced(host, node, "rt_latency", ["rt-tests"])
    record_replaced(host, node, "time_sync", [f"{NEW}=9"])
    record_replaced(host, node, "time_sync", [])
    host.perform(lambda: None)
    host.commit()
    assert host.journal.entries == {}
