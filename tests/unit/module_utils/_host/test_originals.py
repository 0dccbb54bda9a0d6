# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the journal's entries: what the modules keep is accepted, what undo could not restore is named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.originals import _FORMS, wrong_entries
from unit.hosts import ORIGINALS, THREAD

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"


def entries(kind, before, resource=None):
    return {resource or (THREAD if kind == "thread" else "/x"): {"owner": "o", "kind": kind, "before": before, "boot_id": "b"}}


@pytest.mark.parametrize("kind", ORIGINALS)
def test_what_modules_keep_is_accepted(kind):
    assert wrong_entries(entries(kind, ORIGINALS[kind])) == ""


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("value", None),
        ("thread", "SCHED_FIFO 2"),
        ("thread", "7 0"),
        ("thread", ""),
        ("file", {"file": None}),
        ("file", {"file": {"mode": 0o4755, "content": "", "owner": "of a later release"}}),
        ("link", {"link": None}),
        ("lines", {"lines": "", "absent": True}),
        ("grubby", '{"default": "/boot/vmlinuz-6.1"}'),
        ("of a later release", {"any": ["form"]}),
    ],
)
def test_other_forms_are_accepted(kind, before):
    assert wrong_entries(entries(kind, before)) == ""


def test_every_kind_that_the_code_keeps_has_a_form():
    kinds = set()
    for path in PLUGINS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("change", "keep"):
                words = [keyword.value for keyword in node.keywords if keyword.arg == "kind"]
                words += node.args[1:2] if node.func.attr == "keep" else []
                kinds.update(word.value for word in words if isinstance(word, ast.Constant))
    assert kinds - _FORMS.keys() == set()
    assert len(kinds) > 8


@pytest.mark.parametrize(
    ("kind", "before", "said"),
    [
        ("value", 7, "/x: its original is a number, not text or null"),
        ("cgroup", [], "/x: its original is a list, not text or null"),
        ("thread", None, f"{THREAD}: its original is null, not text"),
        ("thread", "a-b", f"{THREAD}: its original is neither a policy nor CPUs: 'a-b' is not a CPU number"),
        ("file", "old", "/x: its original is text, not an object"),
        ("file", {}, "/x: its original lacks file"),
        ("file", {"file": {"mode": 420}}, "/x: its original.file file lacks content"),
        ("file", {"file": {"mode": 420, "content": "a"}}, "/x: its original.file holds damaged content"),
        ("file", {"file": {"mode": 420, "content": "ä"}}, "/x: its original.file holds damaged content"),
        ("file", {"file": {"mode": "420", "content": ""}}, "mode is text, not a number"),
        ("file", {"file": {"mode": -1, "content": ""}}, "has mode -1"),
        ("link", {"link": 3}, "its original.link is a number, not text or null"),
        ("lines", {"lines": "x"}, "lacks absent"),
        ("lines", {"lines": "x", "absent": 0}, "absent is a number, not true or false"),
        ("service", None, "its original is null, not text"),
        ("alternative", {"program": "x", "mode": None}, "mode is null, not text"),
        ("driver", {"driver": "x"}, "lacks override"),
        ("ovs", {"value": {}}, "value is an object, not text or null"),
        ("domain", {"xml": "<domain>", "autostart": True}, "holds damaged XML"),
        ("domain", {"xml": "<domain/>", "autostart": "yes"}, "autostart is text, not true or false"),
        ("grubby", {"tokens": []}, "is an object, not text"),
        ("grubby", "{", "is damaged: it is no JSON"),
        ("grubby", '{"tokens": "quiet", "ours": []}', "tokens is text, not a list"),
        ("grubby", '{"default": 1}', "default is a number, not text"),
    ],
)
def test_what_undo_could_not_restore_is_named(kind, before, said):
    assert said in wrong_entries(entries(kind, before))


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("file", "etc/x"),
        ("file", "/"),
        ("file", "/a\0b"),
        ("value", "x"),
        ("link", "//x"),
        ("thread", "thread:x:1"),
        ("thread", "x"),
    ],
)
def test_a_resource_of_another_form_is_named(kind, resource):
    assert wrong_entries(entries(kind, ORIGINALS[kind], resource))


@pytest.mark.parametrize(
    "damaged", [None, [], "x", {"/x": None}, {"/x": {}}, {"/x": {"owner": 1, "kind": "value", "before": "", "boot_id": ""}}]
)
def test_entries_of_another_form_are_named(damaged):
    assert wrong_entries(damaged)
