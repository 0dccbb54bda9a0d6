# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder for metrics: which one it is, and what is refused there, by name and with what would work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._watch.folder import check_folder, find_folder
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import MARK
from unit.trees import fill, writable
from unit.watches import FOLDER, OUTPUT, exporter, node

FLAG = "--collector.textfile.directory"
OTHER = "/srv/metrics"
EL = "/var/lib/node_exporter/textfile_collector"


def found(root, given=""):
    return find_folder(writable(root), given)


@pytest.mark.parametrize(
    "words",
    [
        (f"{FLAG}={OTHER}",),
        (FLAG, OTHER),
        (f"-{FLAG.lstrip('-')}", OTHER),
        (f"{FLAG}={OTHER}/",),
        (f'{FLAG}="{OTHER}"',),
        ("--web.listen-address=:9100", f"{FLAG}=/absent", f"{FLAG}={OTHER}"),
    ],
)
def test_it_is_that_of_the_exporter_that_runs(tmp_path, words):
    folder = found(node(tmp_path, {f"{OTHER}/": None}, exporter(*words)))
    assert (folder.path, folder.note) == (OTHER, "")


def test_debians_exporter_has_one_built_in(tmp_path):
    folder = found(node(tmp_path, exporter(name="prometheus-node"), {f"{EL}/": None}))
    assert (folder.path, folder.note) == (FOLDER, "")


@pytest.mark.parametrize("known", [FOLDER, EL, "/var/lib/node_exporter"])
def test_without_an_exporter_it_is_a_known_one_with_a_note(tmp_path, known):
    folder = found(node(tmp_path, folder=known))
    assert folder.path == known
    assert folder.note == f"no node_exporter runs on this node, so nothing reads {known} yet"


def test_an_exporter_in_a_container_sees_the_nodes_folder_below_its_root(tmp_path):
    words = ("--path.rootfs=/host", f"{FLAG}=/host{OTHER}")
    root = node(tmp_path, {f"{OTHER}/": None, "/box/host/srv/": None}, exporter(*words, root="../../box"))
    os.symlink(f"{root}{OTHER}", f"{root}/box/host{OTHER}")
    assert found(root).path == OTHER


def test_a_folder_inside_of_a_container_is_none_of_the_node(tmp_path):
    root = node(tmp_path, {f"{OTHER}/": None, f"/box{OTHER}/": None}, exporter(f"{FLAG}={OTHER}", root="../../box"))
    with pytest.raises(
        HostError, match=rf"^rt_metrics_directory: node_exporter \(process 700\) reads {OTHER}, which is no folder of the node"
    ):
        found(root)
    folder = found(root, FOLDER)
    assert folder.note == f"node_exporter reads {OTHER}, not {FOLDER}, so it does not read these metrics"


@pytest.mark.parametrize("words", [(f"{FLAG}=/srv/*",), (f"{FLAG}=/absent",)])
def test_a_pattern_or_a_missing_folder_of_the_exporter_is_refused(tmp_path, words):
    with pytest.raises(HostError, match=r"set rt_metrics_directory to the folder of the node"):
        found(node(tmp_path, exporter(*words)))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {},
            r"^rt_metrics_directory: no node_exporter runs, and none of /var/lib/prometheus/node-exporter, .* exists; install prometheus-node-exporter",
        ),
        (
            exporter(),
            r"^rt_metrics_directory: node_exporter \(process 700\) runs without --collector\.textfile\.directory, and none of",
        ),
    ],
)
def test_no_folder_at_all_is_refused(tmp_path, parts, words):
    with pytest.raises(HostError, match=words):
        found(node(tmp_path, parts, folder=None))


def test_an_exporter_that_reads_no_folder_is_a_note(tmp_path):
    root = node(tmp_path, {f"{OTHER}/": None}, exporter(), folder=None)
    assert (
        found(root, OTHER).note
        == f"node_exporter runs without --collector.textfile.directory, so it reads {OTHER} only if that folder is built in"
    )


def test_upstreams_exporter_is_not_taken_for_debians(tmp_path):
    assert "only if that folder is built in" in found(node(tmp_path, exporter())).note


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        (("--no-collector.textfile", f"{FLAG}={FOLDER}"), False),
        (("--collector.disable-defaults", "--collector.cpu"), False),
        (("--collector.textfile", "--no-collector.textfile"), False),
        ((f"{FLAG}=",), False),
        (("--collector.disable-defaults", "--collector.textfile"), True),
        (("--collector.textfile", "--collector.disable-defaults"), True),
        (("--no-collector.textfile", "--collector.textfile"), True),
        (("--no-collector.cpu",), True),
    ],
)
def test_an_exporter_without_its_textfile_collector_is_a_note(tmp_path, words, reads):
    folder = found(node(tmp_path, exporter(*words, name="prometheus-node")))
    assert folder.path == FOLDER
    assert folder.note.startswith("node_exporter runs with its textfile collector off (") is not reads
    assert not reads or not folder.note


def test_a_relative_folder_begins_where_the_exporter_was_started(tmp_path):
    parts = ({f"{OTHER}/": None, "/proc/700/cwd": ("link", "/srv")}, exporter(f"{FLAG}=metrics"))
    folder = found(node(tmp_path, *parts))
    assert (folder.path, folder.note) == (OTHER, "")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("metrics", "'metrics' is no absolute path"),
        ("/srv/*", r"'/srv/\*' is a pattern; give one of its folders"),
        ("/srv/[ab]", "is a pattern"),
        ("/srv/\x1b[2J\n", "is no absolute path"),
        ("/absent", "/absent cannot be used: No such file or directory; make the folder"),
        ("/srv/file", "/srv/file is no folder"),
        ("/srv/file/below", "/srv/file/below cannot be used: Not a directory"),
        ("/srv/link", "/srv/link is a link to /srv/metrics; give the folder itself"),
    ],
)
def test_what_is_no_folder_is_refused(tmp_path, given, words):
    root = node(tmp_path, {f"{OTHER}/": None, "/srv/file": "", "/srv/link": ("link", OTHER)})
    with pytest.raises(HostError, match=f"^rt_metrics_directory: .*{words}") as error:
        found(root, given)
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "group", "who"),
    [
        (0o777, 0, "everybody"),
        (0o757, 0, "everybody"),
        (0o775, 65534, "group 65534"),
        (0o775, 0, ""),
        (0o755, 65534, ""),
        (0o1777, 65534, ""),
        (0o1775, 65534, ""),
    ],
)
@pytest.mark.parametrize("place", [OTHER, "/srv"])
def test_a_folder_in_which_others_could_replace_the_file_is_refused(tmp_path, mode, group, who, place):
    root = node(tmp_path, {f"{OTHER}/": None})
    os.chown(f"{root}{place}", 0, group)
    os.chmod(f"{root}{place}", mode)
    if not who:
        assert found(root, OTHER).path == OTHER
        return
    above = "" if place == OTHER else f", above {OTHER}"
    with pytest.raises(
        HostError, match=rf"^rt_metrics_directory: {who} may write to {place}{above}, .*; run chmod go-w {place}, or name another"
    ):
        found(root, OTHER)


def test_the_folder_may_belong_to_the_exporters_user(tmp_path):
    root = node(tmp_path, {f"{OTHER}/": None})
    os.chown(f"{root}{OTHER}", 65534, 65534)
    assert found(root, OTHER).path == OTHER


@pytest.mark.parametrize(
    "content", ["node_other 1\n", "# HELP x y\n", "", "realtime_kvm_a 1\n", b"\xff\xfe", ("link", "/etc/passwd")]
)
def test_a_file_of_that_name_that_is_not_ours_is_refused(tmp_path, content):
    root = node(tmp_path, {OUTPUT: content})
    with pytest.raises(HostError, match=rf"^rt_metrics_directory: {OUTPUT} exists and is not this collection's; move it away"):
        check_folder(writable(root), FOLDER)


def test_a_folder_of_that_name_is_refused(tmp_path):
    with pytest.raises(HostError, match="is not this collection's"):
        check_folder(writable(node(tmp_path, {f"{OUTPUT}/": None})), FOLDER)


def test_ours_is_known_by_how_it_begins(tmp_path):
    """After a journal was moved away, say."""
    root = node(tmp_path, {OUTPUT: f"{MARK}realtime_kvm_info 1\n"})
    check_folder(writable(root), FOLDER)


def test_a_name_that_would_control_a_terminal_is_written_as_codes(tmp_path):
    words = (f"{FLAG}=/srv/\x1b[2Jx",)
    with pytest.raises(HostError) as error:
        found(node(tmp_path, exporter(*words)))
    assert "\x1b" not in str(error.value)


def test_processes_that_end_meanwhile_are_none(tmp_path):
    root = node(tmp_path, exporter(f"{FLAG}={FOLDER}"))
    Path(f"{root}/proc/700/cmdline").unlink()
    fill(root, {"/proc/701/comm": "bash\n"})
    assert found(root).path == FOLDER
