# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a domain, from its metadata: this collection or OpenStack's nova. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .domain_xml import accounting, is_ours
from .nova import Instance, read_instance

NOVA = "nova"


def owner_of(tree: ET.Element) -> dict[str, str]:
    """Return owner, project, class, time of creation (ISO 8601, UTC) and manager; empty where the metadata lacks them.

    Of an instance of nova also its name there (``instance``) and the ids of user and project, since two may have one name.
    """
    instance = read_instance(tree)
    told = accounting(tree) if is_ours(tree) else {"owner": "", "project": "", "class": ""}
    if instance is not None:
        told = {"owner": instance.user, "project": instance.project, "class": instance.flavor}
    known = instance or Instance("")
    return {
        **told,
        "created": known.created,
        "manager": NOVA if instance else "realtime.kvm" if is_ours(tree) else "",
        "instance": known.name,
        "owner_id": known.user_id,
        "project_id": known.project_id,
    }
