# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, roles, services and endpoints in one process, since each call of the command line takes seconds: bootstrap.py PLAN < PASSWORDS.

The plan is JSON: a list of ``{"user": "nova", "type": "compute", "url": "http://…"}``; the passwords are JSON by user.
"""

import json
import sys

import openstack


def main():
    plan, passwords = json.loads(sys.argv[1]), json.load(sys.stdin)
    identity = openstack.connect(cloud="lab").identity
    project = identity.find_project("service") or identity.create_project(name="service", domain_id="default")
    admin = identity.find_role("admin")
    service_role = identity.find_role("service") or identity.create_role(name="service")
    for item in plan:
        name = item["user"]
        user = identity.find_user(name) or identity.create_user(name=name, password=passwords[name], domain_id="default")
        for role in (admin, service_role):
            identity.assign_project_role_to_user(project, user, role)
        if not identity.find_service(name):
            service = identity.create_service(name=name, type=item["type"])
            for interface in ("public", "internal", "admin"):
                identity.create_endpoint(service_id=service.id, interface=interface, url=item["url"], region_id="RegionOne")


if __name__ == "__main__":
    main()
