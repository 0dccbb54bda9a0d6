#!/usr/bin/env bash
# Runs every scenario of molecule on the same nodes, one after another, and destroys the nodes at the end, like
# `molecule test --all`. The first failure ends the run, with one exception: if a node was started again in the course of the
# failed scenario, because its emulator crashed or hung, or its kernel panicked, the scenario is repeated once, and the end of
# the output says so. molecule/lab/files/watch starts such a node and writes a line into its file `crashes`.
#
# A panic of the kernel may be the fault of a role: the second one ends the run, whatever else happened.
#
# usage: tests/tools/test_lab.sh [SCENARIO...]      LAB_NODES, LAB_DIR: as everywhere in the lab
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

IFS=, read -ra nodes <<<"${LAB_NODES:-node1}"
lab=${LAB_DIR:-.lab}
logs=.cache/test-lab
settle=${TEST_LAB_SETTLE:-10} # seconds after a failure in which `watch` may still write its line

# molecule stores its state by the name of the folder alone, so this tree gets its own state, new every time
export MOLECULE_EPHEMERAL_DIRECTORY=$PWD/.cache/molecule
rm -rf .cache/molecule "$logs"
mkdir -p "$logs"

say() { printf '\n== test-lab: %s\n' "$*"; }

crashes() { # each line of each node, in order
    local node
    for node in "${nodes[@]}"; do
        [[ ! -e $lab/$node/crashes ]] || sed "s/^/$node: /" "$lab/$node/crashes"
    done | sort
}

stamp() { # each line with the time at which it came: where the time of a scenario goes
    local line
    while IFS= read -r line; do printf '%(%T)T %s\n' -1 "$line"; done
}

errors() { # errors LOG: the lines of molecule's output that say what failed
    sed 's/\x1b\[[0-9;]*[a-zA-Z]//g' "$1" | grep -E '(^|│) *(E  |FAILED |ERROR |fatal: |\[ERROR\]|lab: )' | cut -c1-240 | tail -n 24 || true
}

times=() restarts=() panics=0 running='' fresh=''

attempt() { # attempt SCENARIO NUMBER: run it; `fresh` is what happened to its nodes meanwhile
    local before start=$SECONDS status=0 left=$settle node line
    before=$(crashes)
    say "$1$([[ $2 == 1 ]] || echo ', repeated')"
    molecule test -s "$1" --destroy=never </dev/null 2>&1 | tee "$logs/$1-$2.log" >(stamp >"$logs/$1-$2.times") || status=$?
    while
        fresh=$(comm -13 <(echo "$before") <(crashes))
        [[ $status != 0 && -z $fresh ]] && ((left-- > 0))
    do
        sleep 1
    done
    times+=("$(printf '%5d s  %s%s' $((SECONDS - start)) "$1" "$([[ $status == 0 ]] || echo ': failed')")")
    [[ -n $fresh ]] || return "$status"
    while read -r line; do
        restarts+=("$1: $line")
        [[ $line != *'kernel panic'* ]] || panics=$((panics + 1))
    done <<<"$fresh"
    for node in "${nodes[@]}"; do
        [[ ! -e $lab/$node/console.log ]] || cp "$lab/$node/console.log" "$logs/$1-$2-$node-console.log"
    done
    return "$status"
}

explain() { # explain SCENARIO NUMBER: what is known about its failure, below molecule's recap, which names only the scenario
    local node console
    for node in "${nodes[@]}"; do
        console=$lab/$node/console.log
        [[ -e $console ]] || continue
        say "the end of $node's console$([[ $fresh != *"$node: "* ]] || echo ' before it was started again')"
        { { [[ $fresh == *"$node: "* ]] && grep -a -B 29 '^### ' "$console"; } || cat "$console"; } | tail -n 30 | tr -cd '\t\n -~'
    done
    say "what failed in $1" | tee -a "$logs/why"
    errors "$logs/$1-$2.log" | tee -a "$logs/why"
    [[ -z $fresh ]] || say "nodes that were started again in the course of $1"$'\n'"$fresh"
}

finish() { # also when the run is interrupted
    local status=$? failed=(${running:+"$running"})
    trap - EXIT
    if [[ -n $running ]]; then
        ((status)) || status=1 # bash has no status of its own for a signal here
        # what the scenario left outside the nodes
        molecule cleanup -s "$running" </dev/null >"$logs/cleanup.log" 2>&1 || true
    fi
    if ! molecule destroy -s default </dev/null >"$logs/destroy.log" 2>&1; then
        cat "$logs/destroy.log"
        failed+=("the nodes could not be destroyed"$'\n'"$(errors "$logs/destroy.log")")
        status=1
    fi
    say 'how long each scenario took'
    ((${#times[@]} == 0)) || printf '%s\n' "${times[@]}" | tee "$logs/times"
    if ((${#restarts[@]})); then
        say 'nodes that were started again (a scenario that failed meanwhile was repeated once)'
        printf '%s\n' "${restarts[@]}"
    fi
    if ((panics)); then
        printf '!!!!! %s\n' "THE KERNEL OF A NODE PANICKED: this may be the fault of a role." "Its console: $PWD/$logs/*-console.log"
    fi
    if [[ $status == 0 ]]; then say passed; else say "FAILED: $(printf '%s\n' "${failed[@]}")"; fi
    exit "$status"
}
trap finish EXIT

if (($#)); then
    scenarios=("$@")
else
    scenarios=(molecule/*/molecule.yml)
    scenarios=("${scenarios[@]%/molecule.yml}")
    scenarios=("${scenarios[@]#molecule/}")
fi

# `default` creates the nodes
for running in default "${scenarios[@]/#default/}"; do
    [[ -n $running ]] || continue
    number=1
    until attempt "$running" "$number"; do
        explain "$running" "$number"
        [[ -n $fresh && $number == 1 && $panics -lt 2 ]] || exit 1
        say "$running is repeated once: its failure may be that of the lab"
        number=2
    done
    ((panics < 2)) || exit 1
done
running=''
