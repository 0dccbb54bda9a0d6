# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write an invented machine's files, from which the modules plan with ``fsroot``: invented_machine.py FOLDER NAME SHAPE-AS-JSON.

Its /sys and /proc are those of the tests' machines; its services are as Debian's packages install them.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT / "tests")]
from unit.trees import fill, machine_files, memory_files  # noqa: E402

MIB_PER_NODE = 65536
UNIT = "[Unit]\nDescription={0}\n[Service]\nUser={1}\nExecStart=/usr/bin/{0} --config-file=/etc/{1}/{2}\n"


def main():
    folder, name, shape = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    pages = {(node, "2M"): (8192, 8192) for node in range(shape["nodes"])}
    files = {
        **machine_files(**shape),
        **memory_files(dict.fromkeys(range(shape["nodes"]), MIB_PER_NODE), pages=pages),
        "/proc/sys/kernel/hostname": f"{name}\n",
        "/usr/lib/systemd/system/nova-compute.service": UNIT.format("nova-compute", "nova", "nova.conf"),
        "/usr/lib/systemd/system/neutron-openvswitch-agent.service": UNIT.format(
            "neutron-openvswitch-agent", "neutron", "plugins/ml2/openvswitch_agent.ini"
        ),
        "/etc/nova/nova.conf": f"[DEFAULT]\nhost = {name}\n",
        "/etc/neutron/plugins/ml2/openvswitch_agent.ini": "[agent]\nextensions = qos\n",
        "/etc/ansible/facts.d/": None,
    }
    fill(folder, files)


if __name__ == "__main__":
    main()
