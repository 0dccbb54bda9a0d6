#!/usr/bin/env bash
# What a run costs: remote executions and seconds per host, cold and unchanged, and the time to plan a large machine, to check an inventory and to report on a fleet.
# Uses the lab's nodes named by LAB_NODES (make bench starts them); each is put back to stock first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python -m pytest -q -s --no-header tests/bench/test_plan_speed.py tests/bench/test_domain_speed.py tests/bench/test_report_speed.py \
    tests/bench/test_inventory_speed.py
python tests/bench/payload.py
PYTHONPATH=tests python tests/bench/remote_executions.py
