# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn module results into text for people: printable, and of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import printed
from ansible_collections.realtime.kvm.plugins.module_utils._tables import bounded
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.changes import disruptions_above
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.packages import planned_packages
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import plan_lines


def _results(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(result, Mapping) for result in value.values()):
        raise AnsibleFilterError(
            "realtime.kvm: expected a dictionary of module results by layer (partition, power, interrupts, host, switch, "
            "kernel, guests)"
        )
    return value


def _plan_report(value: Any) -> str:
    document = plan_document(Fleet({"": Node(plain_data(_results(value)))}))
    if document["nodes"][""]["refused"]:
        raise AnsibleFilterError(
            f"realtime.kvm.plan_report: expected results of realtime.kvm modules, {document['nodes']['']['refused'][0]}"
        )
    return "\n".join(plan_lines(document))


def _planned_packages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"realtime.kvm.planned_packages: expected a result of apt or dnf, not {type(value).__name__}")
    return planned_packages(plain_data(value))


def _disruptions_above(value: Any, limit: str) -> list[str]:
    results = _results(value)
    try:
        return disruptions_above(results, limit)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None
    except (AttributeError, KeyError, TypeError) as error:
        raise _not_a_result("disruptions_above", error) from None


def _printable(value: Any) -> str | list[str]:
    if isinstance(value, str):
        return printed(value)
    if isinstance(value, Sequence):
        return bounded(value)
    raise AnsibleFilterError(f"realtime.kvm.printable: expected text or a list of lines, not {type(value).__name__}")


def _not_a_result(name: str, error: Exception) -> AnsibleFilterError:
    return AnsibleFilterError(
        f"realtime.kvm.{name}: expected results of realtime.kvm modules, one is not ({type(error).__name__}: {error})"
    )


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "plan_report": _plan_report,
            "disruptions_above": _disruptions_above,
            "planned_packages": _planned_packages,
            "printable": _printable,
        }
