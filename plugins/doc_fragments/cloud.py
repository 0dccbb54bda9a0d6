# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a cloud's API is reached."""

from __future__ import annotations


class ModuleDocFragment:
    """Private to the collection."""

    DOCUMENTATION = r"""
options:
  access:
    description: How the cloud's API is reached. What is not given comes from clouds.yaml and the environment (C(OS_CLOUD), C(OS_AUTH_URL) and others).
    type: dict
    default: {}
    suboptions:
      name:
        description: Name of the cloud in clouds.yaml; empty means C(OS_CLOUD).
        type: str
        default: ''
      auth:
        description: Credentials, as C(auth) in clouds.yaml (C(auth_url), C(username), C(password), C(project_name), ...). Keep them in a vault.
        type: dict
        default: {}
      auth_type:
        description: Plug-in of keystoneauth that takes the credentials; empty means that of clouds.yaml, or C(password).
        type: str
        default: ''
      region:
        description: Region; empty means the only one, or that of clouds.yaml.
        type: str
        default: ''
      interface:
        description: Which endpoints of the service catalogue are used.
        type: str
        choices: [public, internal, admin]
        default: public
      validate_certs:
        description: Whether the certificates of the services are checked.
        type: bool
        default: true
      ca_cert:
        description: File with the certificates of authorities to trust.
        type: str
        default: ''
      timeout:
        description: Longest time, in seconds (1-3600), to wait for an answer of a service.
        type: int
        default: 60
requirements:
  - openstacksdk (Python library) for the Python that runs Ansible
"""
