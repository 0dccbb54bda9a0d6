# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirtd that runs on this machine, asked through whichever Python has libvirt's bindings.

It is asked to define domains under unused names, to show what it made of them, and to forget them again.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys

_SCRIPT = """
import json, sys
try:
    import libvirt
    libvirt.registerErrorHandler(lambda *_rest: None, None)
    connection = libvirt.open("qemu:///system")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
answers = []
for name, text in json.load(sys.stdin):
    domain = None
    try:
        if name in (known.name() for known in connection.listAllDomains()):
            sys.exit(f"a domain {name} exists already; it was left alone")
        domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        answers.append([domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE), ""])
    except libvirt.libvirtError as error:
        answers.append(["", str(error)])
    finally:
        if domain is not None:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
json.dump(answers, sys.stdout)
"""


def _ask(python, domains):
    return subprocess.run(
        [python, "-c", _SCRIPT], input=json.dumps(domains), capture_output=True, text=True, check=False, timeout=300
    )


@functools.cache
def interpreter():
    """The Python that reaches a libvirtd, and why there is none."""
    reasons = []
    for python in filter(None, dict.fromkeys([sys.executable, shutil.which("python3", path="/usr/bin")])):
        answer = _ask(python, [])
        if answer.returncode == 0:
            return python, ""
        reasons.append(f"{python}: {answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else answer.returncode}")
    return None, "; ".join(reasons)


def define(domains):
    """What libvirt shows of each (name, XML) that it has defined and forgotten again, or an empty text and its refusal."""
    python, reason = interpreter()
    assert python, reason
    answer = _ask(python, domains)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)
