# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How services are started: units, Debian's init scripts (run by a real shell), and one more argument."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.launch import (
    LaunchError,
    added,
    assigned,
    command_words,
    parse_unit,
    plain_words,
    script_arguments,
)
from unit.clouds import AGENT_SCRIPT, NOVA_SCRIPT, unit
from unit.trees import fill

SCRIPTS = {"nova": NOVA_SCRIPT, "neutron": AGENT_SCRIPT}
PROGRAM = {"nova": "nova-compute", "neutron": "neutron-openvswitch-agent"}


def test_a_unit_and_its_drop_ins():
    texts = [
        unit("/usr/bin/nova-compute"),
        "[Service]\nExecStart=\nExecStart=/opt/bin/nova-compute \\\n  --config-file /a\nEnvironment=OS_A__B=s3cret 'OS_C=x y'\nSupplementaryGroups=ovs kvm\n",
        "# [Service]\n[Unit]\nUser=nobody\nExecStart=/bin/false\n",
    ]
    found = parse_unit("nova-compute.service", texts)
    assert [command_words(command) for command in found.commands] == [["/opt/bin/nova-compute", "--config-file", "/a"]]
    assert (found.user, found.groups, found.environment) == ("nova", ["nova", "ovs", "kvm"], {"OS_A__B", "OS_C"})
    assert found.script == ""
    assert parse_unit("x", [unit("/etc/init.d/nova-compute systemd-start")]).script == "/etc/init.d/nova-compute"
    assert parse_unit("x", [unit("/etc/init.d/nova-compute start")]).script == ""
    assert parse_unit("x", []).user == "root"


def test_characters_before_a_program():
    assert command_words("-@/usr/bin/x -a 'b c'") == ["/usr/bin/x", "-a", "b c"]
    assert command_words("/usr/bin/x 'unbalanced") == ["/usr/bin/x", "'unbalanced"]


FILES = {
    "nothing else": {},
    "a file of the program": {"/etc/nova/nova-compute.conf": "", "/etc/neutron/agent.conf.d/": None},
    "defaults": {
        "/etc/default/nova-compute": 'DAEMON_ARGS="$DAEMON_ARGS --config-file=/x.conf"\n# DAEMON_ARGS=""\n',
        "/etc/default/neutron-openvswitch-agent": "DAEMON_ARGS=--config-file=/only.conf\n",
    },
    "defaults of all": {"/etc/default/openstack": 'USE_SYSLOG=yes\nexport A=b\nDAEMON_ARGS="${DAEMON_ARGS} --debug"\n'},
    "a condition": {
        "/etc/nova/nova-compute.conf": "",
        "/etc/default/openstack": 'if [ -f "/etc/nova/nova-compute.conf" ]; then\n  DAEMON_ARGS="$DAEMON_ARGS --there"\nfi\nX=1\n',
    },
}


@pytest.mark.parametrize("project", SCRIPTS)
@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_arguments_of_a_script_are_those_that_a_shell_gives(tmp_path, project, files):
    root = fill(tmp_path, files)
    text = SCRIPTS[project]
    (root / "script").write_text("iptables() { true; }\n" + text.replace(" /etc/default", f" {root}/etc/default"))
    for path in files:
        (root / "script").write_text((root / "script").read_text().replace(f"-f '{path}'", f"-f '{root}{path}'"))
    (root / "script").write_text((root / "script").read_text().replace("-e /etc", f"-e {root}/etc"))
    for path in (root / "etc/default").glob("*"):
        path.write_text(path.read_text().replace('-f "/etc', f'-f "{root}/etc'))
    shown = subprocess.run(["sh", str(root / "script"), "show-args"], capture_output=True, text=True, check=True).stdout.split()
    defaults = [files.get(f"/etc/default/{name}", "") for name in ("openstack", PROGRAM[project])]
    found = script_arguments([text, *defaults], project, lambda path: path in files or f"{path}/" in files)
    assert found == shown


@pytest.mark.parametrize(
    "texts",
    [
        ["#!/bin/sh\nexec nova-compute\n"],
        ["DAEMON_ARGS=`cat /x`\n# comes from openstack-pkg-tools\n"],
        ['DAEMON_ARGS="$(cat /x)"\n# comes from openstack-pkg-tools\n'],
        ["[ -f /x ] && DAEMON_ARGS=--x\n# comes from openstack-pkg-tools\n"],
        [NOVA_SCRIPT, "DAEMON_ARGS=--a ; true\n"],
        [NOVA_SCRIPT, ". /etc/default/more\n"],
        [NOVA_SCRIPT, "[ -r /x ] && source /x\n"],
        [NOVA_SCRIPT, 'eval "$X"\n'],
        [NOVA_SCRIPT, "if [ -f /x ] ; then\nA=b\nelse\nDAEMON_ARGS=--x\nfi\n"],
    ],
)
def test_what_is_not_understood_is_not_guessed(texts):
    assert script_arguments(texts, "nova", lambda _path: True) is None


def test_an_assignment_below_a_condition_that_is_not_understood_does_not_count():
    assert script_arguments([NOVA_SCRIPT, 'if [ "$X" = yes ]; then\nDAEMON_ARGS=--x\nfi\n'], "nova", lambda _path: False) is None


def test_one_more_argument():
    script = parse_unit("nova-compute.service", [unit("/etc/init.d/nova-compute systemd-start")])
    found = added(script, "nova-compute", "--config-file=/ours")
    assert found.path == "/etc/default/nova-compute"
    assert script_arguments([NOVA_SCRIPT, "", found.text], "nova", lambda _path: False)[-1] == "--config-file=/ours"
    direct = parse_unit("agent.service", [unit("-/usr/bin/agent --config-file /a 'b c'")])
    found = added(direct, "agent", "--config-file=/ours")
    assert found.path == "/etc/systemd/system/agent.service.d/realtime-kvm.conf"
    again = parse_unit("agent.service", [unit("-/usr/bin/agent --config-file /a 'b c'"), found.text])
    assert [command_words(command) for command in again.commands] == [
        ["/usr/bin/agent", "--config-file", "/a", "b c", "--config-file=/ours"]
    ]


@pytest.mark.parametrize("commands", ["", "ExecStart=/bin/a\nExecStart=/bin/b\n"])
def test_a_unit_without_one_command_gets_no_argument(commands):
    with pytest.raises(LaunchError, match=r"x\.service has \d lines ExecStart"):
        added(parse_unit("x.service", [f"[Service]\n{commands}"]), "a", "--config-file=/ours")


def test_comments_between_the_parts_of_a_line_are_left_out():
    text = "[Service]\nExecStart=/bin/x \\\n# no \\\n  ; no\n --a \\\n --b\nEnvironmentFile=-/a\nEnvironmentFile=/%i\nPassEnvironment=OS_A__B\n"
    found = parse_unit("x", [text])
    assert command_words(found.commands[0]) == ["/bin/x", "--a", "--b"]
    assert (found.environment_files, found.environment, found.starts) == (["-/a", "/%i"], {"OS_A__B"}, True)
    assert parse_unit("x", ["[Service]\nExecStart=/bin/x \\\\\nUser=a\n"]).user == "a", "an escaped backslash does not go on"
    assert parse_unit("x", ["[Service]\nEnvironmentFile=/a\nEnvironmentFile=\n"]).environment_files == []
    assert parse_unit("x", ["[Service]\nExecStart=/bin/x \\"]).commands == ["/bin/x"]


@pytest.mark.parametrize("command", ["/bin/x $A", "/bin/x %E/a", "/bin/x 100%%", "/bin/x \\x20", "/bin/x ; /bin/y", "/bin/x 'a"])
def test_a_command_that_needs_interpretation_is_not_read(command):
    assert plain_words(command) == []


def test_a_command_that_needs_none():
    assert plain_words("-/bin/x --a 'b c'") == ["/bin/x", "--a", "b c"]


def test_names_of_variables_of_a_file():
    assert assigned("# OS_A__B=1\nOS_C__D='x'\n export E=1 OS_F__G=2\nFOO=1\n") == {"OS_C__D", "OS_F__G"}
