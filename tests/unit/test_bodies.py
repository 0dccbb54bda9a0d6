# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One flow: every module's body has the same signature, plans, and leaves the rest to it."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._module import _common

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "plugins" / "module_utils" / "_module"
PACKAGE = "ansible_collections.realtime.kvm.plugins.module_utils._module"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(MODULE.glob("*.py"))}
BODIES = [(name, body) for name, source in SOURCES.items() for body in re.findall(r"^def (run|run_info)\(", source, re.MULTILINE)]
#: What was done once and must not come back; written so that a search of the tree does not find it here.
GONE = ["after" + "_commit", "Connection" + ".__new__"]


def calls_of(source, name):
    """The lines that read an attribute of this name."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute) and node.attr == name]


def test_every_module_that_runs_somewhere_has_a_body():
    """All but those that are actions of the controller, and what the files with _ share."""
    used = {}
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        found = re.findall(r"module_utils\._module\.(\w+) import (.+)", path.read_text(encoding="utf-8"))
        used[path.stem] = [
            name for name, imported in found if not name.startswith("_") and re.search(r"\brun(_info)?\b", imported)
        ]
    assert [name for name, bodies in used.items() if len(bodies) != 1] == [
        "openstack_cloud",
        "openstack_cloud_info",
        "rt_inventory",
        "rt_latency_run",
        "rt_placement",
        "rt_plan_report",
        "rt_progress",
        "rt_recap",
        "rt_report",
        "rt_show",
    ]
    assert {name for bodies in used.values() for name in bodies} == {name for name, _body in BODIES}


@pytest.mark.parametrize(("name", "body"), BODIES, ids=lambda item: item)
def test_a_body_takes_edges_and_parameters_and_returns_an_outcome(name, body):
    function = getattr(import_module(f"{PACKAGE}.{name}"), body)
    signature = inspect.signature(function, eval_str=True)
    edges, parameters = signature.parameters.values()
    assert (edges.name, parameters.name) == ("edges", "parameters")
    assert edges.kind == parameters.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert edges.default is parameters.default is inspect.Parameter.empty
    assert edges.annotation.__name__.endswith("Edges")
    assert parameters.annotation == dict[str, object] or str(parameters.annotation) == "dict[str, typing.Any]"
    assert signature.return_annotation is _common.Outcome


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "_common"])
def test_no_body_commits_or_locks(name):
    """The flow commits what a body has planned; a body that does it itself gets past check mode's promise and the limit."""
    for attribute in ("commit", "locked"):
        assert calls_of(SOURCES[name], attribute) == [], attribute


def test_the_flow_is_where_all_commit():
    assert calls_of(SOURCES["_common"], "locked")
    assert calls_of(SOURCES["_common"], "commit")


@pytest.mark.parametrize("source", ["def run(edges):\n    edges.host.commit()", "def run(host):\n    later = host.commit"])
def test_a_commit_is_found(source):
    assert calls_of(source, "commit") == [2]


@pytest.mark.parametrize("word", GONE)
def test_what_is_gone_stays_gone(word):
    files = [path for folder in ("plugins", "tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {path: path.read_bytes() for path in files if path.suffix in (".py", ".yml", ".md", ".j2", ".cfg", ".txt")}
    assert len(texts) > 100
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if word.encode() in text] == []
