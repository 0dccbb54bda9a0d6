# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel command lines: taken apart, merged, compared, contradicted."""

from __future__ import annotations

import tarfile

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import (
    Argument,
    Comparison,
    KernelArgumentError,
    awaited_boot,
    combine,
    compare,
    find_conflicts,
    merge,
    nearest,
    parse_arguments,
    split_comparison,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cmdline import key_of, split_tokens
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import (
    Change,
)
from captures import folder, is_whole
from hypothesis import assume, given
from hypothesis import strategies as st

LISTS = ("console", "hugepages", "hugepagesz", "earlycon", "modprobe.blacklist", "module_blacklist")


def merged(current, wanted, drop=""):
    return " ".join(merge(current.split(), wanted.split(), drop.split()))


@pytest.mark.parametrize(
    "token",
    [
        "quiet",
        "isolcpus=managed_irq,domain,2-5",
        "hugepages=0:16,1:16",
        "a.b-c_d=/x@y%z^*+",
        "8250.nr_uarts=4",
        "a=",
        "TERM=vt100",
    ],
)
def test_good_arguments_are_taken_as_typed(token):
    assert parse_arguments([token]) == [token]


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (1, r"^rt_kernel_arguments\[1\]: kernel argument 1 is not text; quote it in YAML$"),
        (True, "kernel argument True is not text"),
        (None, "kernel argument None is not text"),
        ({"isolcpus": "1"}, "kernel argument {'isolcpus': '1'} is not text"),
        (["a"], "is not text"),
        ("", "kernel argument '': one token"),
        ("a b", "kernel argument 'a b': one token of letters, digits and"),
        ("a\nb", "one token"),
        ("a ", "one token"),
        ('a="b"', "one token"),
        ("a='b'", "one token"),
        ("$x", "one token"),
        ("a=`x`", "one token"),
        ("a;b", "one token"),
        ("a\\b", "one token"),
        ("=1", "one token"),
        ("--", "one token"),
        (
            "1:16",
            r"'1:16' has no name \(the kernel passes it to init\); write the arguments as a YAML list, since text is split at its commas$",
        ),
        ("4=a=b", "has no name"),
        ("3", "has no name"),
        ("4-7=x", "has no name"),
    ],
)
def test_bad_arguments_are_named(token, said):
    with pytest.raises(KernelArgumentError, match=said):
        parse_arguments(["quiet", token])


# -- combining plan and operator -------------------------------------------------------------------


def combined(*groups):
    return [argument.token for argument in combine(*([Argument(token, "why") for token in group.split()] for group in groups))]


@pytest.mark.parametrize(
    ("groups", "result"),
    [
        (["a=1 b", "c"], ["a=1", "b", "c"]),
        (["a=1", "a=1"], ["a=1"]),
        (["console=tty0", "console=ttyS0"], ["console=tty0", "console=ttyS0"]),
        (
            ["", "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=4"],
            ["hugepagesz=1G", "hugepages=4", "hugepagesz=2M", "hugepages=4"],
        ),
    ],
)
def test_combine(groups, result):
    assert combined(*groups) == result


@pytest.mark.parametrize(
    ("one", "other"), [("tsc=nowatchdog", "tsc=reliable"), ("rcu_nocbs=1", "rcu-nocbs=2"), ("quiet", "quiet=1")]
)
def test_a_contradiction_of_the_plan_names_both(one, other):
    with pytest.raises(
        KernelArgumentError,
        match=rf"^kernel argument {other} contradicts {one} of the plan \(why\); remove it, or change the variable that the plan is made from$",
    ):
        combined(one, other)


# -- merging ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "wanted", "drop", "result"),
    [
        ("", "a=1 b", "", "a=1 b"),
        ("ro quiet", "a=1", "", "ro quiet a=1"),
        ("ro a=0 quiet", "a=1", "", "ro a=1 quiet"),
        ("tsc=reliable ro tsc=reliable skew_tick=1 skew_tick=1", "skew_tick=1 tsc=reliable", "", "tsc=reliable ro skew_tick=1"),
        ("x x ro", "a", "", "x x ro a"),
        ("rcu-nocbs=1 ro", "rcu_nocbs=2", "", "rcu_nocbs=2 ro"),
        ("ro rcu_nocbs=1 rcu-nocbs=1", "rcu-nocbs=3", "", "ro rcu-nocbs=3"),
        ("ro a=1 b quiet", "b", "a=1 b", "ro b quiet"),
        ("ro a=2 quiet", "", "a=1", "ro quiet"),
        ("ro", "a a", "", "ro a"),
        ("console=tty0 ro", "console=ttyS0", "", "console=tty0 ro console=ttyS0"),
        ("console=tty0 console=ttyS0 ro", "", "console=ttyS0", "console=tty0 ro"),
        ("console=ttyS0 ro", "console=ttyS0", "console=ttyS0", None),
        # ours are appended, so the last one is ours
        ("console=ttyS0 ro console=ttyS0 quiet", "", "console=ttyS0", "console=ttyS0 ro quiet"),
        ("hugepagesz=2M hugepages=8", "hugepagesz=1G hugepages=8", "", "hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=8"),
        ("hugepagesz=2M hugepages=8 ro hugepagesz=1G hugepages=8", "hugepagesz=1G hugepages=8", "", None),
        ("hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=8", "", "hugepagesz=1G hugepages=8", "hugepagesz=2M hugepages=8"),
        # another count: the size goes with the old one, since the kernel ignores a size that is given twice
        (
            "ro hugepagesz=1G hugepages=0:4 x",
            "hugepagesz=1G hugepages=0:5",
            "hugepages=0:4 hugepagesz=1G",
            "ro x hugepagesz=1G hugepages=0:5",
        ),
        (
            "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=4",
            "hugepagesz=2M hugepages=4 hugepagesz=1G hugepages=5",
            "hugepages=4 hugepagesz=1G hugepagesz=2M",
            "hugepagesz=2M hugepages=4 hugepagesz=1G hugepages=5",
        ),
        ("hugepages=8 ro", "hugepagesz=1G hugepages=0:4", "", "hugepages=8 ro hugepagesz=1G hugepages=0:4"),
    ],
)
def test_merge(current, wanted, drop, result):
    assert merged(current, wanted, drop) == (current if result is None else result)


def test_merge_keeps_quoted_values_whole():
    assert merge(split_tokens('ro dyndbg="file x +p" a=1'), ["a=2"]) == ["ro", 'dyndbg="file x +p"', "a=2"]


KEYS = st.sampled_from(["a", "b-c", "b_c", "d.e", "quiet", "console", "hugepages", "hugepagesz"])
TOKENS = st.builds(
    lambda key, value: key if value is None else f"{key}={value}", KEYS, st.none() | st.sampled_from(["1", "2", "1G"])
)
LINES = st.lists(TOKENS, max_size=8)


def plausible(wanted):
    """One value per key, as combine makes sure."""
    values = {}
    return all(key_of(token) in LISTS or values.setdefault(key_of(token), token) == token for token in wanted)


@given(LINES, LINES, LINES)
def test_merging_twice_is_merging_once(current, wanted, drop):
    assume(plausible(wanted))
    once = merge(current, wanted, drop)
    assert merge(once, wanted) == once


@given(LINES, LINES)
def test_after_a_merge_all_wanted_is_there_and_no_other_value(current, wanted):
    assume(plausible(wanted))
    result = merge(current, wanted)
    assert set(wanted) <= set(result)
    ours = {key_of(token) for token in wanted if key_of(token) not in LISTS}
    assert all(result.count(token) == 1 for token in result if key_of(token) in ours)
    assert [t for t in result if key_of(t) in ours and t not in wanted] == []
    foreign = [token for token in current if key_of(token) not in ours]
    others = [token for token in result if key_of(token) not in ours]
    assert others[: len(foreign)] == foreign


@given(LINES, LINES)
def test_merge_and_removal_of_ours_gives_the_foreign_tokens_back(current, wanted):
    assume(plausible(wanted) and not {key_of(token) for token in wanted} & {key_of(token) for token in current})
    assert merge(merge(current, wanted), [], wanted) == current


# -- conflicts -------------------------------------------------------------------------------------

PLAN = ["isolcpus=managed_irq,domain,2-3", "rcu_nocbs=2-3", "tsc=nowatchdog", "console=ttyS0", "hugepages=4"]


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ("ro quiet", []),
        ("isolcpus=managed_irq,domain,2-3 tsc=nowatchdog", []),
        ("console=tty0 hugepagesz=1G hugepages=8", []),
        ("hugepages=4", []),
        ("hugepages=8", ["F has hugepages=8, the plan needs hugepages=4"]),
        ("rcu-nocbs=2-3", []),
        ("isolcpus=1", ["F has isolcpus=1, the plan needs isolcpus=managed_irq,domain,2-3"]),
        ("rcu-nocbs=1", ["F has rcu-nocbs=1, the plan needs rcu_nocbs=2-3"]),
        ("tsc=reliable tsc=reliable", ["F has tsc=reliable, the plan needs tsc=nowatchdog"]),
        ("tsc=reliable tsc=nowatchdog", ["F has tsc=reliable, the plan needs tsc=nowatchdog"]),
        ("idle=halt", []),
        (
            "idle=halt idle=poll",
            [
                "F has idle=poll, the plan needs per-CPU power management (idle=poll spins on every thread of every core)",
            ],
        ),
        (
            "kthread_cpus=0",
            [
                "F has kthread_cpus=0, the plan needs no kthread_cpus= (no mainline kernel knows it; use irqaffinity= and isolcpus=)"
            ],
        ),
        (
            "nosmt=force",
            ["F has nosmt=force, the plan needs the threads that are online now (the partition was planned with them)"],
        ),
    ],
)
def test_conflicts(foreign, said):
    conflicts = [str(conflict) for conflict in find_conflicts({"F": foreign.split()}, PLAN)]
    assert conflicts == said


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ("hugepages=8 hugepagesz=2M hugepages=8", ""),
        ("hugepagesz=1G hugepages=0:4,1:4 hugepagesz=1G hugepages=0:4,1:4", ""),
        ("hugepagesz=1g hugepages=0:4,1:4", ""),
        ("hugepagesz=1G hugepages=16", "F has hugepagesz=1G hugepages=16, the plan needs hugepagesz=1G hugepages=0:4,1:4"),
        ("hugepagesz=1024M hugepages=2", "F has hugepagesz=1024M hugepages=2, the plan needs hugepagesz=1G hugepages=0:4,1:4"),
        (
            "default_hugepagesz=1G hugepages=4",
            "F has default_hugepagesz=1G hugepages=4, the plan needs hugepagesz=1G hugepages=0:4,1:4",
        ),
        ("default_hugepagesz=2M hugepages=4", ""),
        (
            "default_hugepagesz=2M default_hugepagesz=1G hugepages=4",
            "F has default_hugepagesz=1G hugepages=4, the plan needs hugepagesz=1G hugepages=0:4,1:4",
        ),
        (
            "hugepagesz=1048576k hugepages=2",
            "F has hugepagesz=1048576k hugepages=2, the plan needs hugepagesz=1G hugepages=0:4,1:4",
        ),
        (
            "hugepagesz=1073741824 hugepages=2",
            "F has hugepagesz=1073741824 hugepages=2, the plan needs hugepagesz=1G hugepages=0:4,1:4",
        ),
        (
            "hugepagesz=1G hugepages=2 hugepagesz=1G hugepages=2",
            "F has hugepagesz=1G hugepages=2, the plan needs hugepagesz=1G hugepages=0:4,1:4",
        ),
        ("hugepagesz=rubbish hugepages=2", ""),
        ("default_hugepagesz=1G hugepagesz=1G", "F has hugepagesz=1G, the plan needs hugepagesz=1G hugepages=0:4,1:4"),
    ],
)
def test_a_page_size_has_one_count(foreign, said):
    found = find_conflicts({"F": foreign.split()}, ["hugepagesz=1G", "hugepages=0:4,1:4"])
    assert "".join(str(conflict) for conflict in found) == said


def test_conflicts_are_told_with_each_place():
    conflicts = find_conflicts({"one": ["isolcpus=1"], "two": ["isolcpus=1"]}, PLAN)
    assert [conflict.where for conflict in conflicts] == ["one", "two"]


def test_a_conflict_names_all_that_the_plan_has_of_the_key():
    (conflict,) = find_conflicts({"F": ["tsc=x"]}, ["tsc=nowatchdog", "tsc=reliable"])
    assert str(conflict) == "F has tsc=x, the plan needs tsc=nowatchdog tsc=reliable"


@pytest.mark.parametrize("key", LISTS)
def test_keys_that_may_stand_several_times_stay_beside_ours(key):
    assert merged(f"{key}=theirs ro", f"{key}=ours") == f"{key}=theirs ro {key}=ours"


def test_nosmt_is_no_matter_without_isolation():
    assert find_conflicts({"F": ["nosmt"]}, ["skew_tick=1"]) == []


# -- command lines of real nodes -------------------------------------------------------------------


def real_lines():
    found = []
    for path in sorted(folder("openshift-ppc").rglob("sysinfo.tgz")):
        with tarfile.open(path, "r|gz") as archive:
            found += [archive.extractfile(next(member for member in archive if member.name == "proc/cmdline")).read().decode()]
    return found


@pytest.fixture(name="lines", scope="module")
def _lines():
    lines = real_lines()
    assert len(lines) >= (5 if is_whole("openshift-ppc") else 2)
    return lines


def test_real_lines_are_split_without_loss(lines):
    for line in lines:
        assert " ".join(split_tokens(line)) == " ".join(line.split())
        assert compare(split_tokens(line), split_tokens(line)).equal


def test_real_repeats_are_healed_and_all_else_kept(lines):
    repeated = [line for line in lines if line.count("tsc=reliable") == 2 and line.count("skew_tick=1") == 2]
    assert repeated, "the node that has tokens twice is gone from the snapshots"
    wanted = ["skew_tick=1", "tsc=reliable", "isolcpus=managed_irq,domain,2-5"]
    for line in repeated:
        tokens = split_tokens(line)
        result = merge(tokens, wanted)
        assert result.count("tsc=reliable") == result.count("skew_tick=1") == 1
        assert "isolcpus=managed_irq,domain,2-5" in result
        ours = {"skew_tick", "tsc", "isolcpus"}
        assert [t for t in result if key_of(t) not in ours] == [t for t in tokens if key_of(t) not in ours]
        assert merge(result, wanted) == result
        said = [str(conflict) for conflict in find_conflicts({"entry": tokens}, wanted)]
        assert any("isolcpus=managed_irq,0-4,11-79" in text for text in said)
        assert any("idle=poll" in text for text in said)


WAITS = {
    "reboot_required": True,
    "running": {"release": "6.1-amd64", "matches": False},
    "following": {"release": "6.1-rt", "tokens": []},
}


def test_a_boot_that_is_waited_for_is_a_change():
    assert awaited_boot(WAITS) == Change("running kernel and arguments", "6.1-amd64", "6.1-rt", "reboot")
    assert awaited_boot({**WAITS, "reboot_required": False}) is None


@pytest.mark.parametrize(
    ("running", "lines", "missing", "unexpected"),
    [
        (["a"], [["a"], ["a", "panic=-1"]], (), ()),
        (["a", "panic=-1"], [["a"], ["a", "panic=-1"]], (), ()),
        (["a", "x"], [["a", "b", "c"], ["a", "b"]], ("b",), ("x",)),
        (["a", "--", "b"], [["a", "b"]], ("b",), ()),
        (["a"], [], (), ()),
    ],
)
def test_the_nearest_line_is_compared(running, lines, missing, unexpected):
    assert nearest(running, lines) == Comparison(missing, unexpected)


def test_differences_are_ours_by_key_and_of_lists_by_value():
    found = Comparison(("isolcpus=2", "console=ttyS1", "root=/dev/x"), ("isolcpus=3", "console=ttyS0", "kvm.x_y=1"))
    ours, others = split_comparison(found, ["isolcpus=2", "console=ttyS1", "kvm.x-y=2"])
    assert ours == Comparison(("isolcpus=2", "console=ttyS1"), ("isolcpus=3", "kvm.x_y=1"))
    assert others == Comparison(("root=/dev/x",), ("console=ttyS0",))


def test_idle_poll_of_a_guests_own_plan_is_no_conflict():
    assert find_conflicts({"F": ["idle=poll"]}, ["idle=poll"]) == []
    assert [str(one) for one in find_conflicts({"F": ["idle=halt"]}, ["idle=poll"])] == [
        "F has idle=halt, the plan needs idle=poll"
    ]
