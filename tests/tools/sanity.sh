#!/usr/bin/env bash
# Runs "ansible-test sanity" on a copy of the working tree, uncommitted changes included.
#
# ansible-test wants a git checkout at .../ansible_collections/realtime/kvm without links to directories and
# without captures of machines: the copy is what "git archive" would give (.gitattributes: export-ignore).
#
# usage: tests/tools/sanity.sh [arguments for ansible-test sanity, such as --test validate-modules]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
copy=$root/.cache/sanity/ansible_collections/realtime/kvm
cd "$root"

git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
    echo "sanity: $root is not a git checkout, which ansible-test needs" >&2
    exit 1
}
command -v ansible-test >/dev/null || {
    echo "sanity: no ansible-test; run 'make sanity', which brings its own" >&2
    exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Version managers put wrappers first on PATH, which ansible-test takes for interpreters: the interpreters behind them
# come last instead, so that what runs on the nodes is compiled and imported by the nodes' older Pythons as well.
without_shims=
behind_shims=
IFS=: read -ra entries <<<"$PATH"
for entry in "${entries[@]}"; do
    if [[ $entry == */shims ]]; then
        for versions in "${entry%/shims}"/versions/3.*/bin; do
            [[ ! -d $versions || :$behind_shims: == *:$versions:* ]] || behind_shims+=:$versions
        done
    else
        without_shims+=${without_shims:+:}$entry
    fi
done
export PATH=$without_shims$behind_shims

# A tree object of everything git does not ignore, written beside the repository: its index and objects stay as they are.
objects=$(git rev-parse --path-format=absolute --git-path objects)
mkdir -p "$scratch/objects"
tree=$(
    export GIT_INDEX_FILE=$scratch/index GIT_OBJECT_DIRECTORY=$scratch/objects GIT_ALTERNATE_OBJECT_DIRECTORIES=$objects
    git add --all
    git write-tree
)
rm -rf "$copy"
mkdir -p "$copy"
GIT_ALTERNATE_OBJECT_DIRECTORIES=$scratch/objects git archive --worktree-attributes "$tree" | tar -x -C "$copy"

cd "$copy"
git init --quiet
git add --all
git -c user.name=sanity -c user.email=sanity@localhost -c commit.gpgsign=false commit --quiet --no-verify --message "under test"

# Each sanity test gets a virtual environment of its own, which ansible-test fills with a script (get-pip) from its
# own download site. Where that site is out of reach Python's bundled pip does the same: this stand-in takes the
# place of the download, and nothing that is there already is overwritten.
ansible_test_python=$(head -n 1 "$(command -v ansible-test)" | sed -e 's/^#! *//')
cache=$HOME/.ansible/test/cache
pip_version=$(
    "$ansible_test_python" - <<'PYTHON'
import sys
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

print(get_venv_packages(SimpleNamespace(version="%d.%d" % sys.version_info[:2]))["pip"])
PYTHON
) || pip_version=
bootstrap=$cache/get_pip_${pip_version//./_}.py
if [[ -n $pip_version && ! -e $bootstrap ]]; then
    mkdir -p "$cache"
    cat >"$scratch/get_pip.py" <<'PYTHON'
"""Stand-in for get-pip: installs pip from Python's own copy, then the packages asked for."""

import subprocess
import sys

packages = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet"] + packages)
PYTHON
    mv "$scratch/get_pip.py" "$bootstrap"
fi

# without pip's chatter of a first run
ansible-test sanity --local --python default --color no "$@" </dev/null 2>&1 |
    sed -u -E '/^(Collecting |Installing collected |Looking in |Processing |Successfully installed |Using cached | |WARNING: Location )/d'
