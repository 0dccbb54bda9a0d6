# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the collection openstack.cloud is, which the playbook openstack_cloud needs beside openstacksdk.

`make test-playbooks` puts it into .cache/collections; REALTIME_KVM_OPENSTACK names another folder with ansible_collections/openstack/cloud.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "collections"
FOLDERS = [
    os.environ.get("REALTIME_KVM_OPENSTACK", ""),
    str(CACHE),
    *sys.path,
    "/usr/share/ansible",
    str(Path.home() / ".ansible" / "collections"),
]
#: The folder to add to ANSIBLE_COLLECTIONS_PATH; empty: it is nowhere.
FOLDER = next(
    (folder for folder in FOLDERS if folder and (Path(folder) / "ansible_collections" / "openstack" / "cloud").is_dir()), ""
)
needs_both = pytest.mark.skipif(
    not FOLDER or not importlib.util.find_spec("openstack"), reason="needs openstacksdk and openstack.cloud"
)
