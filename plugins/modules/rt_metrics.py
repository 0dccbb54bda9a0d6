#!/usr/bin/python
# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a node write its metrics for node_exporter, and audit itself."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rt_metrics
short_description: Let a node write its metrics for node_exporter, and audit itself
version_added: 1.0.0
author:
  - realtime.kvm contributors (@realtime-kvm)
description:
  - Installs a program and two systemd timers. One writes the node's metrics into the folder of node_exporter's textfile collector, the other audits
    the node as M(realtime.kvm.rt_audit) does without an inventory, and keeps what it finds in C(/run/realtime-kvm/audit.json).
  - Both run on housekeeping CPUs only, with less right to them than ordinary work, for a bounded time and with bounded memory. They change nothing of the
    node, and read no model-specific register of an isolated CPU.
  - A folder that is missing, a link, no folder, or one in which others than root and its owner could replace the file is refused before any write. So is
    a file C(realtime_kvm.prom) that is not this collection's.
options:
  state:
    description: V(absent) takes back everything that the module has changed, and removes what the timers have written, like O(enabled=false).
    type: str
    choices: [present, absent]
    default: present
  partition:
    description:
      - The partition to work from; the node's own partition file when not given.
      - A module that changes the node refuses one that is not that of the file, so that all parts of a node have the same partition.
        In check mode, or with O(fsroot), it may be any.
    type: dict
  enabled:
    description:
      - V(true) sets it up, V(false) takes it back.
      - Without it, nothing is looked at and nothing is changed.
    type: bool
  directory:
    description:
      - The folder of node_exporter's textfile collector.
      - Empty, it is that of the node_exporter that runs (C(--collector.textfile.directory)), else the first that exists of
        C(/var/lib/prometheus/node-exporter) (built into the package of Debian and Ubuntu), C(/var/lib/node_exporter/textfile_collector) and
        C(/var/lib/node_exporter).
    type: str
    default: ""
  interval_s:
    description: Seconds between two passes of the metrics, 5 to 300.
    type: int
    default: 15
  audit:
    description: Whether the node audits itself.
    type: bool
    default: true
  audit_interval_s:
    description: Seconds between the end of an audit and the next, 30 to 3600.
    type: int
    default: 60
extends_documentation_fragment:
  - realtime.kvm.attributes
  - realtime.kvm.changes
  - realtime.kvm.disruption
  - realtime.kvm.fsroot
seealso:
  - module: realtime.kvm.rt_audit
"""

EXAMPLES = r"""
- name: Write metrics every 15 seconds, and audit the node every minute
  realtime.kvm.rt_metrics:
    enabled: true

- name: Only metrics, into a folder of their own
  realtime.kvm.rt_metrics:
    enabled: true
    directory: /srv/metrics
    audit: false
"""

RETURN = r"""
directory:
  description: The folder into which the metrics are written; empty where they are not set up, or nothing was looked at.
  returned: success
  type: str
units:
  description: The timers that run.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import run_module
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_metrics import OPTIONS, run


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    run_module(module, "rt_metrics", run)


if __name__ == "__main__":
    main()
