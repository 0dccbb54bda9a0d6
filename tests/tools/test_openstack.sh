#!/usr/bin/env bash
# Starts OpenStack's control plane with invented hosts, runs tests/cloud on it, and stops it again: `make test-openstack`.
# Needs no virtual machine. Environment, passwords and seed stay in the lab's folder for the next time.
#
# usage: tests/tools/test_openstack.sh [PYTEST-ARGUMENT...]      LAB_DIR, LAB_PORT: as everywhere in the lab
#        OPENSTACK_RELEASE: 2025.1 unless set   OPENSTACK_KEEP=yes: it goes on running
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

lab=${LAB_DIR:-.lab}/openstack
logs=.cache/test-openstack
times=()
rm -rf "$logs"
mkdir -p "$logs"

say() { printf '\n== test-openstack: %s\n' "$*"; }

timed() { # timed WHAT COMMAND...
    local what=$1 start=$SECONDS status=0
    shift
    say "$what"
    "$@" </dev/null || status=$?
    times+=("$(printf '%5d s  %s%s' $((SECONDS - start)) "$what" "$([[ $status == 0 ]] || echo ': failed')")")
    return "$status"
}

quiet() { # quiet NAME COMMAND...: its output goes to a log, whose end is shown if it fails
    local log=$logs/$1.log
    shift
    "$@" >"$log" 2>&1 || { tail -n 60 "$log" && return 1; }
}

finish() { # also when the run is interrupted
    local status=$?
    trap - EXIT
    [[ ! -d $lab/state/log ]] || cp -r "$lab/state/log" "$logs/processes"
    if [[ ${OPENSTACK_KEEP:-no} != yes ]]; then
        timed 'stop the control plane' quiet destroy ansible-playbook molecule/openstack/destroy.yml || status=1
    fi
    say 'how long each part took'
    printf '%s\n' "${times[@]}"
    if [[ $status == 0 ]]; then say passed; else say "FAILED, the logs are in $PWD/$logs"; fi
    exit "$status"
}
trap finish EXIT

timed 'start the control plane' quiet create ansible-playbook molecule/openstack/create.yml
timed 'start the invented hosts' quiet fleet ansible-playbook -i molecule/openstack/fleet/hosts.yml molecule/openstack/fleet.yml
timed 'test' sh "$lab/with" python -m pytest -q --durations=5 --confcutdir=tests/cloud tests/cloud "$@"
