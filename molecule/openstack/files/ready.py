# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until the control plane answers and its services are up: ready.py SECONDS [HOST...] [--agents HOST...].

With hosts, also until their nova-compute is up, Nova has mapped them, and placement has their CPUs and traits; with agents, until their Open vSwitch
agent is alive. On failure, what is missing.
"""

import argparse
import sys
import time

import openstack


def has_traits(cloud, provider):
    """Whether nova-compute has told placement all: it sends the traits last."""
    answer = cloud.placement.get(f"/resource_providers/{provider.id}/traits", microversion="1.6")
    return bool(answer.json().get("traits"))


def missing(cloud, hosts, agents):
    """Return what does not answer or is not up, as text; empty if all is well."""
    try:
        up = {(service.binary, service.host) for service in cloud.compute.services() if service.state == "up"}
        mapped = {item.service_details["host"]: item.name for item in cloud.compute.hypervisors(details=True)} if hosts else {}
        next(cloud.image.images(), None)
        alive = {agent.host for agent in cloud.network.agents(binary="neutron-openvswitch-agent") if agent.is_alive}
        told = {provider.name for provider in cloud.placement.resource_providers() if not hosts or has_traits(cloud, provider)}
    except Exception as error:  # not up yet, in one of many ways
        return f"{type(error).__name__}: {str(error)[:200]}"
    names = {binary for binary, _host in up}
    absent = [name for name in ("nova-conductor", "nova-scheduler") if name not in names]
    absent += [f"nova-compute of {host}" for host in hosts if ("nova-compute", host) not in up]
    absent += [f"cell mapping of {host}" for host in hosts if ("nova-compute", host) in up and host not in mapped]
    absent += [f"inventory of {host}" for host in hosts if host in mapped and mapped[host] not in told]
    absent += [f"agent of {host}" for host in agents if host not in alive]
    return ", ".join(absent)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("hosts", nargs="*")
    parser.add_argument("--agents", nargs="*", default=[])
    wanted = parser.parse_args()
    cloud = openstack.connect(cloud="lab")
    end = time.monotonic() + wanted.seconds
    while (left := missing(cloud, wanted.hosts, wanted.agents)) and time.monotonic() < end:
        time.sleep(0.5)
    if left:
        sys.exit(f"after {wanted.seconds:.0f} s there is still missing: {left}")


if __name__ == "__main__":
    main()
