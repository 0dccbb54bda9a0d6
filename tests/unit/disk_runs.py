# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with a folder of images and the tools that make them, and runs that plan only images and seeds."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._guests.bases import Bases
from ansible_collections.realtime.kvm.plugins.module_utils._guests.disk_paths import with_paths
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.made_images import MadeImages
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.plan import GuestPlan
from ansible_collections.realtime.kvm.plugins.module_utils._guests.qemu_img import QemuImg
from ansible_collections.realtime.kvm.plugins.module_utils._guests.seeds import Seeds
from unit.image_tools import GIB, TOOLS, ImageTools, put, qcow2
from unit.trees import fill, writable

FOLDER = "/var/lib/libvirt/images"
BASE = "/images/base.qcow2"
NETWORKS = parse_networks([{"name": "control"}])
UUID = "4a5c2f0e-6b1d-5d0f-9b43-6f2d1f3c7a10"


class Disks:
    """The node. ``grown`` are the calls for running guests."""

    def __init__(self, root, tools=None):
        self.root = root
        fill(root, {f"{FOLDER}/": None, "/run/": None, "/var/lib/": None, **TOOLS})
        put(root, BASE, qcow2(4 * GIB, content=b"an operating system"))
        self.tools = tools or ImageTools(root)
        self.grown = []

    def plans(self, *guests, domains=None):
        listed = parse_guests([{"memory_mib": 64, **guest} for guest in guests], NETWORKS, site="n")
        trees = {name: domain.tree for name, domain in (domains or {}).items()}
        tree = parse(f"<domain><uuid>{UUID}</uuid></domain>")
        return [GuestPlan(guest, None, (domains or {}).get(guest.name), tree, []) for guest in with_paths(listed, trees, None)]

    def run(self, *guests, check=False, domains=None):
        """A run; its changes, and what differs after it."""
        self.host = host = writable(self.root, "rt_domain", check_mode=check)
        plans = self.plans(*guests, domains=domains)
        with host.locked():
            tool = QemuImg(host, self.tools)
            images = MadeImages(host, tool, grow=lambda *call: self.grown.append(call))
            images.plan(plans, Bases(host, tool, domains or {}, [plan.guest for plan in plans]))
            seeds = Seeds(host, self.tools)
            for plan in plans:
                seeds.plan(plan)
            host.commit()
        self.images = images
        return host.changes

    def names(self, folder=FOLDER):
        return sorted(path.name for path in (self.root / folder[1:]).iterdir())

    def file(self, name):
        return self.root / FOLDER[1:] / name
