# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short reader of definitions says what the whole one does."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import AnswerError, plain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_owner import owner_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, read_pins, read_schedulers
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.definitions import Definition, parse_definition, runs
from unit.domains import made
from unit.instances import FILES
from unit.watched import domain


def whole(text):
    """What the whole reader says."""
    tree = parse(text)
    owner = owner_of(tree)
    policies = [vcpu for vcpu, text in read_schedulers(tree).items() if text.startswith(("fifo", "rr"))]
    cpus = frozenset().union(*read_pins(tree).values())
    return Definition(*(plain(owner[key]) for key in ("owner", "project", "class")), len(policies), cpus)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_instances_of_nova(path):
    text = path.read_text(encoding="utf-8")
    assert parse_definition(text) == whole(text)


def test_guests_of_the_collection():
    text = domain("plc1", owner="ann", project='line <4> & "5"', size="gold", realtime="1-2", pins=[(0, "1"), (1, "2-3")])
    assert parse_definition(text) == whole(text) == Definition("ann", 'line <4> & "5"', "gold", 2, frozenset({1, 2, 3}))


def test_a_definition_as_the_module_makes_it():
    tree = made()
    devices = tree.find("devices")
    tree.remove(devices)
    tree.append(devices)  # where libvirt writes them (virDomainDefFormatInternal)
    text = ElementTree.tostring(tree, encoding="unicode")
    assert parse_definition(text) == whole(text)
    assert parse_definition(text).realtime


def test_a_record_of_a_running_domain():
    record = domain("plc1", owner="ann", realtime="0", live=True)
    assert parse_definition(record).owner == "ann"
    assert runs(record)


@pytest.mark.parametrize(
    ("state", "running"), [("running", True), ("blocked", True), ("paused", False), ("pmsuspended", False), ("crashed", False)]
)
def test_states(state, running):
    assert runs(f"<domstatus state='{state}' reason='x'>") is running


def test_a_record_that_cannot_be_read_leaves_the_process_to_decide():
    assert runs("")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<domain",
        "no XML",
        "<volume/>",
        "<domain type='kvm'><name>a</nam></domain>",
        "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain type='kvm'/>",
        "\0",
    ],
)
def test_what_is_no_definition_is_refused(text):
    with pytest.raises(AnswerError):
        parse_definition(text)


def test_numbers_that_are_none_count_as_absent():
    found = parse_definition(domain("a", realtime="9-", pins=[(0, "1-x"), (1, "2")]))
    assert (found.realtime, found.pinned) == (0, frozenset({2}))
