# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the table of Nova's extra specs, plugins/plugin_utils/_cloud/nova_names.py, from the nova that is installed.

    <venv with nova>/bin/python tests/tools/nova_extra_specs.py >plugins/plugin_utils/_cloud/nova_names.py

The names of standard traits and resource classes (libraries os-traits and os-resource-classes) are left out.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

HEAD = '''# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extra specs of flavors that Nova knows, with the rule of each value. Pure.

Made by tests/tools/nova_extra_specs.py from nova {version} (nova/api/validation/extra_specs); tests/conformance/test_nova_extra_specs.py compares
them with the nova that is installed. Standard traits and resource classes are not listed.
"""

from __future__ import annotations

from typing import Any

VERSION = "{version}"

#: Name to the kind of its value and what bounds it: ``enum``, ``pattern``, ``min``, ``max``. Parts in braces are those of ``PARAMETERS``.
NAMES: dict[str, dict[str, Any]] = {{
'''


def read() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """Return the rules of values by name, and the patterns of the names' parameters."""
    from nova.api.validation.extra_specs import validators

    names: dict[str, dict[str, Any]] = {}
    parameters: dict[str, dict[str, str]] = {}
    for name, validator in sorted(validators.VALIDATORS.items()):
        if name.startswith(("trait{", "resources{")) and "CUSTOM_" not in name:
            continue
        rule = {"type": validator.value["type"].__name__}
        for key in ("enum", "pattern", "min", "max"):
            if key in validator.value:
                value = validator.value[key]
                rule[key] = list(value) if key == "enum" else value
        names[name] = rule
        if validator.parameters:
            parameters[name] = {item["name"]: item["pattern"] for item in validator.parameters}
    return names, parameters


def main() -> None:
    """Print the table."""
    names, parameters = read()
    lines = [HEAD.format(version=importlib.metadata.version("nova"))]
    lines += [f"    {name!r}: {rule!r},\n" for name, rule in names.items()]
    lines += ["}\n\n#: Patterns of the parts in braces.\nPARAMETERS: dict[str, dict[str, str]] = {\n"]
    lines += [f"    {name!r}: {rule!r},\n" for name, rule in parameters.items()]
    print("".join([*lines, "}"]))


if __name__ == "__main__":
    main()
