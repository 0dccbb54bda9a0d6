# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both texts as Prometheus' own parsers read them, with names that do harm."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.families import COUNTER, FAMILIES, INFO
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import MOST_LABEL, Samples, label_text
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_of
from prometheus_client.parser import text_string_to_metric_families as text_of

NAMES = [
    "plc1",
    'a "quoted" guest',
    "two\nlines",
    "back\\slash",
    "ends with \\",
    "Größe 机器 🤖",
    '{a="b"} 1 # HELP x',
    "a,b=c}",
    "",
    " ",
]


def full():
    """A sample of each metric."""
    samples = Samples()
    for number, (short, family) in enumerate(FAMILIES.items()):
        samples.add(short, 1 if family.kind == INFO else number + 0.25, *(f"{label} of it" for label in family.labels))
    return samples


def read(families):
    return {(sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples}


def test_both_texts_say_the_same():
    samples = full()
    plain, open_metrics = read(text_of(samples.text())), read(open_metrics_of(samples.open_metrics()))
    assert plain == open_metrics
    assert {name for name, *_labels in plain} == {family.name for family in FAMILIES.values()}


def test_kinds_and_units_are_those_of_the_table():
    for family in open_metrics_of(full().open_metrics()):
        mine = next(mine for mine in FAMILIES.values() if mine.name in [sample.name for sample in family.samples])
        assert (family.type, family.unit, family.documentation) == (mine.kind, mine.unit, mine.help)
    for family in text_of(full().text()):
        mine = next(mine for mine in FAMILIES.values() if mine.name in [sample.name for sample in family.samples])
        assert family.type == ("counter" if mine.kind == COUNTER else "gauge")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing():
    done = subprocess.run(["promtool", "check", "metrics"], input=full().text(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_as_it_was(name):
    samples = Samples()
    samples.add("guest_running", 1, name)
    (one,) = read(text_of(samples.text()))
    (other,) = read(open_metrics_of(samples.open_metrics()))
    assert one == other == ("realtime_kvm_guest_running", ("guest", name))


@given(st.lists(st.tuples(st.text(max_size=300), st.floats(allow_nan=True)), max_size=5))
def test_no_name_and_no_value_breaks_a_text(rows):
    samples = Samples()
    for name, value in rows:
        samples.add("guest_running", value, name)
        samples.add("vcpu_run_seconds", value, name, "0", "fifo")
    plain, open_metrics = samples.text(), samples.open_metrics()
    assert read(text_of(plain)) == read(open_metrics_of(open_metrics))
    assert all(character.isprintable() or character == "\n" for character in plain + open_metrics), "a terminal shows it"
    assert not any(value < 0 for key, value in read(text_of(plain)).items() if key[0].endswith("_total"))


def test_control_characters_and_bytes_that_are_no_text_are_codes():
    assert label_text("\x1b[2J") == r"\x1b[2J"
    assert label_text(os.fsdecode(b"caf\xe9")) == "caf\N{REPLACEMENT CHARACTER}"
    assert label_text("a\ud800b\udfff") == "a\ufffdb\ufffd", "JSON can have halves of characters"
    assert len(label_text("x" * 9999)) == MOST_LABEL


def test_of_two_names_that_would_look_the_same_one_stays():
    samples = Samples()
    samples.add("guest_running", 1, "a\x1b")
    samples.add("guest_running", 0, r"a\x1b")
    assert list(samples.of("guest_running").values()) == [1]
    more = Samples()
    more.add("guest_running", 0, r"a\x1b")
    samples.update(more)
    assert list(samples.of("guest_running").values()) == [1]


def test_numbers_are_whole_or_exact():
    samples = Samples()
    for name, value in (("a", 3), ("b", True), ("c", 0.1), ("d", 2**60), ("e", 1e300), ("f", float("nan")), ("g", float("inf"))):
        samples.add("guest_running", value, name)
    values = [line.split()[-1] for line in samples.text().splitlines() if not line.startswith("#")]
    assert values == ["3", "1", "0.1", repr(float(2**60)), "1e+300"]


def test_labels_that_are_missing_are_a_mistake_of_the_code():
    with pytest.raises(TypeError, match="guest_running has the labels"):
        Samples().add("guest_running", 1)
