# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a service reads, and where ours is the last."""

from __future__ import annotations

import posixpath

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.order import (
    OrderError,
    Reader,
    check_sources,
    place,
    read_order,
    sources,
    without,
)

ARGUMENTS = {
    "debian": ["--config-file=/etc/nova/nova.conf", "--config-file=/etc/nova/nova-compute.conf", "--log-file=/var/log/x"],
    "rdo-agent": [
        "--config-file",
        "/a.conf",
        "--config-file",
        "/etc/a.ini",
        "--config-dir",
        "/etc/conf.d/common",
        "--config-dir",
        "/etc/conf.d/agent",
    ],
    "none": [],
}


def reader(*paths, home="/var/lib/nova"):
    """A machine with these files."""
    folders = {folder for path in paths for folder in _above(path)}
    return Reader(
        "nova", "nova-compute", home, lambda path: path in folders or path in paths,
        lambda folder: [posixpath.basename(path) for path in paths if posixpath.dirname(path) == folder],
    )  # fmt: skip


def _above(path):
    while path != "/":
        path = posixpath.dirname(path)
        yield path


CONF, COMPUTE, DIST = "/etc/nova/nova.conf", "/etc/nova/nova-compute.conf", "/usr/share/nova/nova-dist.conf"
IN_D = "/etc/nova/nova-compute.conf.d/50.conf"


def test_without_arguments_default_files_come_before_default_folders():
    machine = reader(
        CONF, COMPUTE, DIST, IN_D, "/etc/nova/nova.conf.d/b.conf", "/etc/nova/nova.conf.d/a.conf", "/etc/nova/nova.conf.d/c.txt"
    )
    folder = "/etc/nova/nova.conf.d"
    assert read_order(machine, []) == [DIST, CONF, COMPUTE, f"{folder}/a.conf", f"{folder}/b.conf", IN_D]


def test_default_folders_are_read_before_the_files_of_the_arguments():
    assert read_order(reader(CONF, COMPUTE, IN_D), ARGUMENTS["debian"]) == [IN_D, CONF, COMPUTE]


def test_folders_of_the_arguments_replace_the_default_ones():
    machine = reader(CONF, IN_D, "/d/b.conf", "/d/a.conf", "/d/.hidden.conf")
    assert read_order(machine, ["--config-dir=/d"]) == [CONF, "/d/a.conf", "/d/b.conf"]
    assert read_order(machine, ["--config-dir", "/d", "--config-file", "/x.conf"]) == ["/d/a.conf", "/d/b.conf", "/x.conf"]


def test_the_first_place_of_a_default_wins():
    machine = reader("/var/lib/nova/.nova/nova.conf", CONF, "/var/lib/nova/nova-compute.conf")
    assert read_order(machine, []) == ["/var/lib/nova/.nova/nova.conf", "/var/lib/nova/nova-compute.conf"]
    assert read_order(reader(CONF, home=""), []) == [CONF]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--config-file", "/a", "--debug", "--config-dir=/b"], [("--config-file", "/a"), ("--config-dir", "/b")]),
        (["--config-file"], []),
        (["--config-file="], []),
        (["--config-files=/a"], []),
    ],
)
def test_sources(arguments, found):
    assert sources(arguments) == found


@pytest.mark.parametrize(
    ("arguments", "path", "word"),
    [
        ("debian", "/etc/nova/realtime-kvm.conf", "--config-file=/etc/nova/realtime-kvm.conf"),
        ("rdo-agent", "/etc/conf.d/agent/zz-realtime-kvm.conf", ""),
        ("none", "/etc/nova/nova-compute.conf.d/zz-realtime-kvm.conf", ""),
    ],
)
def test_ours_is_read_last(arguments, path, word):
    given = ARGUMENTS[arguments]
    machine = reader(CONF, COMPUTE, IN_D, "/etc/conf.d/agent/50.conf")
    found = place(machine, given)
    assert (found.path, found.words) == (path, word)
    after = reader(CONF, COMPUTE, IN_D, "/etc/conf.d/agent/50.conf", path)
    words = [*given, *([word] if word else [])]
    assert read_order(after, words)[-1] == path
    assert read_order(machine.with_file(path), words) == read_order(after, words)


def test_the_default_folder_that_is_read_is_used():
    machine = reader(CONF, "/var/lib/nova/nova-compute.conf.d/a.conf")
    assert place(machine, []).path == "/var/lib/nova/nova-compute.conf.d/zz-realtime-kvm.conf"


def test_arguments_without_ours():
    given = ["--config-file", "/a", "--config-file=/ours", "-d", "--config-file", "/ours"]
    assert without(given, "/ours") == ["--config-file", "/a", "-d"]
    assert without(["--config-file"], "/ours") == ["--config-file"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config-file", "nova.conf"], r"x\.service: its command has --config-file nova\.conf, which depends on the folder"),
        (["--config-dir=~/conf.d"], "--config-dir ~/conf.d, which depends"),
        (["--config-fil", "/a"], "the shortened option --config-fil; write --config-file or --config-dir"),
        (["--conf=/a"], "the shortened option --conf;"),
    ],
)
def test_what_only_the_service_understands_is_refused(arguments, said):
    with pytest.raises(OrderError, match=said):
        check_sources("x.service", arguments)


@pytest.mark.parametrize("arguments", [*ARGUMENTS.values(), ["--config-files=a", "--debug", "--", "-c", "x"]])
def test_other_arguments_do_not_matter(arguments):
    check_sources("x.service", arguments)
