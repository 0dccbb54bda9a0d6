# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that talk to a BMC."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options:
  address:
    description: Address of the BMC, as C(host), C(host:port) or C(https://host:port). Plain C(http) needs O(validate_certs=false).
    type: str
    required: true
  username:
    description: User of the BMC. It needs the right to configure the system, or for a report the right to log in.
    type: str
    required: true
  password:
    description: Its password. It is sent only to O(address), never to another address that the BMC names.
    type: str
    required: true
  validate_certs:
    description: Whether the BMC's certificate must be valid.
    type: bool
    default: true
  ca_path:
    description: File with the certificate of the authority that signed the BMC's, or the BMC's own.
    type: path
  timeout:
    description: Seconds to wait for the BMC each time. A whole answer may take four times as long, all answers of one reading twelve times (and O(wait) once).
    type: int
    default: 30
  wait:
    description: For how many seconds requests to a busy BMC are repeated (HTTP 429, 502, 503, 504).
    type: int
    default: 60
  system:
    description: The system (the last part of its path), if a BMC has several with a BIOS.
    type: str
    default: ""
  baselines:
    description:
      - The baselines, as in C(roles/bios/vars/main) of this collection. Each has C(name), C(title), C(manufacturers) (parts of the system's manufacturer,
        any case) and C(attributes).
      - An attribute has C(name), C(reason), C(cost), C(source), C(topic), and values by profile (C(latency), C(balanced)), or C(follows) (C(smt), C(numa),
        C(turbo)) with a C(map). Of several values the first one in the registry is set, and all of them are accepted.
      - C(match) is C(exact), C(suffix) (the BIOS appends hexadecimal digits) or C(glob). A C(gate) is a preset that locks others; V(needed) is changed
        only if another attribute needs it, V(always) must have one of its values in any case.
    type: list
    elements: dict
    required: true
  baseline:
    description: Name of the baseline, or V(auto) for the manufacturer's, with V(generic) for unknown ones.
    type: str
    default: auto
  profile:
    description: V(latency) is strict, V(balanced) leaves out settings that cost power, speed or reliability, V(none) has only O(overrides).
    type: str
    choices: [latency, balanced, none]
    default: latency
  smt:
    description: V(together) has SMT on, V(single) off, V(keep) leaves it.
    type: str
    choices: [together, single, keep]
    default: together
  numa:
    description: NUMA nodes of a package, or V(keep). Another number changes the node's topology, so its CPU sets must be planned again.
    type: str
    choices: [keep, "1", "2", "4"]
    default: keep
  turbo:
    description: V(off) forbids frequencies above the nominal one; V(keep) leaves the setting.
    type: str
    choices: [keep, "off"]
    default: keep
  overrides:
    description:
      - Attribute to value; wins over the baseline. Null leaves the attribute alone. Names may leave out the BIOS's suffix.
      - Checked against the attribute registry. An attribute that the machine does not have is listed in RV(ignore:absent). Virtualization features
        cannot be switched off.
    type: dict
    default: {}
  restore:
    description:
      - Recorded values (M(realtime.kvm.bios_record)) to restore, in place of baseline and overrides. A node may have changed its record, so only attributes
        that the baseline or O(overrides) name are set, to values that the registry has; virtualization features are never switched off.
    type: dict
requirements:
  - ansible-core on the host that the module runs on, usually by C(delegate_to=localhost)
"""
