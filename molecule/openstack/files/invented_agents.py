# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report the Open vSwitch agents of invented hosts to Neutron: invented_agents.py CONNECTION FOLDER [NAME...].

FOLDER/NAME/agent.ini is the configuration of a host's agent. It is read by Neutron's own options and parsers, and reported as the agent does.
Without an agent, Neutron binds no port to a host, and placement learns no bandwidth of its physical networks.
"""

import sys
import time
from pathlib import Path

from neutron.agent import rpc as agent_rpc
from neutron.agent.common import utils
from neutron.common import config
from neutron.conf.agent import common as agent_conf
from neutron.conf.plugins.ml2.drivers import ovs_conf
from neutron_lib import constants, context
from neutron_lib.agent import topics
from neutron_lib.placement import utils as place_utils
from neutron_lib.utils import helpers
from oslo_config import cfg

REPORT_S = 30
#: A busy machine answers late; the agent itself would wait as long as between two reports.
ANSWER_S = 180


def state_of(name, path):
    """What the agent of a host would report."""
    conf = cfg.ConfigOpts()
    ovs_conf.register_ovs_agent_opts(conf)
    conf(["--config-file", str(path)], project="neutron")
    mappings = helpers.parse_mappings(conf.OVS.bridge_mappings)
    bandwidths = place_utils.parse_rp_bandwidths(conf.OVS.resource_provider_bandwidths)
    hypervisors = utils.default_rp_hypervisors(
        conf.OVS.resource_provider_hypervisors,
        {physnet: [bridge] for physnet, bridge in mappings.items()},
        conf.OVS.resource_provider_default_hypervisor or name,
    )
    return {
        "binary": constants.AGENT_PROCESS_OVS,
        "host": name,
        "topic": constants.L2_AGENT_TOPIC,
        "agent_type": constants.AGENT_TYPE_OVS,
        "start_flag": True,
        "configurations": {
            "bridge_mappings": mappings,
            constants.RP_BANDWIDTHS: bandwidths,
            constants.RP_INVENTORY_DEFAULTS: place_utils.parse_rp_inventory_defaults(
                conf.OVS.resource_provider_inventory_defaults
            ),
            "resource_provider_hypervisors": hypervisors,
            "integration_bridge": conf.OVS.integration_bridge,
            "tunnel_types": [],
            "extensions": ["qos"],
            "datapath_type": conf.OVS.datapath_type,
            "ovs_capabilities": {"datapath_types": ["netdev", "system"], "iface_types": ["dpdkvhostuserclient"]},
            "vhostuser_socket_dir": conf.OVS.vhostuser_socket_dir,
            "ovs_hybrid_plug": False,
        },
    }


def main():
    connection, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    config.register_common_config_options()
    agent_conf.register_agent_state_opts_helper(cfg.CONF)
    config.init(["--config-file", connection])
    states = [state_of(name, folder / name / "agent.ini") for name in names]
    reports = agent_rpc.PluginReportStateAPI(topics.REPORTS)
    reports.timeout = ANSWER_S
    while True:
        for state in states:
            reports.report_state(context.get_admin_context_without_session(), state, use_call=True)
            state.pop("start_flag", None)
        time.sleep(REPORT_S)


if __name__ == "__main__":
    main()
