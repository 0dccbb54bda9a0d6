"""Run mutmut over the files whose logic matters most and list what their tests let live.

Each file gets a project of its own below .cache/mutation: a copy of the plugins and of the tests, so that the tree stays
as it is whatever happens, at the place that the collection's namespace asks for. Only the file's own tests run.

Not mutated: annotations, docstrings, constants of the module and defaults of dataclasses, the words of f-strings (but what is put
into them is), and functions with a decorator (properties, context managers): mutmut leaves these alone, nothing else is left out.

usage: tests/tools/mutation.py [--again] [FILE ...]     FILE: _cpus/partition.py, ...; all where none is named
       --again tests only what survived the last time, after tests were added
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import tomllib
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "mutation"
UTILS = Path("ansible_collections/realtime/kvm/plugins/module_utils")
#: What a survivor is that no test can kill, and why.
EXPLAINED = Path(__file__).with_name("mutation.toml")
TARGET = 90.0
DEAD = ("killed", "timeout", "segfault")

#: The files, and the tests of each below tests/unit/module_utils.
FILES = {
    "_cpus/partition.py": ("_cpus/test_partition*.py",),
    "_cpus/planning.py": ("_cpus/test_planning*.py",),
    "_guests/pinning.py": ("_guests/test_pinning*.py",),
    "_boot/arguments.py": ("_boot/test_arguments*.py",),
    "_switch/diff.py": ("_switch/test_plan*.py", "_switch/test_diff*.py"),
    "_host/journal.py": ("_host/test_afterwards.py", "_host/test_host*.py", "_host/test_journal*.py"),
}
#: Tests that take seconds: a mutant has none to spare.
SLOW = ("killed_anywhere", "check_mode_predicts", "only_one_run", "merging_twice", "after_a_merge", "merge_and_removal")

#: A mutant costs little more than pytest's start: what no unit test needs is left out.
LEAN = ["--assert=plain", "--capture=no", "--tb=no"] + [
    f"-pno:{plugin}"
    for plugin in (
        *("cacheprovider", "debugging", "doctest", "faulthandler", "junitxml", "legacypath", "pastebin", "setuponly"),
        *("setupplan", "stepwise", "threadexception", "unraisableexception"),
    )
]
CONFIG = """\
[tool.mutmut]
source_paths = ["ansible_collections"]
only_mutate = ["{source}"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = {options}
use_git_change_detection = false
timeout_constant = 2.0
timeout_multiplier = 15.0

[tool.pytest.ini_options]
pythonpath = ["tests"]
addopts = ["--import-mode=importlib", "--strict-markers"]
"""


def prepare(name: str, again: bool) -> Path:
    """Make the project of a file, or bring the tests of the last run's up to date."""
    project = CACHE / name.removesuffix(".py").replace("/", ".")
    if not again:
        shutil.rmtree(project, ignore_errors=True)
    skip = shutil.ignore_patterns("__pycache__", "fixtures", "output")
    shutil.copytree(ROOT / "tests", project / "tests", ignore=skip, dirs_exist_ok=True)
    shutil.copytree(ROOT / "plugins", project / UTILS.parent, ignore=skip, dirs_exist_ok=True)
    folder = ROOT / "tests/unit/module_utils"
    files = sorted(found for pattern in FILES[name] for found in folder.glob(pattern))
    if not files:
        sys.exit(f"mutation: {name} has no tests at {', '.join(FILES[name])} below {folder}")
    tests = [str(path.relative_to(ROOT)) for path in files]
    slow = [f"not {test}" for test in SLOW if any(test in path.read_text() for path in files)]
    tests += ["-k", " and ".join(slow)] if slow else []
    (project / "pyproject.toml").write_text(CONFIG.format(source=UTILS / name, tests=json.dumps(tests), options=json.dumps(LEAN)))
    return project


def results(project: Path, name: str) -> dict[str, str]:
    """Return each mutant and what became of it."""
    meta = project / "mutants" / f"{UTILS / name}.meta"
    if not meta.exists():
        return {}
    return {mutant: status_by_exit_code[code] for mutant, code in json.loads(meta.read_text())["exit_code_by_key"].items()}


def forget_survivors(project: Path, name: str) -> None:
    """Let mutmut test the survivors of the last run again, with tests that it finds again; functions that changed it tests by itself."""
    (project / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    path = project / "mutants" / f"{UTILS / name}.meta"
    if path.exists():
        meta = json.loads(path.read_text())
        codes = meta["exit_code_by_key"]
        meta["exit_code_by_key"] = {key: code if status_by_exit_code[code] in DEAD else None for key, code in codes.items()}
        path.write_text(json.dumps(meta))


def run(project: Path) -> None:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "true"}  # CI: hypothesis takes no chances
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1"]
    log = project / "mutmut.log"
    with log.open("w") as stream:
        code = subprocess.run(
            command, cwd=project, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        sys.exit(f"{log.read_text()[-3000:]}\nmutation: mutmut failed, see {log}")


def describe(project: Path, name: str, mutant: str) -> tuple[int, str, str]:
    """Return the line of a mutation, what stood there and what the mutant has."""
    with contextlib.chdir(project):
        diff = get_diff_for_mutant(mutant, path=str(UTILS / name)).splitlines()[2:]
    text = (project / UTILS / name).read_text()
    function = mutant.rpartition(".")[2].partition("__mutmut_")[0]
    owner, _mark, method = function.removeprefix("x").strip("ǁ").rpartition("ǁ")
    scope: list[ast.stmt] = ast.parse(text).body
    if owner:
        scope = next(node.body for node in scope if isinstance(node, ast.ClassDef) and node.name == owner)
    wanted = method if owner else function.removeprefix("x_")
    start = next(node.lineno for node in scope if isinstance(node, ast.FunctionDef) and node.name == wanted)
    lines = text.splitlines()
    above = start  # comments above a function are part of it
    while above > 1 and re.fullmatch(r"\s*(#.*)?", lines[above - 2]):
        above -= 1
    while above < start and not lines[above - 1].strip():
        above += 1
    at = 0
    for entry in diff:
        if hunk := re.match(r"@@ -(\d+)", entry):
            at = int(hunk[1])
        elif entry.startswith("-"):
            break
        else:
            at += 1
    was = "\n".join(entry[1:].strip() for entry in diff if entry.startswith("-"))
    now = "\n".join(entry[1:].strip() for entry in diff if entry.startswith("+"))
    return above + at - 1, was, now


def report(name: str, found: dict[str, str], project: Path) -> tuple[str, bool]:
    """Print the survivors of a file; return its row of the table and whether it is good enough."""
    explained = {
        (entry["was"], entry["mutant"]): reason["why"]
        for reason in tomllib.loads(EXPLAINED.read_text())["reason"]
        if reason["file"] == name
        for entry in reason["mutants"]
    }
    counts = Counter(found.values())
    killed = sum(counts[status] for status in DEAD)
    unknown = 0
    for mutant, status in found.items():
        if status in DEAD:
            continue
        line, was, now = describe(project, name, mutant)
        why = explained.get((was, now))
        unknown += why is None
        shown = "" if status == "survived" else f" ({status})"
        print(f"{name}:{line}{shown}")
        print(textwrap.indent(was, "    - "))
        print(textwrap.indent(now, "    + "))
        print(f"    {why or 'not explained'}")
    score = 100 * killed / max(len(found), 1)
    row = f"{name:22} {len(found):8} {killed:8} {counts['timeout']:8} {len(found) - killed:9} {unknown:12} {score:6.1f} %"
    return row, score >= TARGET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--again", action="store_true", help="test only what survived the last time")
    parser.add_argument("files", nargs="*", metavar="FILE", help=", ".join(FILES))
    arguments = parser.parse_args()
    names = [name.removeprefix("plugins/module_utils/") for name in arguments.files] or list(FILES)
    if strange := set(names) - set(FILES):
        parser.error(f"{', '.join(sorted(strange))}: the files are {', '.join(FILES)}")
    rows, good = [], True
    for name in names:
        project = prepare(name, arguments.again)
        forget_survivors(project, name)
        run(project)
        row, fine = report(name, results(project, name), project)
        rows.append(row)
        good &= fine
    print(f"\n{'file':22} {'mutants':>8} {'killed':>8} {'by time':>8} {'survived':>9} {'unexplained':>12} {'score':>8}")
    print("\n".join(rows))
    if not good:
        print(f"mutation: less than {TARGET:.0f} % killed")
    return not good


if __name__ == "__main__":
    sys.exit(main())
