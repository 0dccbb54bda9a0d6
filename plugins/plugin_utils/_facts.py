# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the facts that a node answers from being taken for variables of the inventory. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail

REMEDY = "set inject_facts_as_vars = false below [defaults] in ansible.cfg, or ANSIBLE_INJECT_FACT_VARS=false"


def refuse_facts_as_variables(variables: Mapping[str, Any], what: str) -> None:
    """Refuse once a node has answered facts which Ansible injects as variables: they would win over the inventory's.

    ``what`` names the variables that a node could choose. The interpreter that Ansible discovers is no node's answer to a question.
    """
    facts = [name for name in variables.get("ansible_facts") or {} if not str(name).startswith("discovered_interpreter_")]
    if facts and constants.config.get_config_value("INJECT_FACTS_AS_VARS"):
        raise AnsibleActionFail(
            f"{what}: {variables.get('inventory_hostname')} has answered facts, and Ansible takes facts for variables, so the node could choose "
            f"{what}; {REMEDY}"
        )
