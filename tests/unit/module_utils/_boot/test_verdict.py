# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of a boot on trial, which boot this is, and what speaks against it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.one_shot import MARK, TRIAL_TOKENS
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import (
    ARMED,
    BACK,
    DEFAULT,
    LOOSE,
    TRIED,
    WAITING,
    Boot,
    Health,
    Record,
    RecordError,
    Way,
    dump,
    load,
    panic_after,
    problems,
    same_boot,
    which_boot,
    why_back,
    why_unheld,
    without,
)

OLD = Boot("6.1-stock", ("root=UUID=1", "ro", "quiet"))
NEW = Boot("6.1-rt", ("root=UUID=1", "ro", "quiet", "isolcpus=2", *TRIAL_TOKENS))
RECORD = Record(ARMED, "aaaa", OLD, NEW, TRIAL_TOKENS, "/boot/grub", 300, Way("10.0.2.15", 22, "10.0.2.2"), libvirt=True)
WELL = Health(Boot(NEW.release, ("BOOT_IMAGE=/x", *NEW.tokens)))


def test_a_record_of_an_earlier_release_asks_for_no_sign_but_the_greeting():
    fields = json.loads(dump(RECORD))
    for name in ("source", "cable", "neighbour", "greeting"):
        del fields["way"][name]
    assert load(json.dumps(fields).encode()) == RECORD


SIGNED = replace(
    RECORD, folders=("/etc/x",), way=Way("10.0.2.15", 22, "10.0.2.2", "10.0.2.16", 2, neighbour=True, greeting=False)
)


@pytest.mark.parametrize("record", [RECORD, SIGNED, replace(RECORD, way=None, libvirt=False, state="returned", reason="x")])
def test_a_record_is_read_as_it_was_written(record):
    assert load(dump(record)) == record


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 0},
        {"schema": "1"},
        {"state": "well"},
        {"state": None},
        {"old": None},
        {"old": {"release": "x"}},
        {"new": {"release": "x", "tokens": "ro"}},
        {"new": {"release": "x", "tokens": [1]}},
        {"extra": {}},
        {"seconds": "300"},
        {"seconds": True},
        {"way": {"local": "x"}},
        {"way": 1},
        {"way": {"local": "x", "port": 0, "peer": "y"}},
        {"way": {"local": "x", "port": 70000, "peer": "y"}},
        {"way": {"local": "x", "port": float("inf"), "peer": "y"}},
        {"way": {"local": "x", "port": 22, "peer": "y", "cable": "x"}},
        {"folder": None},
        {"panic": 10},
        {"folders": "x"},
        {"unknown": 1},
    ],
)
def test_a_damaged_record_is_refused(change):
    fields = {**json.loads(dump(RECORD)), **change}
    with pytest.raises(RecordError, match="it is damaged"):
        load(json.dumps(fields).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 100000])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(RecordError, match="it is damaged"):
        load(data)


def test_a_record_of_a_newer_release_is_named_as_such():
    with pytest.raises(RecordError, match="written by a newer release"):
        load(json.dumps({**json.loads(dump(RECORD)), "schema": 2}).encode())


@pytest.mark.parametrize(
    ("boot_id", "running", "framed", "which"),
    [
        ("aaaa", OLD, True, WAITING),
        ("bbbb", NEW, True, TRIED),
        ("bbbb", Boot("6.1-other", (MARK, "ro")), True, TRIED),  # something else than expected: it is judged, and fails
        ("bbbb", OLD, True, BACK),
        ("bbbb", without(NEW, TRIAL_TOKENS), True, BACK),
        ("bbbb", without(NEW, TRIAL_TOKENS), False, DEFAULT),
        ("bbbb", NEW, False, DEFAULT),
        ("bbbb", Boot(NEW.release, ("BOOT_IMAGE=/x", *NEW.tokens[:4], "builtin=1")), False, DEFAULT),
        ("bbbb", OLD, False, LOOSE),  # another program has removed the frame
        ("bbbb", Boot(NEW.release, OLD.tokens), False, LOOSE),
        ("bbbb", Boot("6.1-other", NEW.tokens[:4]), False, LOOSE),
    ],
)
def test_which_boot_this_is(boot_id, running, framed, which):
    assert which_boot(RECORD, boot_id, running, framed) == which


@pytest.mark.parametrize(("running", "which"), [(OLD, LOOSE), (Boot(OLD.release, ("BOOT_IMAGE=/x", *OLD.tokens[:2])), DEFAULT)])
def test_an_argument_less_makes_a_new_entry_too(running, which):
    record = replace(RECORD, new=Boot(OLD.release, (*OLD.tokens[:2], *TRIAL_TOKENS)))
    assert which_boot(record, "bbbb", running, framed=False) == which


def test_what_nothing_holds_any_more_is_named_with_what_the_node_has_said():
    assert "/boot/grub/custom.cfg that makes the old entry the default is gone" in why_unheld(RECORD)
    assert why_unheld(replace(RECORD, reason="it failed")).endswith("Of its trial the node says: it failed")


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (WELL, []),
        (replace(WELL, running=replace(WELL.running, release="6.1-stock")), ["kernel 6.1-stock runs, 6.1-rt was expected"]),
        (
            replace(WELL, running=Boot("6.1-rt", NEW.tokens[:3])),
            [f"the kernel's command line lacks isolcpus=2 {' '.join(TRIAL_TOKENS)}"],
        ),
        (replace(WELL, way="no route to 10.0.2.2"), ["network: no route to 10.0.2.2"]),
        (replace(WELL, libvirt="does not answer"), ["libvirt: does not answer"]),
        (Health(Boot("x", NEW.tokens), "a", "b"), ["kernel x runs, 6.1-rt was expected", "network: a", "libvirt: b"]),
    ],
)
def test_what_speaks_against_a_boot(health, said):
    assert problems(RECORD, health) == said


def test_what_did_not_work_before_does_not_speak_against_it():
    assert problems(replace(RECORD, way=None, libvirt=False), replace(WELL, way="a", libvirt="b")) == []


def test_further_arguments_do_not_speak_against_a_boot():
    """A kernel may have some built in."""
    assert problems(RECORD, replace(WELL, running=Boot(NEW.release, (*NEW.tokens, "builtin=1")))) == []


def test_quotes_and_spelling_do_not_make_another_boot():
    assert same_boot(Boot("x", ('a-b="1 2"', "$tuned_params")), Boot("x", ('"a_b=1 2"',)))
    assert not same_boot(OLD, replace(OLD, tokens=OLD.tokens[:2]))
    assert not same_boot(OLD, replace(OLD, release="x"))


def test_why_a_node_is_back():
    assert "panicked, hung until a reset" in why_back(RECORD, OLD, spent=True)
    assert "runs now" not in why_back(RECORD, OLD, spent=True)
    assert "6.1-y runs now, with other arguments" in why_back(RECORD, Boot("6.1-y", ()), spent=True)
    assert "GRUB did not boot 6.1-rt" in why_back(RECORD, OLD, spent=False)


@pytest.mark.parametrize(
    ("extra", "own", "old", "before", "panic"),
    [
        (TRIAL_TOKENS, (), (), "0", "0"),
        (TRIAL_TOKENS, (), (), "", "0"),
        (TRIAL_TOKENS, (), (), "30", "30"),  # of sysctl.d, or of the kernel's configuration
        (TRIAL_TOKENS, (), ("panic=5",), "5", "0"),
        (TRIAL_TOKENS, ("panic=0",), (), "30", "0"),
        (TRIAL_TOKENS[:1], ("panic=30",), (), "0", None),
    ],
)
def test_the_panic_of_the_confirmed_entry(extra, own, old, before, panic):
    record = replace(RECORD, extra=extra, old=Boot("y", old), new=Boot("x", ("ro", *own, *extra)), panic=before)
    assert panic_after(record) == panic
